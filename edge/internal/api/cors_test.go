package api

import (
	"net/http"
	"testing"

	"sluice/core/cors"
)

// Pages of listed origins may read answers and problems; of others, and of admins' answers, none may. Every answer says that it varies.
func TestPagesOfOtherOrigins(t *testing.T) {
	t.Parallel()
	origins, err := cors.Parse([]string{"https://shop.example", "http://localhost:3000"})
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, func(p *Parts) { p.Origins = origins })
	for _, c := range []struct {
		method, path, origin, asks string
		status                     int
		let                        bool
	}{
		{"GET", "/v1/stock/5", "https://shop.example", "", http.StatusNotFound, true},
		{"GET", "/v1/stock/5", "http://localhost:3000", "", http.StatusNotFound, true},
		{"GET", "/v1/stock/5", "https://evil.example", "", http.StatusNotFound, false},
		{"GET", "/v1/stock/5", "null", "", http.StatusNotFound, false},
		{"GET", "/v1/stock/5", "", "", http.StatusNotFound, false},
		{"POST", "/v1/reservations", "https://shop.example", "", http.StatusBadRequest, true},
		{"GET", "/nowhere", "https://shop.example", "", http.StatusNotFound, true},
		{"GET", "/admin/v1/skus/5", "https://shop.example", "", http.StatusUnauthorized, false},
		{"OPTIONS", "/v1/reservations", "https://shop.example", "POST", http.StatusNoContent, true},
		{"OPTIONS", "/v1/stock/5", "http://localhost:3000", "GET", http.StatusNoContent, true},
		{"OPTIONS", "/v1/reservations", "https://evil.example", "POST", http.StatusMethodNotAllowed, false},
		{"OPTIONS", "/v1/reservations", "https://shop.example", "", http.StatusMethodNotAllowed, true},
		{"OPTIONS", "/admin/v1/skus/5", "https://shop.example", "PUT", http.StatusMethodNotAllowed, false},
		{"OPTIONS", "/v1/reservations", "", "POST", http.StatusMethodNotAllowed, false},
	} {
		var headers []string
		if c.origin != "" {
			headers = append(headers, "Origin", c.origin)
		}
		if c.asks != "" {
			headers = append(headers, "Access-Control-Request-Method", c.asks)
		}
		got, body := f.fetch(c.method, c.path, headers...)
		let, want := got.Header.Get("Access-Control-Allow-Origin"), ""
		if c.let {
			want = c.origin
		}
		if got.StatusCode != c.status || let != want || got.Header.Get("Vary") != "Origin" || got.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%+v: %d %s %v", c, got.StatusCode, body, got.Header)
		}
		if allowed := got.Header.Get("Access-Control-Allow-Methods") != "" && got.Header.Get("Access-Control-Allow-Headers") != ""; allowed != (c.status == http.StatusNoContent) {
			t.Errorf("%+v: %v", c, got.Header)
		}
	}
	none := newFixture(t)
	if got, _ := none.fetch("OPTIONS", "/v1/reservations", "Origin", "https://shop.example", "Access-Control-Request-Method", "POST"); got.StatusCode != http.StatusMethodNotAllowed ||
		got.Header.Get("Access-Control-Allow-Origin") != "" || got.Header.Get("Vary") != "" {
		t.Errorf("without a list: %d %v", got.StatusCode, got.Header)
	}
}
