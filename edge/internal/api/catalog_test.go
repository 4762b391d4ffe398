package api

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/edge/front"
)

// shop is a catalog with one product, one brand and one category.
type shop struct {
	mu   sync.Mutex
	seen []string // requests, with the headers that may matter
	down atomic.Bool
}

const (
	shirt    = "/v1/products/prd_0000000000013"
	acme     = "/v1/brands/brd_0000000000012"
	clothes  = "/v1/categories/cat_0000000000010"
	body     = `{"names":{"en":"Shirt"}}`
	stranger = "Bearer nonsense"
)

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	line := r.Method + " " + r.RequestURI
	for _, name := range []string{"Authorization", "Cookie", "Read-After", "X-Forwarded-For"} {
		if value := r.Header.Get(name); value != "" {
			line += " " + name + ": " + value
		}
	}
	s.mu.Lock()
	s.seen = append(s.seen, line)
	s.mu.Unlock()
	if s.down.Load() {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Set-Cookie", "a=b")
	w.Header().Set("Cache-Control", "no-store")
	switch r.URL.Path {
	case shirt, acme, clothes:
		w.Header().Set("Etag", `"7"`)
	case "/v1/categories", "/v1/brands", clothes + "/attributes":
	default:
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"code":"malformed","detail":"of the catalog"}`)
		return
	}
	_, _ = io.WriteString(w, body)
}

func (s *shop) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.seen
	s.seen = nil
	return all
}

func newShopFixture(t *testing.T) (*fixture, *shop) {
	t.Helper()
	s := &shop{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	keep, err := front.New(front.Parts{
		Config: front.Config{
			URL: server.URL, Timeout: 20 * time.Second, FetchesMax: 8, Life: time.Hour, StaleMax: time.Hour, MaxAge: 5 * time.Second, MemoryMax: 1 << 20,
		},
		Brokers: []string{"127.0.0.1:1"}, Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(keep.Close)
	return newFixture(t, func(p *Parts) { p.Front, p.Now = keep, time.Now }), s
}

// page is an answer whose body was read.
type page struct {
	StatusCode    int
	Header        http.Header
	ContentLength int64
}

func (f *fixture) fetch(method, path string, headers ...string) (got page, body string) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, "http://"+f.addr+path, http.NoBody)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := f.http.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return page{answer.StatusCode, answer.Header, answer.ContentLength}, string(text)
}

// Readings of the catalog are answered from memory: with an ETag, with what a CDN may do, and with nothing that is somebody's.
func TestReadingsOfTheCatalogAreKept(t *testing.T) {
	t.Parallel()
	f, s := newShopFixture(t)
	for _, path := range []string{shirt, acme, clothes, clothes + "/attributes", "/v1/categories", "/v1/categories?deep=true&limit=7", "/v1/brands?limit=3"} {
		got, text := f.fetch("GET", path, "Authorization", stranger, "Cookie", "sid=1")
		if got.StatusCode != http.StatusOK || text != body {
			t.Fatalf("%s: %d %s", path, got.StatusCode, text)
		}
		if h := got.Header; h.Get("Cache-Control") != "public, max-age=5, stale-if-error=3600" || h.Get("ETag") == "" || h.Get("Set-Cookie") != "" ||
			h.Get("Age") != "" || h.Get("X-Request-Id") == "" || h.Get("Content-Type") != "application/json" {
			t.Errorf("%s: headers %v", path, h)
		}
		if all := s.requests(); len(all) != 1 || strings.Contains(all[0], "nonsense") || strings.Contains(all[0], "sid") {
			t.Errorf("%s: the catalog sees %q", path, all)
		}
		etag := got.Header.Get("ETag")
		for range 3 {
			again, text := f.fetch("GET", path)
			if again.StatusCode != http.StatusOK || text != body || again.Header.Get("ETag") != etag {
				t.Errorf("%s: again %d %s %v", path, again.StatusCode, text, again.Header)
			}
		}
		if head, text := f.fetch("HEAD", path); head.StatusCode != http.StatusOK || text != "" || head.ContentLength != int64(len(body)) {
			t.Errorf("%s: HEAD is %d, %d bytes", path, head.StatusCode, head.ContentLength)
		}
		for _, list := range []string{etag, `"x", W/` + etag, "*"} {
			same, text := f.fetch("GET", path, "If-None-Match", list)
			// A category's version does not tell whether its path is the same.
			want := http.StatusNotModified
			if path == clothes {
				want = http.StatusOK
			}
			if same.StatusCode != want || same.Header.Get("ETag") != etag || want == http.StatusNotModified && text != "" {
				t.Errorf("%s: If-None-Match %s: %d %s, want %d", path, list, same.StatusCode, text, want)
			}
		}
		if other, _ := f.fetch("GET", path, "If-None-Match", `"none"`); other.StatusCode != http.StatusOK {
			t.Errorf("%s: another ETag: %d", path, other.StatusCode)
		}
		if all := s.requests(); len(all) != 0 {
			t.Errorf("%s: the catalog is asked again: %q", path, all)
		}
	}
	f.fetch("GET", "/v1/categories?limit=7&deep=true")
	if all := s.requests(); len(all) != 0 {
		t.Errorf("the same question in another order is asked again: %q", all)
	}
}

// A reading that must have a write, and one that can be read in two ways, go to the catalog each time. Nobody else gets their answers.
func TestReadingsThatAreNotKept(t *testing.T) {
	t.Parallel()
	f, s := newShopFixture(t)
	for _, c := range []struct{ path, header, value, sent string }{
		{acme, "Read-After", "42", "GET " + acme + " Read-After: 42"},
		{"/v1/brands?limit=%33", "X-Nothing", "1", "GET /v1/brands?limit=%33"},
		{"/v1/products/PRD", "X-Nothing", "1", "GET /v1/products/PRD"},
		{"/v1/categories?limit=", "X-Nothing", "1", "GET /v1/categories?limit="},
	} {
		for range 2 {
			got, text := f.fetch("GET", c.path, c.header, c.value)
			if got.StatusCode == http.StatusOK && got.Header.Get("Cache-Control") != "no-store" || got.StatusCode == http.StatusBadRequest && !strings.Contains(text, "of the catalog") {
				t.Errorf("%s: %d %v %s", c.path, got.StatusCode, got.Header, text)
			}
			if all := s.requests(); len(all) != 1 || strings.Split(all[0], " X-Forwarded")[0] != c.sent {
				t.Errorf("%s: the catalog sees %q, want %q", c.path, all, c.sent)
			}
		}
	}
	for path, want := range map[string]string{
		acme + "?x=1":                "malformed",
		"/v1/brands?limit=1&limit=1": "malformed",
		"/v1/products":               "not_found",
		"/v1/products/a/b":           "not_found",
	} {
		if _, text := f.fetch("GET", path); !strings.Contains(text, `"code":"`+want+`"`) {
			t.Errorf("%s: %s", path, text)
		}
	}
	if got, text := f.fetch("GET", acme, "Read-After", "-1"); got.StatusCode != http.StatusBadRequest {
		t.Errorf("%d %s", got.StatusCode, text)
	}
	if got, text := f.fetch("PUT", acme); got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("%d %s %v", got.StatusCode, text, got.Header)
	}
	if all := s.requests(); len(all) != 0 {
		t.Errorf("the catalog is asked: %q", all)
	}
}

// While the catalog is away, what is not kept is unavailable, as a problem of the edge.
func TestTheCatalogIsAway(t *testing.T) {
	t.Parallel()
	f, s := newShopFixture(t)
	s.down.Store(true)
	for range 10 {
		got, text := f.fetch("GET", shirt)
		if got.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, `"code":"unavailable"`) || !strings.Contains(text, "catalog") ||
			got.Header.Get("Content-Type") != "application/problem+json" || got.Header.Get("Retry-After") == "" || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %s %v", got.StatusCode, text, got.Header)
		}
	}
}
