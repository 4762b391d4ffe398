package api

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/auth"
	"sluice/core/stock"
)

// A HEAD is answered as its GET is, but for the body, and the connection goes on behind it.
func TestHeadIsGetWithoutItsBody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 5}, 10, nil)
	shopper := f.token(7, auth.RoleShopper)
	admin := f.token(1, auth.RoleAdmin)
	held := f.do(call{method: "POST", path: "/v1/reservations", token: shopper, body: `{"sku_id":"5","quantity":1}`})
	for _, c := range []call{
		{path: "/v1/stock/5"},
		{path: "/v1/stock/6"},
		{path: "/v1/stock/5?surprise=1"},
		{path: "/v1/stock?sku_ids=5,6"},
		{path: "/v1/reservations/" + fmt.Sprint(held.json["reservation_id"]), token: shopper},
		{path: "/v1/reservations/" + fmt.Sprint(held.json["reservation_id"])},
		{path: "/v1/reservations/x", token: shopper},
		{path: "/admin/v1/skus/5", token: admin},
		{path: "/admin/v1/skus/5", token: shopper},
		{path: "/admin/v1/sales/5", token: admin},
		{path: "/nowhere"},
	} {
		c.method = "GET"
		got := f.do(c)
		req, err := http.NewRequest(http.MethodHead, "http://"+f.addr+c.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if c.token != "" {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		resp, err := f.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || len(body) > 0 || resp.StatusCode != got.status {
			t.Errorf("HEAD %s: %d %q, %v; want %d and no body", c.path, resp.StatusCode, body, err, got.status)
		}
		for _, header := range []http.Header{resp.Header, got.header} {
			header.Del("X-Request-Id")
			header.Del("Date")
		}
		if diff := cmp.Diff(got.header, resp.Header); diff != "" {
			t.Errorf("HEAD %s: -GET +HEAD\n%s", c.path, diff)
		}
	}
}

func TestWhatIsMadeIsLocated(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 5}, 10, nil)
	shopper, service, admin := f.token(7, auth.RoleShopper), f.token(2, auth.RoleService), f.token(1, auth.RoleAdmin)
	for _, c := range []call{
		{method: "POST", path: "/v1/reservations", token: shopper, body: `{"sku_id":"5","quantity":1}`},
		{method: "POST", path: "/v1/deductions", token: service, body: `{"sku_id":"5","quantity":1,"user_id":"7"}`},
		{method: "PUT", path: "/admin/v1/skus/6", token: admin, body: `{"quantity":10,"reason":"first"}`},
	} {
		for range 2 { // a replay too
			c.key = "same"
			got := f.do(c)
			want := c.path
			if id, ok := got.json["reservation_id"]; ok {
				want = fmt.Sprintf("/v1/reservations/%v", id)
			}
			if got.status != 201 || got.header.Get("Location") != want {
				t.Fatalf("%s: %d %s, at %q, want %q", c.path, got.status, got.body, got.header.Get("Location"), want)
			}
			reader := admin
			if strings.HasPrefix(want, "/v1/") {
				reader = service
			}
			if found := f.do(call{method: "GET", path: want, token: reader}); found.status != 200 {
				t.Errorf("%s is not there: %s", want, found.body)
			}
		}
	}
	got := f.do(call{method: "PATCH", path: "/admin/v1/skus/6", token: admin, body: `{"limit":1,"reason":"x"}`})
	if got.status != 200 || got.header.Get("Location") != "" {
		t.Errorf("what is changed is where it was: %d %v", got.status, got.header)
	}
}

func TestProblemsPointAtTheirMember(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	shopper, admin := f.token(7, auth.RoleShopper), f.token(1, auth.RoleAdmin)
	g := func(c call, pointer any) {
		t.Helper()
		if got := f.do(c); got.code() != "malformed" || got.json["pointer"] != pointer {
			t.Errorf("%s: %s, want pointer %v", c.body, got.body, pointer)
		}
	}
	for body, pointer := range map[string]any{
		`{"sku_id":"5","quantity":1,"price":2}`:                           "/price",
		`{"sku_id":"5","quantity":1,"Sale_id":"2"}`:                       "/Sale_id",
		`{"sku_id":"5","quantity":1,"a/b~c":2}`:                           "/a~1b~0c",
		`{"sku_id":"5","quantity":1,"":2}`:                                "/",
		`{"sku_id":"5","quantity":1,"größe\u202e":2}`:                     "/größe\u202e",
		`{"sku_id":"5","quantity":1,"` + strings.Repeat("x", 64) + `":2}`: "/" + strings.Repeat("x", 64),
		`{"sku_id":"5","quantity":1,"` + strings.Repeat("x", 65) + `":2}`: nil, // a part would point elsewhere
		`{"sku_id":"5","quantity":1,"sku_id":"5"}`:                        "/sku_id",
		`{"sku_id":"5","quantity":0}`:                                     "/quantity",
		`{"sku_id":"5"`:                                                   nil,
	} {
		g(call{method: "POST", path: "/v1/reservations", token: shopper, body: body}, pointer)
	}
	for items, pointer := range map[string]any{
		`{"sku_id":"1","quantity":1},{"sku_id":"2","quantity":0}`: "/items/1/quantity",
		`{"sku_id":"1","quantity":1,"price":2}`:                   "/items/0/price",
		`{"sku_id":"1","quantity":1},{"sku_id":"2"}`:              "/items/1/quantity",
		`{"sku_id":"1","quantity":1},{"sku_id":"2","sku_id":"3"}`: "/items/1/sku_id",
		`{"sku_id":"1","quantity":1},7`:                           nil,
	} {
		g(call{method: "PUT", path: "/admin/v1/sales/5", token: admin, body: `{"name":"x","items":[` + items + `]}`}, pointer)
	}
	g(call{method: "PUT", path: "/admin/v1/sales/5", token: admin, body: `{"name":"x","items":[]}`}, "/items")
}
