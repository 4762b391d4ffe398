package demo

// names are what something is called, in English and in Chinese.
type names struct{ en, zh string }

// leaf is a category that has products.
type leaf struct {
	names

	things []names
	tax    string
	sized  bool     // its SKUs differ in sizes too
	grams  [2]int64 // from, to
	mm     [2]int64 // of the longest side
}

// shelf is a category at the top.
type shelf struct {
	names

	leaves []leaf
}

var shelves = []shelf{
	{names{"Clothes", "服装"}, []leaf{
		{names{"T-shirts", "T恤"}, []names{{"T-shirt", "T恤"}, {"long-sleeved shirt", "长袖衫"}, {"polo shirt", "POLO衫"}}, "standard", true, [2]int64{150, 400}, [2]int64{250, 400}},
		{names{"Jackets", "外套"}, []names{{"rain jacket", "雨衣"}, {"down jacket", "羽绒服"}, {"denim jacket", "牛仔外套"}}, "standard", true, [2]int64{500, 1500}, [2]int64{350, 550}},
		{names{"Shoes", "鞋"}, []names{{"running shoes", "跑鞋"}, {"hiking boots", "登山靴"}, {"sandals", "凉鞋"}}, "standard", true, [2]int64{400, 1400}, [2]int64{280, 380}},
	}},
	{names{"Electronics", "电子产品"}, []leaf{
		{names{"Phones", "手机"}, []names{{"phone", "手机"}, {"foldable phone", "折叠屏手机"}}, "standard", false, [2]int64{160, 260}, [2]int64{150, 180}},
		{names{"Headphones", "耳机"}, []names{{"headphones", "头戴式耳机"}, {"earbuds", "无线耳塞"}, {"headset", "耳麦"}}, "standard", false, [2]int64{40, 350}, [2]int64{60, 220}},
		{names{"Cameras", "相机"}, []names{{"compact camera", "卡片机"}, {"mirrorless camera", "微单相机"}, {"action camera", "运动相机"}}, "standard", false, [2]int64{120, 900}, [2]int64{70, 160}},
	}},
	{names{"Home", "家居"}, []leaf{
		{names{"Kitchen", "厨房"}, []names{{"kettle", "水壶"}, {"frying pan", "平底锅"}, {"rice cooker", "电饭煲"}, {"teapot", "茶壶"}}, "standard", false, [2]int64{500, 4000}, [2]int64{200, 450}},
		{names{"Lamps", "灯具"}, []names{{"desk lamp", "台灯"}, {"floor lamp", "落地灯"}, {"lantern", "灯笼"}}, "standard", false, [2]int64{400, 5000}, [2]int64{250, 1600}},
		{names{"Bedding", "床上用品"}, []names{{"duvet", "被子"}, {"pillow", "枕头"}, {"blanket", "毯子"}}, "standard", true, [2]int64{600, 3500}, [2]int64{400, 700}},
	}},
	{names{"Books and tea", "书与茶"}, []leaf{
		{names{"Notebooks", "笔记本"}, []names{{"notebook", "笔记本"}, {"sketchbook", "速写本"}, {"diary", "日记本"}}, "reduced", false, [2]int64{120, 700}, [2]int64{150, 320}},
		{names{"Tea", "茶叶"}, []names{{"green tea", "绿茶"}, {"black tea", "红茶"}, {"oolong tea", "乌龙茶"}, {"jasmine tea", "茉莉花茶"}}, "food", false, [2]int64{60, 600}, [2]int64{80, 200}},
	}},
}

var makers = []names{
	{"Lumen", "流明"},
	{"Northwind", "北风"},
	{"Kestrel", "红隼"},
	{"Bamboo & Co", "竹艺"},
	{"Harbour", "港湾"},
	{"Meridian", "子午"},
	{"Plum Blossom", "梅花"},
	{"Atelier Nine", "九号工坊"},
	{"Granite", "花岗"},
	{"Swallow", "燕子"},
	{"Polaris", "北极星"},
	{"Clearwater", "清泉"},
}

var qualities = []names{
	{"Light", "轻盈"},
	{"Classic", "经典"},
	{"Urban", "都市"},
	{"Alpine", "高山"},
	{"Everyday", "日常"},
	{"Studio", "工作室"},
	{"Travel", "旅行"},
	{"Premium", "臻选"},
	{"Slim", "纤薄"},
	{"Heritage", "传承"},
	{"Eco", "环保"},
	{"Compact", "小巧"},
}

var materials = []names{
	{"recycled materials", "再生材料"}, {"organic cotton", "有机棉"}, {"brushed steel", "拉丝钢"}, {"solid oak", "实木橡木"}, {"fine glass", "精制玻璃"}, {"merino wool", "美利奴羊毛"},
}

// choice is a value of an option.
type choice struct {
	code string
	names
}

var colours = []choice{
	{"black", names{"Black", "黑色"}}, {"white", names{"White", "白色"}}, {"red", names{"Red", "红色"}}, {"blue", names{"Blue", "蓝色"}}, {"green", names{"Green", "绿色"}},
}

var sizes = []choice{{"s", names{"S", "小号"}}, {"m", names{"M", "中号"}}, {"l", names{"L", "大号"}}, {"xl", names{"XL", "特大号"}}}
