package price

import (
	"slices"
	"testing"
	"time"

	"sluice/core/ids"
	"sluice/core/money"
)

// offs are what promotions take off each line, below 0.
func offs(q *Quote) (all []int64) {
	for _, l := range q.Lines {
		all = append(all, l.Total.Minor-l.Goods.Minor)
	}
	return all
}

func TestStrategies(t *testing.T) {
	t.Parallel()
	f := func(what string, level Level, items []Item, want []int64, strategies ...Strategy) {
		t.Helper()
		r := requestOf(items...)
		r.Level = level
		for i, s := range strategies {
			p := promotionOf(i+1, s)
			if err := p.Check(r.Market); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			r.Promotions = append(r.Promotions, p)
		}
		if q := mustQuote(t, r); !slices.Equal(offs(&q), want) {
			t.Errorf("%s: %v, want %v", what, offs(&q), want)
		}
	}
	one := func(quantity, minor int64) []Item { return []Item{itemOf(1, quantity, minor)} }
	f("a part", 0, one(3, 999), []int64{-749}, Percentage{250_000}) // 749.25
	f("all", 0, one(3, 999), []int64{-2997}, Percentage{Whole})
	f("an amount of each unit", 0, one(3, 999), []int64{-300}, AmountOff{eur(100)})
	f("more than it costs", 0, one(3, 99), []int64{-297}, AmountOff{eur(100)})
	f("the best one, not both", 0, one(3, 999), []int64{-749}, AmountOff{eur(100)}, Percentage{250_000})
	f("of each line", 0, []Item{itemOf(1, 1, 1000), itemOf(2, 1, 100)}, []int64{-250, -60}, AmountOff{eur(60)}, Percentage{250_000})

	tiers := Tiers{{2, 50_000}, {4, 100_000}}
	for level, want := range []int64{0, 0, -50, -50, -100, -100} {
		f("tiers", Level(level), one(1, 1000), []int64{want}, tiers)
	}

	three := BuyPay{3, 2}
	for quantity, want := range []int64{0, 0, 0, -100, -100, -100, -200} {
		if quantity > 0 {
			f("buy 3, pay 2", 0, one(int64(quantity), 100), []int64{want}, three)
		}
	}
	f("buy 5, pay 3", 0, one(9, 100), []int64{-200}, BuyPay{5, 3})
	f("the cheapest is free", 0, []Item{itemOf(1, 1, 100), itemOf(2, 1, 300), itemOf(3, 1, 200)}, []int64{-100, 0, 0}, three)
	f("from the dearest on", 0, []Item{itemOf(1, 3, 100), itemOf(2, 3, 300)}, []int64{-100, -300}, three)
	f("over lines", 0, []Item{itemOf(1, 2, 300), itemOf(2, 4, 200)}, []int64{0, -400}, three) // 3 3 2, 2 2 2
	f("less than a set", 0, []Item{itemOf(1, 1, 300), itemOf(2, 4, 200)}, []int64{0, -200}, three)

	bundle := Bundle{[]Part{{skuOf(1), 1}, {skuOf(2), 2}}, eur(500)}
	f("a bundle", 0, []Item{itemOf(1, 1, 300), itemOf(2, 2, 200)}, []int64{-85, -115}, bundle)               // 85.7 and 114.3: the larger one has what remains
	f("two of it, and a rest", 0, []Item{itemOf(1, 3, 300), itemOf(2, 5, 200)}, []int64{-171, -229}, bundle) // 171.4 and 228.6
	f("a part is missing", 0, []Item{itemOf(1, 3, 300)}, []int64{0}, bundle)
	f("too few of a part", 0, []Item{itemOf(1, 3, 300), itemOf(2, 1, 200)}, []int64{0, 0}, bundle)
	f("dearer together", 0, []Item{itemOf(1, 1, 100), itemOf(2, 2, 150)}, []int64{0, 0}, bundle)
	f("for nothing", 0, []Item{itemOf(1, 1, 100), itemOf(2, 2, 150)}, []int64{-100, -300}, Bundle{bundle.Parts, eur(0)})

	f("a set, and the rest", 0, one(4, 100), []int64{-110}, three, Percentage{100_000})
	f("a part that is better than a set", 0, one(3, 100), []int64{-120}, three, Percentage{400_000})
	f("a set that is better", 0, one(3, 100), []int64{-100}, three, Percentage{300_000})
	f("two sets of one rank: the first id", 0, one(6, 100), []int64{-300}, BuyPay{2, 1}, three)
	f("sets of a rest", 0, one(8, 100), []int64{-300}, three, BuyPay{2, 1}) // two of three, one of two
}

// A promotion of lines may keep out a set that would have saved more. With both the cart is still cheaper than with none.
func TestPromotionOfLinesBesideSets(t *testing.T) {
	t.Parallel()
	r := requestOf(itemOf(1, 1, 100), itemOf(2, 1, 100), itemOf(3, 3, 50))
	r.Promotions = []Promotion{promotionOf(1, Bundle{[]Part{{skuOf(1), 1}, {skuOf(2), 1}}, eur(150)}), promotionOf(2, BuyPay{3, 2})}
	if q := mustQuote(t, r); q.Total != eur(250) { // the bundle, and one of the last ones free
		t.Errorf("the sets cost %v", q.Total)
	}
	lines := promotionOf(3, Percentage{300_000})
	lines.Scope.SKUs = []int64{skuOf(1), skuOf(2)}
	r.Promotions = append(r.Promotions, lines)
	if q := mustQuote(t, r); q.Total != eur(290) { // 30% off both saves 0.60, and each set, which takes both, 0.50
		t.Errorf("with a promotion of lines all costs %v", q.Total)
	}
}

// Of sets, those of the lowest rank take their units first.
func TestRankOfSets(t *testing.T) {
	t.Parallel()
	r := requestOf(itemOf(1, 8, 100))
	r.Promotions = []Promotion{promotionOf(1, BuyPay{3, 2}), promotionOf(2, BuyPay{2, 1})}
	for rank, want := range map[int]int64{1: -300, 0: -300, -1: -400} {
		r.Promotions[1].Rank = rank
		if q := mustQuote(t, r); q.Discount.Minor != want {
			t.Errorf("rank %d: %v, want %d", rank, q.Discount, want)
		}
	}
}

// Of promotions that take the same off, the first one counts. Of those that make sets, only some are looked at.
func TestFirstPromotions(t *testing.T) {
	t.Parallel()
	r := requestOf(itemOf(1, 2, 100))
	r.Promotions = []Promotion{promotionOf(2, Percentage{100_000}), promotionOf(1, AmountOff{eur(10)})}
	if q := mustQuote(t, r); q.Lines[0].Adjustments[0].Promotion != 1 {
		t.Errorf("%+v", q.Lines[0].Adjustments)
	}
	r.Promotions = nil
	for id := range setsMax {
		r.Promotions = append(r.Promotions, promotionOf(id+1, BuyPay{3, 1})) // three units, and there are two
	}
	for _, want := range []int64{-100, 0} {
		with := r
		with.Promotions = append(slices.Clip(r.Promotions[1:]), promotionOf(setsMax+1, BuyPay{2, 1}))
		if want == 0 {
			with.Promotions = append(with.Promotions, r.Promotions[0])
		}
		if q := mustQuote(t, with); q.Discount.Minor != want {
			t.Errorf("with %d promotions of sets: %v, want %d", len(with.Promotions), q.Discount, want)
		}
	}
}

// A promotion counts for whom and what its terms are for.
func TestTerms(t *testing.T) {
	t.Parallel()
	f := func(what string, want []int64, change func(*Request, *Terms)) {
		t.Helper()
		r := requestOf(itemOf(1, 1, 100), itemOf(2, 1, 100))
		r.Items[1].Seller, r.Items[1].Brand, r.Items[1].Categories = 2, 9, []ids.Category{5, 6}
		p := promotionOf(1, Percentage{100_000})
		r.Promotions = []Promotion{p}
		change(&r, &r.Promotions[0].Terms)
		if q := mustQuote(t, r); !slices.Equal(offs(&q), want) {
			t.Errorf("%s: %v, want %v", what, offs(&q), want)
		}
	}
	both, none, second := []int64{-10, -10}, []int64{0, 0}, []int64{0, -10}
	f("all", both, func(*Request, *Terms) {})
	f("of a seller", second, func(_ *Request, of *Terms) { of.Seller, of.Funder = 2, Seller })
	f("of a SKU", second, func(_ *Request, of *Terms) { of.Scope.SKUs = []int64{skuOf(2)} })
	f("of a product", second, func(_ *Request, of *Terms) { of.Scope.Products = []ids.Product{2} })
	f("of a category", second, func(_ *Request, of *Terms) { of.Scope.Categories = []ids.Category{6} })
	f("of a brand", second, func(_ *Request, of *Terms) { of.Scope.Brands = []ids.Brand{9} })
	f("of any of them", both, func(_ *Request, of *Terms) { of.Scope = Scope{SKUs: []int64{skuOf(1)}, Brands: []ids.Brand{9}} })
	f("another SKU of the product", none, func(_ *Request, of *Terms) { of.Scope.SKUs = []int64{skuOf(2) + 1} })
	f("in its channel", both, func(_ *Request, of *Terms) { of.Channels = []Channel{"app", "web"} })
	f("in another channel", none, func(_ *Request, of *Terms) { of.Channels = []Channel{"app"} })
	f("of its level", both, func(r *Request, of *Terms) { r.Level, of.Level = 2, 2 })
	f("of a higher level", none, func(r *Request, of *Terms) { r.Level, of.Level = 1, 2 })
	f("when it begins", both, func(r *Request, of *Terms) { of.From = r.At })
	f("before it begins", none, func(r *Request, of *Terms) { of.From = r.At.Add(time.Millisecond) })
	f("before it ends", both, func(r *Request, of *Terms) { of.To = r.At.Add(time.Millisecond) })
	f("when it ends", none, func(r *Request, of *Terms) { of.From, of.To = r.At.Add(-1), r.At })
}

// Sets are of the goods of one seller, because each order is.
func TestSetsAreOfOneSeller(t *testing.T) {
	t.Parallel()
	r := requestOf(itemOf(1, 2, 100), itemOf(2, 1, 100))
	r.Promotions = []Promotion{promotionOf(1, BuyPay{3, 2}), promotionOf(2, Bundle{[]Part{{skuOf(1), 1}, {skuOf(2), 1}}, eur(1)})}
	if q := mustQuote(t, r); q.Discount.Minor != -100 {
		t.Errorf("of one seller: %v", q.Discount)
	}
	r.Items[1].Seller = 2
	if q := mustQuote(t, r); q.Discount.Minor != 0 {
		t.Errorf("of two sellers: %v", q.Discount)
	}
}

func TestWhatIsNoPromotion(t *testing.T) {
	t.Parallel()
	m := marketOf(true)
	usd := money.Amount{Minor: 1, Currency: mustIn("USD")}
	part := Part{skuOf(1), 1}
	for _, s := range []Strategy{
		nil,
		Percentage{0},
		Percentage{-1},
		Percentage{Whole + 1},
		AmountOff{eur(0)},
		AmountOff{eur(-1)},
		AmountOff{usd},
		AmountOff{},
		Tiers{},
		Tiers{{0, 1}},
		Tiers{{LevelMax + 1, 1}},
		Tiers{{2, 5}, {2, 6}},
		Tiers{{2, 5}, {3, 4}},
		Tiers{{2, 0}},
		BuyPay{},
		BuyPay{1, 0},
		BuyPay{2, 0},
		BuyPay{2, 2},
		BuyPay{2, 3},
		BuyPay{buyMax + 1, 2},
		BuyPay{-2, -3},
		Bundle{Price: eur(1)},
		Bundle{[]Part{part, part}, eur(1)},
		Bundle{[]Part{{skuOf(1), 0}}, eur(1)},
		Bundle{[]Part{{0, 1}}, eur(1)},
		Bundle{[]Part{part}, eur(-1)},
		Bundle{[]Part{part}, usd},
		Bundle{make([]Part, partsMax+1), eur(1)},
	} {
		p := promotionOf(1, s)
		if err := p.Check(m); codeOf(err) != "malformed" {
			t.Errorf("%T %+v: %v", s, s, err)
		}
	}
	for what, change := range map[string]func(*Terms){
		"nobody bears it":                       func(t *Terms) { t.Funder = "" },
		"the platform bears what a seller does": func(t *Terms) { t.Seller = 1 },
		"no beginning":                          func(t *Terms) { t.From = time.Time{} },
		"an end before it":                      func(t *Terms) { t.To = t.From },
		"a channel that is no word":             func(t *Terms) { t.Channels = []Channel{"A"} },
		"a level below 0":                       func(t *Terms) { t.Level = -1 },
		"a million SKUs":                        func(t *Terms) { t.Scope.SKUs = make([]int64, 1_000_000) },
		"a million channels":                    func(t *Terms) { t.Channels = make([]Channel, 1_000_000) },
	} {
		p := promotionOf(1, Percentage{1})
		change(&p.Terms)
		if err := p.Check(m); codeOf(err) != "malformed" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestMarkets(t *testing.T) {
	t.Parallel()
	if err := marketOf(true).Check(); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Market){
		"no code":                 func(m *Market) { m.Code = "" },
		"a code that is no word":  func(m *Market) { m.Code = "DE" },
		"no currency":             func(m *Market) { m.Currency = money.Currency{} },
		"no locale":               func(m *Market) { m.Locale = "german" },
		"no way to round":         func(m *Market) { m.Regime.Rounding = money.HalfEven + 1 },
		"a price below 0":         func(m *Market) { m.PriceMin = -1 },
		"bounds the wrong way":    func(m *Market) { m.PriceMin, m.PriceMax = 2, 1 },
		"prices beyond all":       func(m *Market) { m.PriceMax = money.MinorMax + 1 },
		"no rates":                func(m *Market) { m.Regime.Rates = nil },
		"a rate below 0":          func(m *Market) { m.Regime.Rates["x"] = -1 },
		"a rate beyond the whole": func(m *Market) { m.Regime.Rates["x"] = Whole + 1 },
		"a category that is none": func(m *Market) { m.Regime.Rates["X!"] = 1 },
	} {
		m := marketOf(true)
		change(m)
		if err := m.Check(); codeOf(err) != "malformed" {
			t.Errorf("%s: %v", what, err)
		}
	}
	for rate, want := range map[Rate]string{190_000: "19%", 88_750: "8.875%", 0: "0%", Whole: "100%", 1: "0.0001%", 1_010_000: "101%"} {
		if got := rate.String(); got != want {
			t.Errorf("%d is %s, want %s", int64(rate), got, want)
		}
	}
}
