package api

import (
	"net/http"
	"strings"
	"testing"

	"sluice/core/auth"
	"sluice/core/stock"
)

func TestAdminBodiesThatAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 5}, 10, nil)
	f.load(stock.Cell{SKU: 5, Pool: 9}, 10, nil)
	admin := f.token(1, auth.RoleAdmin)
	g := func(method, path, body, pointer string) {
		t.Helper()
		got := f.do(call{method: method, path: path, token: admin, body: body})
		if got.code() != "malformed" || pointer != "" && got.json["pointer"] != pointer {
			t.Errorf("%s %s %s: %s", method, path, body, got.body)
		}
	}
	for body, pointer := range map[string]string{
		`{"reason":"x"}`:                                                "/quantity",
		`{"quantity":1}`:                                                "/reason",
		`{"quantity":null,"reason":"x"}`:                                "/quantity",
		`{"quantity":-1,"reason":"x"}`:                                  "/quantity",
		`{"quantity":1099511627776,"reason":"x"}`:                       "/quantity",
		`{"quantity":1,"reason":""}`:                                    "/reason",
		`{"quantity":1,"reason":5}`:                                     "/reason",
		`{"quantity":1,"reason":"a\nb"}`:                                "/reason",
		`{"quantity":1,"reason":"a\u009bb"}`:                            "/reason",
		`{"quantity":1,"reason":"a\u202eb"}`:                            "/reason",
		`{"quantity":1,"reason":"a\u2028b"}`:                            "/reason",
		`{"quantity":1,"reason":"a\udb40\udc41b"}`:                      "/reason",
		`{"quantity":1,"reason":"` + strings.Repeat("x", 201) + `"}`:    "/reason",
		`{"quantity":1,"reason":"x","limit":1000001}`:                   "/limit",
		`{"quantity":1,"reason":"x","hold_ms":0}`:                       "/hold_ms",
		`{"quantity":1,"reason":"x","hold_ms":2592000001}`:              "/hold_ms",
		`{"quantity":1,"reason":"x","ack":"both"}`:                      "/ack",
		`{"quantity":1,"reason":"x","frozen":"true"}`:                   "/frozen",
		`{"quantity":1,"reason":"x","opens_at":"tomorrow"}`:             "/opens_at",
		`{"quantity":1,"reason":"x","opens_at":"1970-01-01T00:00:00Z"}`: "/opens_at", // it would be no bound
		`{"quantity":1,"reason":"x","opens_at":1767225600000}`:          "/opens_at",
		`{"quantity":1,"reason":"x","opens_at":"2026-01-02T00:00:00Z","closes_at":"2026-01-01T00:00:00Z"}`: "/closes_at",
		`{"quantity":1,"reason":"x","sale_id":"1"}`:                                                        "",
		`{"quantity":1,"quantity":1,"reason":"x"}`:                                                         "/quantity",
		`{"Quantity":1,"reason":"x"}`:                                                                      "/Quantity",
		`{"quantity":1,"reason":"x"} {}`:                                                                   "",
		`{"quantity":1,"reason":"x"`:                                                                       "",
		"\ufeff" + `{"quantity":1,"reason":"x"}`:                                                           "",
		"{\"quantity\":1,\"reason\":\"\xff\"}":                                                             "",
		`{"quantity":1,"reason":"\ud800"}`:                                                                 "/reason",
		`{"quantity":1,"reason":"x","hold_ms":01}`:                                                         "/hold_ms",
		`{"quantity":1e0,"reason":"x"}`:                                                                    "/quantity",
		`{"quantity":-0,"reason":"x"}`:                                                                     "/quantity",
		`{"quantity":1,"reason":"x","limit":[1]}`:                                                          "/limit",
		`[]`: "",
	} {
		g("PUT", "/admin/v1/skus/6", body, pointer)
	}
	for _, body := range []string{"null", "[]", "1", `{"opens_at":""}`, `{"closes_at":"","closes_at":null}`} {
		g("POST", "/admin/v1/sales/1/open", body, "")
	}
	if want := errEncoding.Detail; f.do(call{method: "PUT", path: "/admin/v1/skus/6", token: admin, body: "\ufeff{}"}).json["detail"] != want {
		t.Errorf("a byte order mark is not told of")
	}
	g("PUT", "/admin/v1/skus/06", `{"quantity":1,"reason":"x"}`, "")
	g("PATCH", "/admin/v1/skus/5", `{"reason":"x"}`, "")
	nothing := f.do(call{method: "PATCH", path: "/admin/v1/skus/5", token: admin, body: `{"reason":"x"}`})
	if nothing.json["detail"] != "want at least one setting: limit, hold_ms, ack, shopper_deducts, extend_max_ms, opens_at, closes_at, frozen" {
		t.Errorf("%s", nothing.body)
	}
	g("PATCH", "/admin/v1/skus/5", `{"reason":"x","limit":null}`, "")
	g("PATCH", "/admin/v1/skus/5", `{"reason":"x","sale_id":"9","closes_at":""}`, "")
	g("PATCH", "/admin/v1/skus/5", `{"reason":"x","sale_id":"9","opens_at":"2026-01-02T00:00:00Z"}`, "")
	g("POST", "/admin/v1/skus/5/adjustments", `{"delta":0,"reason":"x"}`, "/delta")
	g("POST", "/admin/v1/skus/5/adjustments", `{"delta":1.5,"reason":"x"}`, "/delta")
	g("POST", "/admin/v1/skus/5/adjustments", `{"delta":1099511627775,"reason":"x"}`, "/delta")
	g("POST", "/admin/v1/transfers", `{"sku_id":"5","quantity":1,"reason":"x"}`, "/to_sale_id")
	g("PUT", "/admin/v1/sales/1", `{"name":"x","items":[]}`, "/items")
	g("PUT", "/admin/v1/sales/1", `{"name":"x","items":{}}`, "/items")
	g("PUT", "/admin/v1/sales/1", `{"name":"x","items":[{"sku_id":"1","quantity":1},{"sku_id":"1","quantity":1}]}`, "")
	g("PUT", "/admin/v1/sales/0", `{"name":"x","items":[{"sku_id":"1","quantity":1}]}`, "")
	g("POST", "/admin/v1/sales/1/open", `{"at":"2026-01-02T00:00:00Z"}`, "")
	for _, cell := range []stock.Cell{{SKU: 5}, {SKU: 5, Pool: 9}} {
		if c := f.state(cell); c.Seq != 1 {
			t.Errorf("something changed: %+v", c)
		}
	}
}

// A body may be missing if no member is needed, whatever type the request names. A body that needs members may not.
func TestBodiesThatMayBeMissing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 5, nil)
	admin := f.token(1, auth.RoleAdmin)
	f.do(call{method: "PUT", path: "/admin/v1/sales/7", token: admin, body: `{"name":"x","items":[{"sku_id":"1","quantity":5}]}`})
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}} // as curl has it for -d ''
	letter := "/admin/v1/dead-letters/" + strings.Repeat("0", 64)
	for path, may := range map[string]bool{
		"POST /admin/v1/sales/7/open": true, "POST /admin/v1/sales/7/close": true,
		"PUT /admin/v1/sales/7": false, "PUT /admin/v1/skus/1": false, "PATCH /admin/v1/skus/1": false, "POST /admin/v1/skus/1/adjustments": false,
		"POST /admin/v1/transfers": false, "POST " + letter + "/resolve": false, "POST " + letter + "/replay": false,
	} {
		method, path, _ := strings.Cut(path, " ")
		for _, header := range []http.Header{nil, form} {
			got := f.do(call{method: method, path: path, token: admin, header: header})
			if may && got.status != 200 || !may && (got.code() != "malformed" || got.json["detail"] != errBodyMissing.Detail) {
				t.Errorf("%s %s without a body: %d %s", method, path, got.status, got.body)
			}
		}
		if got := f.do(call{method: method, path: path, token: admin, header: form, body: "{}"}); got.code() != "unsupported_media_type" {
			t.Errorf("%s %s with a form: %s", method, path, got.body)
		}
	}
}
