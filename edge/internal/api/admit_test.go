package api

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"sluice/core/auth"
	"sluice/core/limit"
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

// TestWhatIsRefusedBeforeTheLimitsCounts has requests that are refused for what can be seen before
// anybody asks who sends them.
func TestWhatIsRefusedBeforeTheLimitsCounts(t *testing.T) {
	t.Parallel()
	unframed := strings.Replace(post("", "", "X: a", "Content-Length: 0"), "\r\nX", "\nX", 1)
	for name, tc := range map[string]struct {
		raw  string
		call call
		code string
	}{
		"no such path":      {call: call{method: "GET", path: "/v2"}, code: "not_found"},
		"wrong method":      {call: call{method: "DELETE", path: reservePath}, code: "method_not_allowed"},
		"unknown parameter": {call: call{method: "GET", path: "/v1/stock/1?x=1"}, code: "malformed"},
		"unwanted body":     {call: call{method: "GET", path: "/v1/stock/1", body: "{}"}, code: "malformed"},
		"no SKUs":           {call: call{method: "GET", path: "/v1/stock"}, code: "malformed"},
		"no key":            {call: call{method: "POST", path: reservePath, key: "-", body: taken(1, 1)}, code: "idempotency_key_missing"},
		"malformed body":    {call: call{method: "POST", path: reservePath, body: "{"}, code: "malformed"},
		"no body":           {call: call{method: "POST", path: "/admin/v1/transfers"}, code: "malformed"},
		"another media type": {
			call: call{method: "POST", path: reservePath, body: "x", header: http.Header{"Content-Type": {"text/plain"}}},
			code: "unsupported_media_type",
		},
		"two ways to read it": {raw: unframed, code: "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, tightLimits)
			f.load(stock.Cell{SKU: 1}, 1000, nil)
			send := func() answer {
				if tc.raw == "" {
					return f.do(tc.call)
				}
				all := f.raw(tc.raw + tc.raw)
				if len(all) != 1 || !all[0].last {
					t.Fatalf("the connection goes on: %v", all)
				}
				return all[0]
			}
			var allow string
			for i := range 10 {
				got := send()
				if got.code() != tc.code {
					t.Errorf("number %d: %s", i+1, got.body)
				}
				allow = got.header.Get("Allow")
			}
			if got := send(); got.code() != "rate_limited" || got.header.Get("Allow") != allow {
				t.Errorf("the address' eleventh: %v %s", got.header, got.body)
			}
			if tc.raw != "" {
				return // nobody can tell whose it is
			}

			f.nowMS.Add(10_000)
			shopper, service := f.token(1, auth.RoleShopper), f.token(2, auth.RoleService)
			for _, token := range []string{shopper, service} { // from now on they are known
				f.do(call{method: "GET", path: reservePath + "/x", token: token})
			}
			tc.call.token = shopper
			for range 20 {
				send()
			}
			if got := send(); got.code() != "rate_limited" {
				t.Errorf("a shopper's: %v %s", got.header, got.body)
			}
			tc.call.token = f.token(3, auth.RoleShopper)
			if got := send(); got.code() != tc.code {
				t.Errorf("another one's at its address: %v %s", got.header, got.body)
			}
			tc.call.token = service
			for range 20 {
				if got := send(); got.code() != tc.code {
					t.Errorf("a service's: %v %s", got.header, got.body)
				}
			}
		})
	}
}

// TestBrokenHeadCountsAgainstItsPeer has a head that names an address and a shopper before it breaks.
func TestBrokenHeadCountsAgainstItsPeer(t *testing.T) {
	t.Parallel()
	f := newFixture(t, tightLimits, func(p *Parts) { p.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	f.load(stock.Cell{SKU: 1}, 1000, nil)
	honest := call{
		method: "POST", path: reservePath, token: f.token(1, auth.RoleShopper), body: taken(1, 1),
		header: http.Header{"X-Forwarded-For": {"192.0.2.1"}},
	}
	f.do(honest)
	broken := post(honest.token, "", "X-Forwarded-For: 192.0.2.1", "X: ended by LF\nY: y")
	for range 10 {
		f.raw(broken)
	}
	if got := f.raw(broken); len(got) != 1 || got[0].code() != "rate_limited" {
		t.Errorf("the eleventh: %v", got)
	}
	if got := f.do(honest); got.status != 201 {
		t.Errorf("whom it named: %v %s", got.header, got.body)
	}
}

func tightLimits(p *Parts) {
	p.Users = limit.New("user", limit.Config{Rate: 1, Burst: 3, KeysMax: 100}, limit.UserID)
	p.Addresses = limit.New("address", limit.Config{Rate: 1, Burst: 10, KeysMax: 100}, limit.AddressID)
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	f := newFixture(t, tightLimits)
	f.load(stock.Cell{SKU: 1}, 1000, nil)
	reserve := func(token, body string) answer {
		t.Helper()
		return f.do(call{method: "POST", path: reservePath, token: token, body: body})
	}
	first := f.token(1, auth.RoleShopper)
	got := reserve(first, taken(1, 1))
	if got.status != 201 || got.header.Get("RateLimit-Policy") != `"user";q=3;w=3, "address";q=10;w=10` ||
		got.header.Get("RateLimit") != `"user";r=2;t=1, "address";r=9;t=1` {
		t.Errorf("within the limits: %v", got.header)
	}
	reserve(first, taken(1, 1))
	reserve(first, taken(1, 1))
	if got := reserve(first, taken(1, 1)); got.code() != "rate_limited" || got.header.Get("Retry-After") != "1" {
		t.Errorf("the user's fourth: %v %s", got.header, got.body)
	}
	second := f.token(2, auth.RoleShopper)
	for range 3 {
		if got := reserve(second, taken(1, 1)); got.status != 201 {
			t.Errorf("another user: %s", got.body)
		}
	}
	for range 4 { // what the first user's limit refused took nothing from the address
		reserve("forged", taken(1, 1))
	}
	if got := reserve("forged", taken(1, 1)); got.code() != "rate_limited" {
		t.Errorf("the address' eleventh, with a forged token: %s", got.body)
	}
	service := f.token(3, auth.RoleService)
	if got := reserve(service, taken(1, 1)); got.code() != "rate_limited" {
		t.Errorf("a token that was never seen, from a limited address: %s", got.body)
	}
	f.nowMS.Add(10_000)
	for range 20 { // once seen, a service has no limits
		if got := reserve(service, `{"sku_id":"1","quantity":1,"user_id":"9"}`); got.status != 201 {
			t.Errorf("a service: %v %s", got.header, got.body)
		}
	}
}

// TestScopesNarrowServices has services that may only read, only write, or only something that is not here.
func TestScopesNarrowServices(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const unknown = "/v1/reservations/00010203040506070809101112131415"
	for _, c := range []struct {
		words       []string
		read, write string
	}{
		{nil, "unknown_reservation", "unknown_reservation"},
		{[]string{"stock:read"}, "unknown_reservation", "forbidden"},
		{[]string{"stock:write"}, "forbidden", "unknown_reservation"},
		{[]string{"users:read", "users:write"}, "forbidden", "forbidden"},
		{[]string{"users:read", "stock:read", "stock:write"}, "unknown_reservation", "unknown_reservation"},
	} {
		token := f.token(7, auth.RoleService, c.words...)
		for range 2 { // the second time the token is known
			read := f.do(call{method: "GET", path: unknown, token: token})
			write := f.do(call{method: "POST", path: unknown + "/release", token: token})
			if read.code() != c.read || write.code() != c.write {
				t.Errorf("%q: a read is %s and a write is %s, want %s and %s", c.words, read.code(), write.code(), c.read, c.write)
			}
		}
	}
}
