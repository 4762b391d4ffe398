package api

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/stock"
	"sluice/edge/batch"
)

// TestShedsBeforeAnyWork has an edge without room for takers. It says so before it reads a body or checks a signature. Who
// settles is served.
func TestShedsBeforeAnyWork(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 100, func(s *stock.Settings) { s.ExtendMax = time.Hour })
	service, shopper := f.token(1, auth.RoleService), f.token(7, auth.RoleShopper)
	first, second := f.reserved(shopper, 1), f.reserved(shopper, 1)
	post := func(path, token, body string) answer {
		t.Helper()
		return f.do(call{method: "POST", path: path, token: token, body: body})
	}
	shed := func(path, token, body string) {
		t.Helper()
		got := post(path, token, body)
		if got.code() != "overloaded" || got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") != "1" {
			t.Errorf("%s %s: %d %v %s", path, body, got.status, got.header, got.body)
		}
	}

	f.full = batch.ErrFull
	for _, path := range []string{reservePath, "/v1/deductions", "/v1/baskets"} {
		shed(path, shopper, `{"sku_id"`)
		shed(path, "no token of ours", taken(1, 1))
		shed(path, "", "")
	}
	for _, settling := range []struct {
		path, body string
		status     int
	}{
		{first + "/extend", fmt.Sprintf(`{"expires_at":%q}`, noon.Add(30*time.Minute).Format(time.RFC3339)), 200},
		{first + "/confirm", "", 200},
		{second + "/release", "", 200},
		{"/v1/returns", `{"sku_id":"1","quantity":1,"user_id":"7","reason":"torn"}`, 201},
	} {
		if got := post(settling.path, service, settling.body); got.status != settling.status {
			t.Errorf("%s: %d %s", settling.path, got.status, got.body)
		}
	}

	f.full, f.fullFor = nil, map[stock.Cell]error{{SKU: 1}: batch.ErrFull}
	f.load(stock.Cell{SKU: 2}, 100, nil)
	shed(reservePath, shopper, taken(1, 1))
	shed(reservePath, "no token of ours", taken(1, 1))
	if got := post(reservePath, shopper, `{"sku_id"`); got.status != http.StatusBadRequest {
		t.Errorf("a body that is none: %s", got.body)
	}
	if got := post(reservePath, shopper, taken(2, 1)); got.status != http.StatusCreated {
		t.Errorf("where there is room: %s", got.body)
	}
}

// TestSoldOutIsSaidWithoutRoom has an edge without room, and a SKU that is certainly sold out: that ends the matter for its shoppers,
// and nobody else.
func TestSoldOutIsSaidWithoutRoom(t *testing.T) {
	t.Parallel()
	for name, fill := range map[string]func(f *fixture){
		"anywhere":    func(f *fixture) { f.full = batch.ErrFull },
		"of the lane": func(f *fixture) { f.fullFor = map[stock.Cell]error{{SKU: 1}: batch.ErrFull, {SKU: 2}: batch.ErrFull} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.load(stock.Cell{SKU: 1}, 100, nil)
			f.load(stock.Cell{SKU: 2}, 100, nil)
			shopper := f.token(7, auth.RoleShopper)
			f.soldOut[stock.Cell{SKU: 1}] = true
			fill(f)
			for body, want := range map[string]string{taken(1, 1): "sold_out", taken(2, 1): "overloaded"} {
				if got := f.do(call{method: "POST", path: reservePath, token: shopper, body: body}); got.code() != want {
					t.Errorf("%s: %d %s, want %s", body, got.status, got.body, want)
				}
			}
			if got := f.do(call{method: "POST", path: reservePath, token: "no token of ours", body: taken(1, 1)}); got.code() != "unauthorized" {
				t.Errorf("to nobody: %s", got.body)
			}
		})
	}
}
