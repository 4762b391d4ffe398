package api

import (
	"testing"

	"sluice/core/auth"
	"sluice/core/stock"
)

// TestOneShopperLeavesItsAddressToOthers has a shopper who calls in a loop, allowed or not, beside
// others behind the same address.
func TestOneShopperLeavesItsAddressToOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, tightLimits)
	f.load(stock.Cell{SKU: 1}, 1000, nil)
	loop := f.token(1, auth.RoleShopper)
	got := answer{}
	for range 20 {
		got = f.do(call{method: "POST", path: reservePath, token: loop, body: taken(1, 1)})
	}
	if got.code() != "rate_limited" || got.header.Get("RateLimit") != `"user";r=0;t=3` || got.header.Get("RateLimit-Policy") != `"user";q=3;w=3` {
		t.Errorf("above the user's limit: %v %s", got.header, got.body)
	}
	for range 20 {
		got = f.do(call{method: "GET", path: "/admin/v1/skus/1", token: loop})
	}
	if got.code() != "rate_limited" {
		t.Errorf("above the user's limit, where it may not go: %s", got.body)
	}
	for user := range int64(2) {
		for range 3 {
			got := f.do(call{method: "POST", path: reservePath, token: f.token(2+user, auth.RoleShopper), body: taken(1, 1)})
			if got.status != 201 {
				t.Errorf("another shopper: %v %s", got.header, got.body)
			}
		}
	}
}
