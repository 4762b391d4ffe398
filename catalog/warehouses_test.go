package catalog_test

import (
	"fmt"
	"net/http"
	"strings"

	"sluice/core/auth"
)

const noWarehouse = "whs_0000000000001"

const (
	porto     = `{"name":"Porto","country":"PT","divisions":["PT-13"],"priority":1,"parcel_cost":450,"source":"erp-1"}`
	portoTo   = `{"state":"open","name":"Porto 2","country":"PT"}`
	keptSome  = `{"safe_stock":5,"safe_reduces":true,"low_at":10,"ahead":{"kind":"backorder","units":20,"on":"2026-12-24"}}`
	delivered = `{"warehouse_id":"WAREHOUSE","position":7,"lines":[{"sku_id":"SKU","kind":"received","quantity":50}]}`
)

// stockOf are requests of all operations of people of a seller about its stock, in the form that is right.
func stockOf(seller, warehouse, sku string) []shot {
	at, match := "/v1/sellers/"+seller, http.Header{"If-Match": {`"777"`}}
	return []shot{
		{Method: "GET", Path: at + "/warehouses"},
		{Method: "POST", Path: at + "/warehouses", Body: porto},
		{Method: "GET", Path: at + "/warehouses/" + warehouse},
		{Method: "PUT", Path: at + "/warehouses/" + warehouse, Header: match, Body: portoTo},
		{Method: "GET", Path: at + "/stock_documents/erp-1/DN-1"},
		{Method: "PUT", Path: at + "/stock_documents/erp-1/DN-1", Body: strings.NewReplacer("WAREHOUSE", warehouse, "SKU", sku).Replace(delivered)},
		{Method: "GET", Path: at + "/stock"},
		{Method: "GET", Path: at + "/stock/" + sku},
		{Method: "PUT", Path: at + "/stock/" + sku, Header: match, Body: keptSome},
	}
}

// stockMember is the token of one more member of the seller of goods, because a user has a limit.
func (g *goods) stockMember(user int64) string {
	g.t.Helper()
	g.makeUser(user)
	g.everyValue(fmt.Sprintf("INSERT INTO seller_members__ (seller_id, user_id, role, since) SELECT seller_id, %d, 'member', NOW(3) FROM sellers__ WHERE applicant = 141", user))
	return g.token(user, auth.RoleShopper)
}

// exerciseStock is about the stock of a product that is listed.
func (g *goods) exerciseStock() {
	g.t.Helper()
	at, token := "/v1/sellers/"+g.seller, g.stockMember(240)
	shown := g.shoot(shot{Method: "GET", Path: g.path(""), Token: token, Want: "ok"})
	skus, _ := shown.JSON["skus"].([]any)
	first, _ := skus[0].(map[string]any)
	sku := fmt.Sprint(first["sku_id"])

	key := g.key()
	made := g.write("POST", at+"/warehouses", token, key, porto, "ok")
	warehouse := g.text(made, "warehouse_id")
	if again := g.write("POST", at+"/warehouses", token, key, porto, "ok"); again.Body != made.Body {
		g.t.Errorf("again: %s, first %s", again.Body, made.Body)
	}
	g.write("POST", at+"/warehouses", token, key, strings.Replace(porto, "PT-13", "PT-14", 1), "mismatch")
	g.everyProduct("INSERT INTO warehouses__ SELECT seq, s.seller_id, 1, 'open', 'x', 'PT', '[]', 0, 0, 'shop', NOW(3) FROM (SELECT DISTINCT seller_id FROM products__ WHERE stage = 'listed') AS s, seq_1_to_99")
	g.write("POST", at+"/warehouses", token, g.key(), porto, "too_many")
	g.everyProduct("DELETE FROM warehouses__ WHERE warehouse_id < 100")

	one := at + "/warehouses/" + warehouse
	key = g.key()
	g.change("PUT", one, token, key, `"1"`, portoTo, "ok")
	g.change("PUT", one, token, key, `"1"`, strings.Replace(portoTo, "open", "closed", 1), "mismatch")
	if got := g.shoot(shot{Method: "GET", Path: one, Token: token, Want: "ok"}); got.JSON["name"] != "Porto 2" || got.JSON["source"] != "erp-1" || got.Header.Get("Etag") != `"2"` {
		g.t.Errorf("the warehouse is %s", got.Body)
	}

	document, body := at+"/stock_documents/erp-1/DN-1", strings.NewReplacer("WAREHOUSE", warehouse, "SKU", sku).Replace(delivered)
	said := func(path, token, body, want string) string {
		g.t.Helper()
		return g.write("PUT", path, token, g.key(), body, want).Body
	}
	told := said(document, token, body, "ok")
	if again := said(document, token, body, "ok"); again != told || !strings.Contains(told, `"applied":true`) {
		g.t.Errorf("told %s, again %s", told, again)
	}
	said(document, token, strings.Replace(body, `:50`, `:51`, 1), "mismatch")
	said(at+"/stock_documents/wms/DN-1", token, body, "wrong_state")
	said(at+"/stock_documents/erp-1/DN-2", token, strings.Replace(body, sku, "4096", 1), "unknown_sku")
	keyed := g.text(g.write("POST", at+"/api_keys", g.owner, g.key(), keyFor("stock:write"), "ok"), "key")
	counted := strings.NewReplacer("received", "counted", ":50", ":48", `"position":7`, `"position":9`).Replace(body)
	if got := said(at+"/stock_documents/erp-1/CNT-1", keyed, counted, "ok"); !strings.Contains(got, `"difference":-2`) {
		g.t.Errorf("a system counted: %s", got)
	}
	if got := g.shoot(shot{Method: "GET", Path: at + "/stock_documents/erp-1/CNT-1", Token: token, Want: "ok"}); !strings.Contains(got.Body, `"known":50`) {
		g.t.Errorf("the document is %s", got.Body)
	}
	g.shoot(shot{Method: "GET", Path: at + "/stock", Token: keyed, Want: "forbidden"})

	key = g.key()
	g.change("PUT", at+"/stock/"+sku, token, key, `"1"`, keptSome, "ok")
	g.change("PUT", at+"/stock/"+sku, token, key, `"1"`, `{}`, "mismatch")
	is := g.shoot(shot{Method: "GET", Path: at + "/stock/" + sku, Token: token, Want: "ok"})
	if is.JSON["supplied"] != 48.0 || is.JSON["target"] != 63.0 || is.Header.Get("Etag") != `"2"` {
		g.t.Errorf("the stock is %s", is.Body)
	}
	list := g.shoot(shot{Method: "GET", Path: at + "/stock?limit=1", Token: token, Want: "ok"})
	g.shoot(shot{Method: "GET", Path: at + "/stock?low=true&cursor=" + sku, Token: token, Want: "ok"})
	hints := g.shoot(shot{Method: "GET", Path: "/v1/products/" + g.product + "/stock", Want: "ok"})
	if !strings.Contains(list.Body, sku) || !strings.Contains(hints.Body, `"/v1/stock?sku_ids=`+sku) || !strings.Contains(hints.Body, "2026-12-24") {
		g.t.Errorf("the list is %s, and the hints are %s", list.Body, hints.Body)
	}

	g.everyValue("UPDATE sellers__ SET state = 'suspended' WHERE applicant = 141")
	g.write("POST", at+"/warehouses", token, g.key(), porto, "wrong_state")
	g.change("PUT", one, token, g.key(), `"2"`, portoTo, "wrong_state")
	g.change("PUT", at+"/stock/"+sku, token, g.key(), `"2"`, keptSome, "wrong_state")
	g.everyValue("UPDATE sellers__ SET state = 'open' WHERE applicant = 141")
	g.exerciseStockForms(warehouse, sku)
}

// stockShots are requests of all operations of stock.
func (g *goods) stockShots(warehouse, sku string) []shot {
	all := stockOf(g.seller, warehouse, sku)
	for i := range all {
		all[i].Token = g.token(int64(241+i), auth.RoleShopper)
	}
	return append(all, shot{Method: "GET", Path: "/v1/products/" + g.product + "/stock"})
}

// exerciseStockForms sends all of them in wrong forms, about what is not there, and as of another version.
func (g *goods) exerciseStockForms(warehouse, sku string) {
	g.t.Helper()
	for i, s := range g.stockShots(warehouse, sku) {
		if s.Token != "" {
			g.stockMember(int64(241 + i))
		}
		about := func(old, with, want string, undocumented bool) {
			other := s
			if other.Path = strings.Replace(s.Path, old, with, 1); other.Path != s.Path {
				other.Want, other.Undocumented = want, undocumented
				g.shoot(other)
			}
		}
		about(g.seller, "sel_0000000000015", "unknown_seller", false)
		about(g.product, noProduct, "unknown_product", false)
		about(g.product, "7", "malformed", true)
		about(warehouse, noWarehouse, "unknown_warehouse", false)
		about(warehouse, "x", "malformed", true)
		about("/stock/"+sku, "/stock/4096", "unknown_sku", false)
		about("/stock/"+sku, "/stock/0", "malformed", true)
		if s.Method == http.MethodGet {
			about("DN-1", "DN-3", "unknown_document", false)
		}
		about("erp-1", "ERP", "malformed", true)
		about("DN-1", "-", "malformed", true)
		for _, wrong := range [][2]string{{"PT\"", "pt\""}, {`"PT-13"`, `""`}, {`"position":7`, `"position":0`}, {":50", ":0"}, {"received", "lost"}, {sku + `"`, `0"`}, {"2026-12-24", "2026-02-30"}} {
			other := s
			if other.Body = strings.Replace(s.Body, wrong[0], wrong[1], 1); other.Body != s.Body {
				other.Want, other.Undocumented = "malformed", wrong[1] != "2026-02-30" && wrong[1] != ":0"
				g.shoot(other)
			}
		}
		if strings.Contains(s.Body, warehouse) {
			other := s
			other.Body, other.Want = strings.Replace(s.Body, warehouse, noWarehouse, 1), "unknown_warehouse"
			g.shoot(other)
		}
		if s.Header != nil {
			old := s
			old.Want = "changed_since"
			g.shoot(old)
			old.Header, old.Want, old.Undocumented = nil, "if_match_missing", true
			g.shoot(old)
		}
		g.exerciseForm(s)
	}
	g.stocked = [2]string{warehouse, sku}
}

// exerciseStockOutage takes the tables of stock away.
func (g *goods) exerciseStockOutage() {
	g.t.Helper()
	for _, table := range []string{"warehouses", "stock_skus", "stock_documents"} {
		g.everyProduct("RENAME TABLE " + table + "__ TO no_" + table + "__")
	}
	for _, s := range g.stockShots(g.stocked[0], g.stocked[1]) {
		s.Want = "unavailable"
		g.shoot(s)
	}
}
