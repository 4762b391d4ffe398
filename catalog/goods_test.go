package catalog_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"sluice/core/auth"
)

const noProduct = "prd_0000000000001"

// goods are a shop with a seller that is open, and a category whose products have a size and an origin.
type goods struct {
	*contract

	owner, support            string // tokens
	seller, category, product string
	sku                       string // that has prices
	version                   int
	keys                      int
	mismatched                map[string]bool
	stocked                   [2]string // a warehouse and a SKU
}

const shirt = `{"category_id":"CATEGORY","tax_category":"standard","options":["size"],"values":{"origin":"Portugal"}}`

const smallShirt = `{"seller_code":"S-1","options":{"size":"s"},"grams":200,"size_mm":{"length":300,"width":200,"height":20}}`

func (g *goods) key() string { g.keys++; return fmt.Sprint("g", g.keys) }

func (g *goods) path(rest string) string {
	return "/v1/sellers/" + g.seller + "/products/" + g.product + rest
}

// edit changes the product as of its version, and returns the answer's body.
func (g *goods) edit(method, rest, body, want string) string {
	g.t.Helper()
	got := g.change(method, g.path(rest), g.owner, g.key(), fmt.Sprintf(`"%d"`, g.version), body, want)
	if want == "ok" {
		version, _ := got.JSON["version"].(float64)
		g.version = int(version)
		g.again(method, rest, body)
	}
	return got.Body
}

// again sends what has just succeeded as a change of another version under the same key, once for each operation.
func (g *goods) again(method, rest, body string) {
	g.t.Helper()
	if part, _, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/"); !g.mismatched[method+part] {
		g.mismatched[method+part] = true
		g.change(method, g.path(rest), g.owner, fmt.Sprint("g", g.keys), `"777"`, body, "mismatch")
	}
}

// exerciseGoods goes the way of a product from its draft to shoppers, and back.
func (c *contract) exerciseGoods() {
	c.t.Helper()
	for user, role := range map[int64]string{141: "", 142: "support", 143: ""} {
		c.makeUser(user)
		if role != "" {
			c.grant(user, role)
		}
	}
	g := &goods{contract: c, owner: c.provedToken(141), support: c.provedToken(142), mismatched: map[string]bool{}}
	g.seller = c.text(c.write("POST", "/v1/sellers", g.owner, g.key(), application, "ok"), "seller_id")
	g.category = c.categoryOfShirts(func(string) string { return g.key() })
	g.exerciseDraft()
	g.exerciseSKUs()
	g.exerciseProductReview()
	g.exerciseListed()
	g.exercisePrices()
	g.exerciseMedia()
	g.exerciseGoodsForms()
	c.goods = g
}

// categoryOfShirts makes a category whose products may have sizes, and have an origin.
func (c *contract) categoryOfShirts(key func(what string) string) string {
	c.t.Helper()
	id := c.text(c.write("POST", "/v1/categories", c.admin, key("shirts"), `{"names":{"en":"Shirts"}}`, "ok"), "category_id")
	at := "/v1/categories/" + id + "/attributes/"
	c.change("PUT", at+"size", c.admin, key("size"), `"1"`, `{"kind":"choice","required":false,"names":{"en":"Size"},"choices":[{"code":"s","names":{"en":"S"}},{"code":"m","names":{"en":"M"}},{"code":"l","names":{"en":"L"}}]}`, "ok")
	c.change("PUT", at+"origin", c.admin, key("origin"), `"2"`, `{"kind":"text","required":true,"names":{"en":"Origin"}}`, "ok")
	return id
}

func (g *goods) content(edit ...string) string {
	return strings.NewReplacer(append([]string{"CATEGORY", g.category}, edit...)...).Replace(shirt)
}

func (g *goods) exerciseDraft() {
	g.t.Helper()
	path := "/v1/sellers/" + g.seller + "/products"
	g.write("POST", path, g.owner, g.key(), g.content(), "wrong_state") // the seller has not opened
	g.everyValue("UPDATE sellers__ SET state = 'open' WHERE applicant = 141")
	key := g.key()
	made := g.write("POST", path, g.owner, key, g.content(), "ok")
	again := g.write("POST", path, g.owner, key, g.content(), "ok")
	g.write("POST", path, g.owner, key, g.content("standard", "reduced"), "mismatch")
	g.product, g.version = g.text(made, "product_id"), 1
	if made.Body != again.Body || made.JSON["stage"] != "draft" || made.Header.Get("Etag") != `"1"` {
		g.t.Errorf("made %s, and again %s", made.Body, again.Body)
	}
	archived := g.text(g.write("POST", "/v1/categories", g.admin, g.key(), `{"names":{"en":"Old"}}`, "ok"), "category_id")
	g.change("PUT", "/v1/categories/"+archived, g.admin, g.key(), `"1"`, `{"position":0,"state":"archived","names":{"en":"Old"}}`, "ok")
	brand := g.text(g.write("POST", "/v1/brands", g.admin, g.key(), `{"names":{"en":"Shirt brand"}}`, "ok"), "brand_id")
	for body, want := range map[string]string{
		strings.ReplaceAll(shirt, "CATEGORY", noCategory):    "unknown_category",
		strings.ReplaceAll(shirt, "CATEGORY", archived):      "wrong_state",
		g.content("origin", "colour"):                        "unknown_attribute",
		g.content(`"tax_`, `"brand_id":"`+noBrand+`","tax_`): "unknown_brand",
	} {
		g.write("POST", path, g.owner, g.key(), body, want)
		g.edit("PUT", "", body, want)
	}
	branded := g.content(`"tax_`, `"brand_id":"`+brand+`","tax_`)
	g.edit("PUT", "", branded, "ok")
	g.edit("PUT", "/stage", `{"stage":"in_review"}`, "incomplete")
	g.edit("PUT", "/stage", `{"stage":"listed"}`, "incomplete")
	g.edit("PUT", "/texts/en", `{"title":"Shirt","description":"Of cotton.\n\nFor all."}`, "ok")
	g.edit("PUT", "/texts/de", `{"title":"Hemd"}`, "ok")
	g.edit("DELETE", "/texts/fr", "", "unknown_text")
	g.needs(true)
	g.edit("PUT", "", strings.Replace(branded, `"Portugal"`, `"Portugal","care":"Cold"`, 1), "ok")
	g.edit("PUT", "", branded, "ok")
	g.needs(false)
	g.edit("POST", "/restorations", fmt.Sprintf(`{"version":%d}`, g.version-1), "unknown_attribute")
	for i := range 18 {
		g.edit("PUT", fmt.Sprintf("/texts/a%c", 'a'+i), `{"title":"x"}`, "ok")
	}
	g.edit("PUT", "/texts/zz", `{"title":"x"}`, "too_many")
	g.edit("DELETE", "/texts/aa", "", "ok")
	list := g.shoot(shot{Method: "GET", Path: path, Token: g.owner, Want: "ok"})
	if strings.Count(list.Body, g.product) != 1 {
		g.t.Errorf("the list is %s", list.Body)
	}
}

func (g *goods) exerciseSKUs() {
	g.t.Helper()
	const small = smallShirt
	g.edit("POST", "/skus", small, "ok")
	g.edit("POST", "/skus", strings.Replace(small, "S-1", "S-2", 1), "options_taken")
	medium := strings.Replace(small, `"s"`, `"m"`, 1)
	g.edit("POST", "/skus", medium, "name_taken")
	g.edit("POST", "/skus", strings.Replace(medium, "S-1", "S-2", 1), "ok")
	shown := g.shoot(shot{Method: "GET", Path: g.path(""), Token: g.owner, Want: "ok"})
	skus, _ := shown.JSON["skus"].([]any)
	if len(skus) != 2 {
		g.t.Fatalf("the product is %s", shown.Body)
	}
	second, _ := skus[1].(map[string]any)
	sku := "/skus/" + fmt.Sprint(second["sku_id"])
	change := func(body string) string { return strings.Replace(body, "{", `{"state":"active",`, 1) }
	g.edit("PUT", sku, change(strings.Replace(small, "S-1", "S-2", 1)), "options_taken")
	g.edit("PUT", sku, change(medium), "name_taken")
	g.edit("PUT", sku, change(strings.Replace(strings.Replace(medium, "S-1", "S-2", 1), "200,", "250,", 1)), "ok")
	g.edit("PUT", "/skus/4096", change(medium), "unknown_sku")
	g.everyProduct("INSERT INTO product_skus__ SELECT product_id, seq, 'archived', '', '{\"size\":\"s\"}', 1, 1, 1, 1 FROM products__, seq_2_to_499 WHERE stage = 'draft'")
	g.edit("POST", "/skus", strings.Replace(medium, "S-1", "S-3", 1), "too_many")
	g.everyProduct("DELETE FROM product_skus__ WHERE n > 1")
	g.edit("PUT", "", g.content(`"options":["size"],`, ""), "wrong_state")
	then := fmt.Sprintf(`{"version":%d}`, g.version)
	first, _ := skus[0].(map[string]any)
	g.edit("PUT", "/skus/"+fmt.Sprint(first["sku_id"]), change(strings.Replace(small, "S-1", "S-9", 1)), "ok")
	large := strings.Replace(small, `"s"`, `"l"`, 1)
	g.edit("POST", "/skus", large, "ok")
	g.edit("POST", "/restorations", then, "name_taken") // the new one has the code of the first one
	id, _ := strconv.ParseInt(fmt.Sprint(second["sku_id"]), 10, 64)
	g.edit("PUT", fmt.Sprint("/skus/", id+1), strings.Replace(strings.Replace(large, "S-1", "S-3", 1), "{", `{"state":"archived",`, 1), "ok")
	g.everyProduct("INSERT INTO product_changes__ (product_id, version, part, at, actor) SELECT product_id, version, CONCAT('more.', seq), NOW(3), 'shopper:141' FROM products__, seq_1_to_2000 WHERE stage = 'draft'")
	g.edit("POST", "/restorations", then, "too_many")
	g.everyProduct("DELETE FROM product_changes__ WHERE part LIKE 'more.%'")
	g.edit("POST", "/restorations", then, "ok")
}

func (g *goods) exerciseProductReview() {
	g.t.Helper()
	review := "/v1/product_reviews/" + g.product
	const yes = `{"approve":true,"reason":"all agrees"}`
	g.edit("PUT", "/stage", `{"stage":"listed"}`, "wrong_state")
	key := g.key()
	for range 2 {
		g.change("PUT", g.path("/stage"), g.owner, key, fmt.Sprintf(`"%d"`, g.version), `{"stage":"in_review"}`, "ok")
	}
	g.change("PUT", g.path("/stage"), g.owner, key, fmt.Sprintf(`"%d"`, g.version), `{"stage":"archived"}`, "mismatch")
	g.version++
	const sku = `{"options":{"size":"s"},"grams":200,"size_mm":{"length":300,"width":200,"height":20}}`
	for _, wrong := range [][3]string{
		{"PUT", "", g.content()},
		{"PUT", "/texts/en", `{"title":"x"}`},
		{"DELETE", "/texts/en", ""},
		{"POST", "/skus", sku},
		{"PUT", "/skus/4096", strings.Replace(sku, "{", `{"state":"active",`, 1)},
		{"POST", "/restorations", `{"version":1}`},
	} {
		g.edit(wrong[0], wrong[1], wrong[2], "wrong_state")
	}
	queue := g.shoot(shot{Method: "GET", Path: "/v1/product_reviews", Token: g.support, Want: "ok"})
	if !strings.Contains(queue.Body, g.product) {
		g.t.Errorf("the queue is %s", queue.Body)
	}
	decide := func(token, key, body, want string) {
		g.seen(g.version, "POST", review+"/decision", token, key, body, want)
	}
	decide(g.token(142, auth.RoleShopper), g.key(), yes, "step_up_required") // it is of no session
	decide(g.support, g.key(), yes, "wrong_state")                           // nobody has claimed it
	g.grant(141, "ops")
	g.write("POST", review+"/claim", g.owner, g.key(), "", "own_seller")
	g.write("POST", review+"/claim", g.support, g.key(), "", "ok")
	g.seen(g.version-1, "POST", review+"/decision", g.support, g.key(), yes, "changed_since")
	g.unseen("POST", review+"/decision", g.support, yes)
	ops := g.provedToken(opsOfProducts)
	g.write("POST", review+"/claim", ops, g.key(), "", "review_claimed")
	decide(ops, g.key(), yes, "review_claimed")
	decide(g.owner, g.key(), yes, "own_seller")
	g.needs(true)
	decide(g.support, g.key(), yes, "incomplete")
	g.needs(false)
	shown := g.shoot(shot{Method: "GET", Path: review, Token: g.support, Want: "ok"})
	if !strings.Contains(shown.Body, "For all.") {
		g.t.Errorf("the review shows %s", shown.Body)
	}
	key = g.key()
	decide(g.support, key, yes, "ok")
	decide(g.support, key, yes, "ok")
	decide(g.support, key, strings.Replace(yes, "true", "false", 1), "mismatch")
	g.write("POST", review+"/claim", g.support, g.key(), "", "wrong_state")
	g.version++
}

// needs makes the category ask for what the product lacks, or no longer.
func (g *goods) needs(more bool) {
	g.t.Helper()
	at := "/v1/categories/" + g.category
	shown := g.shoot(shot{Method: "GET", Path: at, Want: "ok", Header: http.Header{"Read-After": {"1"}}})
	if version := shown.Header.Get("Etag"); more {
		g.change("PUT", at+"/attributes/care", g.admin, g.key(), version, `{"kind":"text","required":true,"names":{"en":"Care"}}`, "ok")
	} else {
		g.change("DELETE", at+"/attributes/care", g.admin, g.key(), version, "", "ok")
	}
}

func (g *goods) exerciseListed() {
	g.t.Helper()
	public := "/v1/products/" + g.product
	g.shoot(shot{Method: "GET", Path: public, Want: "unknown_product"})
	g.edit("PUT", "/stage", `{"stage":"listed"}`, "ok")
	g.shoot(shot{Method: "GET", Path: public, Want: "ok"})
	g.exerciseStock()
	g.everyValue("UPDATE sellers__ SET state = 'suspended' WHERE applicant = 141")
	g.shoot(shot{Method: "GET", Path: public, Want: "unknown_product"})
	g.everyValue("UPDATE sellers__ SET state = 'open' WHERE applicant = 141")
	g.edit("PUT", "", g.content(`"Portugal"`, `"Spain"`), "wrong_state") // it has no brand
	g.needs(true)
	const sku = `{"options":{"size":"s"},"grams":201,"size_mm":{"length":300,"width":200,"height":20}}`
	shown := g.shoot(shot{Method: "GET", Path: g.path(""), Token: g.owner, Want: "ok"})
	skus, _ := shown.JSON["skus"].([]any)
	first, _ := skus[0].(map[string]any)
	brand := fmt.Sprint(shown.JSON["brand_id"])
	content := g.content(`"tax_`, `"brand_id":"`+brand+`","tax_`, "Portugal", "Spain")
	for _, lacks := range [][3]string{
		{"PUT", "", content},
		{"PUT", "/texts/en", `{"title":"y"}`},
		{"DELETE", "/texts/ab", ""},
		{"POST", "/skus", strings.Replace(sku, `"s"`, `"l"`, 1)},
		{"PUT", "/skus/" + fmt.Sprint(first["sku_id"]), strings.Replace(sku, "{", `{"state":"active",`, 1)},
		{"POST", "/restorations", `{"version":4}`},
	} {
		g.edit(lacks[0], lacks[1], lacks[2], "incomplete")
	}
	g.needs(false)
	g.edit("PUT", "", content, "ok")
	g.edit("POST", "/restorations", fmt.Sprintf(`{"version":%d}`, g.version), "unknown_version")
	g.edit("POST", "/restorations", fmt.Sprintf(`{"version":%d}`, g.version-1), "ok")
	versions := g.shoot(shot{Method: "GET", Path: g.path("/versions?limit=1"), Token: g.owner, Want: "ok"})
	if !strings.Contains(versions.Body, `"before":`) || !strings.Contains(versions.Body, "Portugal") {
		g.t.Errorf("the last version is %s", versions.Body)
	}
	g.shoot(shot{Method: "GET", Path: g.path("/versions?limit=1&cursor=" + g.text(versions, "next_cursor")), Token: g.owner, Want: "ok"})
	keyed := g.text(g.write("POST", "/v1/sellers/"+g.seller+"/api_keys", g.owner, g.key(), keyFor("products:read"), "ok"), "key")
	for _, path := range []string{"/v1/sellers/" + g.seller + "/products", g.path(""), g.path("/versions")} {
		if got := g.shoot(shot{Method: "GET", Path: path, Token: keyed, Want: "ok"}); !strings.Contains(got.Body, "Portugal") {
			g.t.Errorf("a system of the seller sees %s", got.Body)
		}
	}
	stands := map[string]bool{}
	for cursor := ""; ; {
		page := g.shoot(shot{Method: "GET", Path: "/v1/product_snapshot?limit=7" + cursor, Token: g.token(1, auth.RoleService, "products:read"), Want: "ok"})
		for _, id := range []string{g.product, g.category, brand} {
			stands[id] = stands[id] || strings.Contains(page.Body, `{"aggregate_id":"`+id+`"`)
		}
		next, more := page.JSON["next_cursor"].(string)
		if cursor = "&cursor=" + next; !more {
			break
		}
	}
	if !stands[g.product] || !stands[g.category] || !stands[brand] {
		g.t.Errorf("the snapshot has %v", stands)
	}
	const delist = `{"stage":"delisted","reason":"complaint 4711"}`
	key := g.key()
	overrule := func(token, key, body, want string) { g.seen(g.version, "PUT", public+"/stage", token, key, body, want) }
	overrule(g.token(opsOfProducts, auth.RoleShopper), g.key(), delist, "step_up_required") // it is of no session
	overrule(g.owner, g.key(), delist, "own_seller")                                        // who has the role ops
	g.seen(g.version-1, "PUT", public+"/stage", g.admin, g.key(), delist, "changed_since")
	g.unseen("PUT", public+"/stage", g.admin, delist)
	overrule(g.admin, key, delist, "ok")
	overrule(g.admin, key, delist, "ok")
	overrule(g.admin, key, strings.Replace(delist, "4711", "4712", 1), "mismatch")
	g.version++
	g.edit("PUT", "/stage", `{"stage":"archived"}`, "ok")
	overrule(g.admin, g.key(), delist, "wrong_state")
	g.edit("POST", "/restorations", `{"version":1}`, "wrong_state")
}

// goodsOf are requests of all operations of people of a seller about a product, in the form that is right.
func goodsOf(seller, product, category string) []shot {
	const sku = `{"options":{"size":"s"},"grams":200,"size_mm":{"length":300,"width":200,"height":20}}`
	at, match := "/v1/sellers/"+seller+"/products/"+product, http.Header{"If-Match": {`"777"`}}
	content := strings.ReplaceAll(shirt, "CATEGORY", category)
	return []shot{
		{Method: "GET", Path: "/v1/sellers/" + seller + "/products"},
		{Method: "POST", Path: "/v1/sellers/" + seller + "/products", Body: content},
		{Method: "GET", Path: at},
		{Method: "PUT", Path: at, Header: match, Body: content},
		{Method: "PUT", Path: at + "/stage", Header: match, Body: `{"stage":"in_review"}`},
		{Method: "PUT", Path: at + "/texts/en", Header: match, Body: `{"title":"x"}`},
		{Method: "DELETE", Path: at + "/texts/en", Header: match},
		{Method: "POST", Path: at + "/skus", Header: match, Body: sku},
		{Method: "PUT", Path: at + "/skus/4096", Header: match, Body: strings.Replace(sku, "{", `{"state":"active",`, 1)},
		{Method: "GET", Path: at + "/versions"},
		{Method: "POST", Path: at + "/restorations", Header: match, Body: `{"version":1}`},
		{Method: "POST", Path: at + "/media", Body: `{"type":"image/png","bytes":1,"sha256":"` + strings.Repeat("0", 64) + `"}`},
		{Method: "POST", Path: at + "/media/" + noMedia + "/check"},
	}
}

// goodsShots are requests of all operations of products of sellers. Each of a seller is of another one of its people, because a user has a limit.
func (g *goods) goodsShots(seller, product string) []shot {
	g.t.Helper()
	match := http.Header{"If-Match": {`"777"`}}
	all := goodsOf(seller, product, g.category)
	for i := range all {
		all[i].Token = g.token(int64(150+i), auth.RoleShopper)
	}
	return append(
		all,
		shot{Method: "GET", Path: "/v1/products/" + product},
		shot{Method: "PUT", Path: "/v1/products/" + product + "/stage", Token: g.admin, Header: match, Body: `{"stage":"delisted","reason":"x"}`},
		shot{Method: "POST", Path: "/v1/products/" + product + "/media/" + noMedia + "/decision", Token: g.support, Body: `{"approve":true,"reason":"x"}`},
		shot{Method: "GET", Path: "/v1/media_reviews", Token: g.admin},
		shot{Method: "GET", Path: "/v1/product_snapshot", Token: g.admin},
		shot{Method: "GET", Path: "/v1/product_reviews", Token: g.admin},
		shot{Method: "GET", Path: "/v1/product_reviews/" + product, Token: g.admin},
		shot{Method: "POST", Path: "/v1/product_reviews/" + product + "/claim", Token: g.support},
		shot{Method: "POST", Path: "/v1/product_reviews/" + product + "/decision", Token: g.support, Header: match, Body: `{"approve":true,"reason":"x"}`},
	)
}

// exerciseGoodsForms sends all of them in wrong forms, about what is not there, and as of another version.
func (g *goods) exerciseGoodsForms() {
	g.t.Helper()
	for i, s := range g.goodsShots(g.seller, g.product) {
		if user := int64(150 + i); strings.HasPrefix(s.Path, "/v1/sellers/") {
			g.member(user)
		}
		about := func(old, with, want string, undocumented bool) {
			if strings.Contains(s.Path, old) {
				other := s
				other.Path, other.Want, other.Undocumented = strings.Replace(s.Path, old, with, 1), want, undocumented
				g.shoot(other)
			}
		}
		about(g.seller, "sel_0000000000015", "unknown_seller", false)
		about(g.seller, "7", "malformed", true)
		about(g.product, noProduct, "unknown_product", false)
		about(g.product, "cat_0000000000001", "malformed", true)
		about("/texts/en", "/texts/EN", "malformed", true)
		about("/skus/4096", "/skus/x", "malformed", true)
		about(noMedia, "prd_0000000000001", "malformed", true)
		if s.Header != nil {
			old := s
			if old.Want = "changed_since"; strings.HasSuffix(s.Path, "/decision") {
				old.Want = "wrong_state" // it is in no review
			}
			g.shoot(old)
			old.Header, old.Want, old.Undocumented = nil, "if_match_missing", true
			g.shoot(old)
		}
		g.exerciseForm(s)
	}
}

// exerciseGoodsOutage takes the tables of products away.
func (g *goods) exerciseGoodsOutage() {
	g.t.Helper()
	g.everyProduct("RENAME TABLE products__ TO no_products__")
	g.everyProduct("RENAME TABLE product_versions__ TO no_product_versions__")
	g.everyProduct("RENAME TABLE product_media__ TO no_product_media__")
	for _, s := range g.goodsShots(g.seller, g.product) {
		s.Want = "unavailable"
		g.shoot(s)
	}
	g.exercisePricesOutage()
}
