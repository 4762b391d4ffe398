package catalog_test

import (
	"fmt"
	"net/http"
	"strings"

	"sluice/core/auth"
	"sluice/core/local/contracttest"
)

const (
	sellerOfPrices = 2170
	listOf         = `{"prices":[{"kind":"list","price":{"amount":AMOUNT,"currency":"EUR"}}]}`
)

func listPrice(amount int) string { return strings.Replace(listOf, "AMOUNT", fmt.Sprint(amount), 1) }

// exercisePrices prices SKUs of the product that exerciseListed has archived, listed once more for this.
func (g *goods) exercisePrices() {
	g.t.Helper()
	g.member(sellerOfPrices)
	g.everyProduct("UPDATE products__ SET stage = 'listed' WHERE stage = 'archived'")
	defer g.everyProduct("UPDATE products__ SET stage = 'archived' WHERE stage = 'listed'")
	whole := g.shoot(shot{Method: "GET", Path: g.path(""), Token: g.owner, Want: "ok"})
	skus, _ := whole.JSON["skus"].([]any)
	first, _ := skus[0].(map[string]any)
	g.sku = fmt.Sprint(first["sku_id"])
	token, at, public := g.token(sellerOfPrices, auth.RoleShopper), g.path("/skus/"+g.sku+"/prices/de"), "/v1/products/"+g.product+"/prices?market=de"
	set := func(version int, body, want string) contracttest.Answer {
		g.t.Helper()
		return g.change("PUT", at, token, g.key(), fmt.Sprintf(`"%d"`, version), body, want)
	}
	if markets := g.shoot(shot{Method: "GET", Path: "/v1/markets", Want: "ok"}); !strings.Contains(markets.Body, `"market":"de"`) {
		g.t.Errorf("the markets are %s", markets.Body)
	}
	if none := g.shoot(shot{Method: "GET", Path: at, Token: token, Want: "ok"}); none.Header.Get("Etag") != `"1"` || !strings.Contains(none.Body, `"prices":[]`) {
		g.t.Errorf("there are the prices %s", none.Body)
	}
	if none := g.shoot(shot{Method: "GET", Path: public, Want: "ok"}); !strings.Contains(none.Body, `"data":[]`) {
		g.t.Errorf("shoppers see %s", none.Body)
	}
	key := g.key()
	made := g.change("PUT", at, token, key, `"1"`, listPrice(2000), "ok")
	if again := g.change("PUT", at, token, key, `"1"`, listPrice(2000), "ok"); again.Body != made.Body || made.Header.Get("Etag") != `"2"` {
		g.t.Errorf("made %s, and again %s", made.Body, again.Body)
	}
	g.change("PUT", at, token, key, `"1"`, listPrice(2001), "mismatch")
	set(1, listPrice(2001), "changed_since")
	set(2, listPrice(2001), "wrong_state") // without the price that has begun
	g.everyValue("UPDATE sellers__ SET state = 'suspended' WHERE applicant = 141")
	set(2, listPrice(2001), "wrong_state")
	g.everyValue("UPDATE sellers__ SET state = 'open' WHERE applicant = 141")
	prices, _ := made.JSON["prices"].([]any)
	price, _ := prices[0].(map[string]any)
	kept := fmt.Sprintf(`{"price_id":%q,"kind":"list","price":{"amount":2000,"currency":"EUR"}}`, price["price_id"])
	with := func(more string) string { return `{"prices":[` + kept + more + `]}` }
	set(2, with(`,{"kind":"list","price":{"amount":2100,"currency":"EUR"}}`), "price_contradicts")
	set(2, with(`,{"kind":"promotion","price":{"amount":2000,"currency":"EUR"}}`), "price_contradicts")
	set(2, with(`,{"kind":"member","level":3,"channel":"app","price":{"amount":1800,"currency":"EUR"},"from":"2030-01-01T00:00:00Z","to":"2030-02-01T00:00:00.5+01:00"},{"kind":"promotion","price":{"amount":1500,"currency":"EUR"}}`), "ok")
	if shown := g.shoot(shot{Method: "GET", Path: public + "&channel=app", Want: "ok"}); !strings.Contains(shown.Body, `"price":1500`) || !strings.Contains(shown.Body, `"until":"2030-01-01T00:00:00Z"`) {
		g.t.Errorf("shoppers see %s", shown.Body)
	}
	changes := g.shoot(shot{Method: "GET", Path: at + "/changes?limit=1", Token: token, Want: "ok"})
	if !strings.Contains(changes.Body, `"version":3`) || !strings.Contains(changes.Body, fmt.Sprintf(`"actor":"shopper:%d"`, sellerOfPrices)) {
		g.t.Errorf("the last change is %s", changes.Body)
	}
	g.shoot(shot{Method: "GET", Path: at + "/changes?limit=1&cursor=" + g.text(changes, "next_cursor"), Token: token, Want: "ok"})
	g.shoot(shot{Method: "GET", Path: at + "/changes?cursor=01", Token: token, Want: "malformed", Undocumented: true})
	keyed := g.text(g.write("POST", "/v1/sellers/"+g.seller+"/api_keys", g.owner, g.key(), keyFor("products:read"), "ok"), "key")
	for _, path := range []string{at, at + "/changes"} {
		if got := g.shoot(shot{Method: "GET", Path: path, Token: keyed, Want: "ok"}); !strings.Contains(got.Body, `"amount":1500`) {
			g.t.Errorf("a system of the seller sees %s", got.Body)
		}
	}
	page := g.shoot(shot{Method: "GET", Path: "/v1/price_snapshot?limit=1", Token: g.token(1, auth.RoleService, "products:read"), Want: "ok"})
	if !strings.Contains(page.Body, `"aggregate_id":"`+g.sku+`_de"`) {
		g.t.Errorf("the snapshot has %s", page.Body)
	}
	g.shoot(shot{Method: "GET", Path: "/v1/price_snapshot?cursor=0.1_de", Token: g.admin, Want: "ok"})
	g.shoot(shot{Method: "GET", Path: "/v1/price_snapshot?cursor=x", Token: g.admin, Want: "malformed", Undocumented: true})
	g.exercisePriceForms()
	g.exerciseQuotes()
	g.everyProduct("UPDATE products__ SET stage = 'delisted' WHERE stage = 'listed'")
	g.shoot(shot{Method: "GET", Path: public, Want: "unknown_product"})
	g.everyProduct("UPDATE products__ SET stage = 'listed' WHERE stage = 'delisted'")
}

// member makes a user who is a member of the seller.
func (g *goods) member(user int64) {
	g.t.Helper()
	g.makeUser(user)
	g.everyValue(fmt.Sprintf("INSERT INTO seller_members__ (seller_id, user_id, role, since) SELECT seller_id, %d, 'member', NOW(3) FROM sellers__ WHERE applicant = 141", user))
}

// pricesOf are requests of all operations of people of a seller about prices, in the form that is right.
func pricesOf(seller, product, sku string) []shot {
	at := "/v1/sellers/" + seller + "/products/" + product + "/skus/" + sku + "/prices/de"
	return []shot{
		{Method: "GET", Path: at},
		{Method: "PUT", Path: at, Header: http.Header{"If-Match": {`"777"`}}, Body: listPrice(100)},
		{Method: "GET", Path: at + "/changes"},
	}
}

// priceShots are requests of all operations of prices. Each of a seller is of another one of its people, because a user has a limit.
func (g *goods) priceShots() []shot {
	g.t.Helper()
	all := pricesOf(g.seller, g.product, g.sku)
	for i := range all {
		all[i].Token = g.token(int64(sellerOfPrices+1+i), auth.RoleShopper)
	}
	return append(
		all,
		shot{Method: "GET", Path: "/v1/products/" + g.product + "/prices?market=de"},
		shot{Method: "GET", Path: "/v1/price_snapshot", Token: g.admin},
		shot{Method: "GET", Path: "/v1/markets"},
	)
}

// exercisePriceForms sends all of them in wrong forms, about what is not there, and as of another version.
func (g *goods) exercisePriceForms() {
	g.t.Helper()
	for i, s := range g.priceShots() {
		if i < len(pricesOf("", "", "")) {
			g.member(int64(sellerOfPrices + 1 + i))
		}
		about := func(old, with, want string, undocumented bool) {
			if strings.Contains(s.Path, old) {
				other := s
				other.Path, other.Want, other.Undocumented = strings.Replace(s.Path, old, with, 1), want, undocumented
				g.shoot(other)
			}
		}
		about("/"+g.seller, "/sel_0000000000015", "unknown_seller", false)
		about("/"+g.product, "/"+noProduct, "unknown_product", false)
		about("/"+g.product, "/7", "malformed", true)
		about("/"+g.sku, "/4096", "unknown_sku", false)
		about("/"+g.sku, "/x", "malformed", true)
		about("prices/de", "prices/xx", "unknown_market", false)
		about("market=de", "market=xx", "unknown_market", false)
		about("?market=de", "", "malformed", true)
		if s.Header != nil {
			old := s
			old.Want = "changed_since"
			g.shoot(old)
			old.Header, old.Want, old.Undocumented = nil, "if_match_missing", true
			g.shoot(old)
		}
		if strings.Contains(s.Path, "?") {
			g.shoot(shot{Method: "GET", Path: s.Path + "&surprise=1", Want: "malformed"})
			g.document.Head(g.t, s)
			continue
		}
		g.exerciseForm(s)
	}
	s := g.priceShots()[1]
	for _, wrong := range []string{
		`{"prices":[{"kind":"list","price":{"amount":0,"currency":"EUR"}}]}`,
		`{"prices":[{"kind":"list","price":{"amount":100,"currency":"USD"}}]}`,
		`{"prices":[{"kind":"member","level":1,"price":{"amount":100000001,"currency":"EUR"}}]}`,
	} {
		g.change("PUT", s.Path, g.token(sellerOfPrices, auth.RoleShopper), g.key(), `"3"`, wrong, "malformed") // what the document cannot say
	}
	for _, wrong := range []string{
		`{}`, `{"prices":null}`, `{"prices":[{"kind":"list"}]}`, `{"prices":[{"kind":"gift","price":{"amount":1,"currency":"EUR"}}]}`,
		`{"prices":[{"kind":"list","price":{"amount":1.5,"currency":"EUR"}}]}`, `{"prices":[{"kind":"list","price":{"amount":"1","currency":"EUR"}}]}`,
		`{"prices":[{"kind":"list","price":{"amount":-1,"currency":"EUR"}}]}`, `{"prices":[{"kind":"list","price":{"amount":9007199254740992,"currency":"EUR"}}]}`,
		`{"prices":[{"kind":"list","channel":"","price":{"amount":100,"currency":"EUR"}}]}`, `{"prices":[{"kind":"list","level":0,"price":{"amount":100,"currency":"EUR"}}]}`,
		`{"prices":[{"kind":"list","price":{"amount":100,"currency":"EUR"},"from":"today"}]}`, `{"prices":[{"price_id":"prd_0000000000013","kind":"list","price":{"amount":100,"currency":"EUR"}}]}`,
	} {
		g.shoot(shot{
			Method: "PUT", Path: s.Path, Token: g.token(sellerOfPrices, auth.RoleShopper), Body: wrong, Want: "malformed", Undocumented: true,
			Header: http.Header{"If-Match": {`"3"`}, "Idempotency-Key": {g.key()}},
		})
	}
}

// wholeMarket is a market in which a unit may cost as much as an amount can be.
const wholeMarket = `{"markets": [
	{"code": "de", "currency": "EUR", "locale": "de", "price_min": 1, "price_max": 100000000, "regime": {"inclusive": true, "rounding": "half_up", "rates": {"standard": 190000}}},
	{"code": "hu", "currency": "HUF", "locale": "hu", "price_min": 1, "price_max": 9007199254740991, "regime": {"inclusive": true, "rounding": "half_up", "rates": {"standard": 270000}}}
]}`

// quoteShot asks for a quote of the SKU that has prices.
func (g *goods) quoteShot() shot {
	return shot{
		Method: "POST", Path: "/v1/me/quotes", Token: g.token(sellerOfPrices+10, auth.RoleShopper),
		Body: `{"market":"de","items":[{"sku_id":"` + g.sku + `","quantity":3}]}`,
	}
}

// exerciseQuotes asks for quotes in all forms.
func (g *goods) exerciseQuotes() {
	g.t.Helper()
	s := g.quoteShot()
	ask := func(want string, undocumented bool, edit ...string) contracttest.Answer {
		g.t.Helper()
		other := s
		other.Body, other.Want, other.Undocumented = strings.NewReplacer(edit...).Replace(s.Body), want, undocumented
		return g.shoot(other)
	}
	if of := ask("ok", false); !strings.Contains(of.Body, `"total":{"amount":4500,"currency":"EUR"}`) || !strings.Contains(of.Body, `"tax":{"amount":718,`) {
		g.t.Errorf("the quote is %s", of.Body)
	}
	ask("ok", false, `"items"`, `"channel":"app","items"`)
	ask("unknown_market", false, `"de"`, `"xx"`)
	ask("no_price", false, `"de"`, `"hu"`)
	ask("no_price", false, g.sku, "4096")
	at := g.path("/skus/" + g.sku + "/prices/hu")
	g.change("PUT", at, g.token(sellerOfPrices, auth.RoleShopper), g.key(), `"1"`, `{"prices":[{"kind":"list","price":{"amount":9007199254740991,"currency":"HUF"}}]}`, "ok")
	ask("amount_too_large", false, `"de"`, `"hu"`)
	for _, edit := range [][]string{
		{`"de"`, `"DE"`},
		{`"quantity":3`, `"quantity":0`},
		{`"quantity":3`, `"quantity":-1`},
		{`"quantity":3`, `"quantity":1000001`},
		{`"quantity":3`, `"quantity":1.5`},
		{`,"quantity":3`, ``},
		{`"` + g.sku + `"`, g.sku},
		{`"` + g.sku + `"`, `"0"`},
		{`"items":[`, `"channel":"","items":[`},
		{`"items":[`, `"items":[],"x":[`},
	} {
		ask("malformed", true, edit...)
	}
	g.exerciseForm(s)
}

// exercisePricesOutage looks at prices while the tables of products are away, and where prices stand in the topic.
func (g *goods) exercisePricesOutage() {
	g.t.Helper()
	g.everyProduct("RENAME TABLE price_versions__ TO no_price_versions__")
	for _, s := range append(g.priceShots(), g.quoteShot()) {
		if s.Path != "/v1/markets" {
			s.Want = "unavailable"
			g.shoot(s)
		}
	}
}
