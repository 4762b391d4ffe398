package api

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/problem"
	"sluice/core/registry"
	"sluice/core/sale"
	"sluice/core/stock"
)

// Only registered users take from a sale that demands it: the screen refuses strangers, and Redis everybody else.
func TestRegistrations(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.sales.sales[7] = sale.Sale{}
	cell := stock.Cell{SKU: 5, Pool: 7}
	f.load(cell, 9, func(s *stock.Settings) { s.RegisteredOnly = true })
	f.strangers = map[int64]bool{3: true}
	take := func(path string, user int64) answer {
		return f.do(call{method: "POST", path: path, token: f.token(9, auth.RoleService), body: `{"sku_id":"5","quantity":1,"sale_id":"7","user_id":"` + string(rune('0'+user)) + `"}`})
	}
	register := func(role auth.Role, path, body string) answer {
		return f.do(call{method: "POST", path: path, token: f.token(9, role), body: body})
	}
	const path = "/admin/v1/sales/7/registrations"
	if got := take("/v1/reservations", 1); got.status != http.StatusServiceUnavailable || got.code() != "unavailable" || got.json["retryable"] != true {
		t.Errorf("while users may be missing: %d %s", got.status, got.body)
	}
	f.store.Vouch(cell.Partition(partitions), 7, 0)
	for _, at := range []string{"/v1/reservations", "/v1/deductions"} {
		for user := range int64(4) {
			if got := take(at, user+1); got.status != http.StatusForbidden || got.code() != "not_registered" {
				t.Errorf("%s of user %d: %d %s", at, user+1, got.status, got.body)
			}
		}
	}
	if want := []int64{1, 2, 4, 1, 2, 4}; !slices.Equal(f.mistaken, want) {
		t.Errorf("asked Redis about %v, want %v", f.mistaken, want)
	}
	for _, role := range []auth.Role{auth.RoleAdmin, auth.RoleService} {
		if got := register(role, path, `{"user_ids":["1","2"]}`); got.status != http.StatusOK || got.body != `{"sale_id":"7","added":2,"registered":12}` {
			t.Errorf("%v: %d %s", role, got.status, got.body)
		}
	}
	if got := take("/v1/reservations", 1); got.status != http.StatusCreated {
		t.Errorf("a registered user: %d %s", got.status, got.body)
	}
	for _, c := range []struct {
		role       auth.Role
		path, body string
		want       *problem.Kind
	}{
		{auth.RoleShopper, path, `{"user_ids":["1"]}`, problem.Forbidden},
		{auth.RoleAdmin, "/admin/v1/sales/8/registrations", `{"user_ids":["1"]}`, problem.UnknownSale},
		{auth.RoleAdmin, path, `{"user_ids":[]}`, problem.Malformed},
		{auth.RoleAdmin, path, `{"user_ids":[1]}`, problem.Malformed},
		{auth.RoleAdmin, path, `{"user_ids":["0"]}`, problem.Malformed},
		{auth.RoleAdmin, path, `{"user_ids":["01"]}`, problem.Malformed},
		{auth.RoleAdmin, path, `{}`, problem.Malformed},
	} {
		if got := register(c.role, c.path, c.body); got.code() != c.want.Code {
			t.Errorf("%v %s %s: %d %s, want %s", c.role, c.path, c.body, got.status, got.body, c.want.Code)
		}
	}
	if got := register(auth.RoleAdmin, path, `{"user_ids":["1","02"]}`); got.json["pointer"] != "/user_ids/1" {
		t.Errorf("a wrong id: %d %s", got.status, got.body)
	}
}

// A registration is answered when every edge knows the users. If that takes too long, the answer does not say that it
// is done.
func TestRegistrationWaitsForEdges(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]string{10 * registry.Spread: "", registry.Spread / 10: "outcome_unknown"} {
		f := newFixture(t, func(p *Parts) { p.AdminTimeout = timeout })
		f.sales.sales[7] = sale.Sale{}
		begun := time.Now()
		got := f.do(call{method: "POST", path: "/admin/v1/sales/7/registrations", token: f.token(9, auth.RoleAdmin), body: `{"user_ids":["1"]}`})
		if took := time.Since(begun); got.code() != want || want == "" && took < registry.Spread {
			t.Errorf("within %v: %d %s after %v", timeout, got.status, got.body, took)
		}
	}
}
