package front

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"sluice/core/ids"
	"sluice/core/local/servicetest"
	"sluice/core/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// shop is a catalog of a test: pages of products, and faults.
type shop struct {
	t      *testing.T
	server *httptest.Server
	asked  atomic.Int64

	mu        sync.Mutex
	ids       []string // of the snapshot
	snapshots int
	noList    bool // there is no snapshot at the moment
	versions  map[string]int
	answer    func(w http.ResponseWriter, r *http.Request) bool // false: as usual
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, versions: map[string]int{}, ids: []string{shirt, ids.Product(78).String()}}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/product_snapshot" {
		s.snapshot(w, r)
		return
	}
	s.asked.Add(1)
	for _, name := range []string{"Authorization", "Cookie"} {
		if r.Header.Get(name) != "" {
			s.t.Errorf("the catalog sees the %s of somebody", name)
		}
	}
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	if answer != nil && answer(w, r) {
		return
	}
	s.usual(w, r)
}

func (s *shop) usual(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	version, ok := s.versions[r.URL.Path]
	s.mu.Unlock()
	switch id, product := strings.CutPrefix(r.URL.Path, "/v1/products/"); {
	case product && !ok:
		(&problem.Problem{Kind: unknownProduct}).Write(w, r, "")
	case product:
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Etag", fmt.Sprintf(`"%d"`, version))
		_, _ = fmt.Fprintf(w, `{"product_id":%q,"seller_id":%q,"version":%d}`, id, seller, version)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"data":[],"at":%d,"query":%q}`, version, r.URL.RawQuery)
	}
}

func (s *shop) set(path string, version int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.versions[path] = version; version == 0 {
		delete(s.versions, path)
	}
}

func (s *shop) answers(answer func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

var (
	shirt  = ids.Product(77).String()
	seller = ids.Seller(5).String()
)

func (s *shop) front(edit ...func(*Parts)) *Front {
	s.t.Helper()
	parts := Parts{
		Config:  Config{URL: s.server.URL, Timeout: 20 * time.Second, FetchesMax: 64, Life: time.Hour, StaleMax: time.Hour, MaxAge: 5 * time.Second, MemoryMax: 8 << 20},
		Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler), Brokers: []string{"127.0.0.1:1"},
	}
	for _, e := range edit {
		e(&parts)
	}
	f, err := New(parts)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(f.Close)
	return f
}

func named(name string) *Route {
	for _, r := range routes {
		if r.Name == name {
			return r
		}
	}
	panic(name)
}

func product(id string) Ask {
	return Ask{Route: named("product"), Target: "/v1/products/" + id, ID: id}
}

func tree() Ask { return Ask{Route: named("categories"), Target: "/v1/categories?deep=true"} }

// got is what an ask gives, as a text.
func got(f *Front, ask Ask) string {
	r, err := f.Get(ask)
	switch {
	case err != nil:
		code, _, _ := strings.Cut(err.Error(), ":")
		return code
	case r.Refusal != nil:
		return r.Refusal.Kind.Code
	case r.Stale:
		return "stale " + string(r.Body)
	}
	return string(r.Body)
}

func page(version int) string {
	return fmt.Sprintf(`{"product_id":%q,"seller_id":%q,"version":%d}`, shirt, seller, version)
}

func event(kind, aggregate string, version int, data string) string {
	return fmt.Sprintf(`{"event_id":"evt_0000000000001","type":%q,"at":"2026-11-28T10:00:00Z","aggregate_id":%q,"version":%d,"data":%s}`, kind, aggregate, version, data)
}

func changed(version int, stage string) string {
	return event("product_changed", shirt, version, fmt.Sprintf(`{"seller_id":%q,"stage":%q}`, seller, stage))
}

func (s *shop) tell(f *Front, events ...string) {
	s.t.Helper()
	for _, e := range events {
		if err := f.take([]byte(e)); err != nil {
			s.t.Errorf("%s: %v", e, err)
		}
	}
}

func (s *shop) want(f *Front, ask Ask, want string) {
	s.t.Helper()
	if have := got(f, ask); have != want {
		s.t.Errorf("%s: got %s, want %s", ask.Target, have, want)
	}
}

// The catalog is asked once for many who want the same, and not again while nothing changes.
func TestOneAsksForAll(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.set("/v1/products/"+shirt, 1)
	f := s.front()
	open := make(chan struct{})
	s.answers(func(http.ResponseWriter, *http.Request) bool { <-open; return false })
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() { s.want(f, product(shirt), page(1)) })
	}
	for s.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	close(open)
	all.Wait()
	s.want(f, product(shirt), page(1))
	if n := s.asked.Load(); n != 1 {
		t.Errorf("the catalog was asked %d times", n)
	}
	other := ids.Product(78).String()
	for range 10 {
		s.want(f, product(other), "unknown_product")
	}
	if n := s.asked.Load(); n != 2 {
		t.Errorf("the catalog was asked %d times: a thing that does not exist is asked for once", n)
	}
}

// What an event tells makes answers old, of what has changed and of nothing else. Events that come again or late change nothing.
func TestEventsMakeAnswersOld(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	other := ids.Product(78).String()
	s.set("/v1/products/"+shirt, 1)
	s.set("/v1/products/"+other, 1)
	s.set("/v1/categories", 1)
	f := s.front()
	both := func(version int) {
		t.Helper()
		s.want(f, product(shirt), page(version))
		s.want(f, product(other), strings.Replace(page(1), shirt, other, 1))
	}
	both(1)
	s.set("/v1/products/"+shirt, 3)
	both(1)
	s.tell(f, changed(2, "listed"))
	both(3)
	asked := s.asked.Load()
	s.tell(f, changed(3, "listed"), changed(2, "delisted"), changed(1, "draft"), changed(3, "listed"))
	both(3)
	if n := s.asked.Load(); n != asked {
		t.Errorf("the catalog was asked %d times for what is there", n-asked)
	}
	s.want(f, tree(), `{"data":[],"at":1,"query":"deep=true"}`)
	s.set("/v1/categories", 2)
	s.want(f, tree(), `{"data":[],"at":1,"query":"deep=true"}`)
	s.tell(f, event("category_changed", ids.Category(4).String(), 1, `{"state":"active"}`))
	s.want(f, tree(), `{"data":[],"at":2,"query":"deep=true"}`)
	s.set("/v1/products/"+shirt, 0)
	s.tell(f, changed(4, "delisted"))
	s.want(f, product(shirt), "unknown_product")
	s.set("/v1/products/"+shirt, 5)
	s.tell(f, changed(5, "listed"))
	s.want(f, product(shirt), page(5))
	s.set("/v1/products/"+shirt, 0)
	s.set("/v1/products/"+other, 0)
	time.Sleep(2 * time.Millisecond) // an answer of the moment of an event is none from before it
	s.tell(f, event("seller_moved", seller, 9, `{"state":"suspended","products_listed":false}`))
	s.want(f, product(shirt), "unknown_product")
	s.want(f, product(other), "unknown_product")
	for _, e := range []string{"", "{", "[]", "null", event("product_changed", "x", 1, `{"stage":"listed"}`), event("product_changed", shirt, 0, `{"stage":"listed"}`), event("seller_moved", seller, 10, `{}`)} {
		if err := f.take([]byte(e)); err == nil {
			t.Errorf("%s is taken for an event", e)
		}
	}
	s.tell(f, event("of_tomorrow", "x", 1, `[]`))
}

// An answer to a question from before an event does not stay, though it comes after it, and who asks after the event does not get it.
func TestAnswersFromBeforeAnEventDoNotStay(t *testing.T) {
	t.Parallel()
	for _, ask := range []Ask{product(shirt), tree()} {
		s := newShop(t)
		path, _, _ := strings.Cut(ask.Target, "?")
		s.set(path, 1)
		f := s.front()
		held, asked := make(chan struct{}), make(chan struct{})
		s.answers(func(w http.ResponseWriter, r *http.Request) bool {
			s.answers(nil)
			// The answer is made before the event, and arrives after it.
			early := httptest.NewRecorder()
			s.usual(early, r)
			close(asked)
			<-held
			for name, values := range early.Header() {
				w.Header()[name] = values
			}
			_, _ = w.Write(early.Body.Bytes())
			return true
		})
		first := make(chan string, 1)
		go func() { first <- got(f, ask) }()
		<-asked
		time.Sleep(2 * time.Millisecond)
		s.set(path, 2)
		s.tell(f, changed(2, "listed"), event("category_changed", ids.Category(4).String(), 1, `{"state":"active"}`))
		after := got(f, ask)
		close(held)
		if before := <-first; before != after && !strings.Contains(before, "1") {
			t.Errorf("who asked before the event got %s", before)
		}
		for range 3 {
			if again := got(f, ask); again != after || !strings.Contains(again, "2") {
				t.Errorf("%s: behind the event it is %s, then %s", ask.Target, after, again)
			}
		}
	}
}

// An older answer never takes the place of a newer one, however late it comes: a replica of the catalog may be behind.
func TestOlderAnswersAreNotKept(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	path := "/v1/products/" + shirt
	s.set(path, 2)
	f := s.front()
	s.tell(f, changed(3, "listed"))
	s.want(f, product(shirt), page(2)) // behind, and better than nothing
	s.set(path, 3)
	s.want(f, product(shirt), page(3))
	s.set(path, 2)
	late, err := f.catalog.ask(t.Context(), question{route: named("product"), target: path, id: shirt})
	if err != nil || late.version != 2 || f.keep(late).version != 3 {
		t.Errorf("what comes late is %+v, %v, and is kept", late, err)
	}
	s.want(f, product(shirt), page(3))
	s.tell(f, changed(4, "delisted"))
	s.want(f, product(shirt), "unknown_product") // though the catalog still shows it
}

// A version that a restored catalog has lost is given no more once it is too old for a stale answer.
func TestALostVersionEnds(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	path := "/v1/products/" + shirt
	s.set(path, 9)
	f := s.front()
	s.want(f, product(shirt), page(9))
	last, _ := f.memory.GetIfPresent(path)
	later := func(age time.Duration) {
		a := last.copy(false)
		a.begun = f.nowMS() - age.Milliseconds()
		a.until = a.begun + 1
		f.memory.Set(path, a)
	}
	s.set(path, 3)
	later(f.cfg.Life + f.cfg.StaleMax - time.Minute)
	s.want(f, product(shirt), page(9)) // the catalog may be behind
	later(f.cfg.Life + f.cfg.StaleMax + time.Minute)
	s.want(f, product(shirt), page(3))
	asked := s.asked.Load()
	s.want(f, product(shirt), page(3))
	if s.asked.Load() != asked {
		t.Error("the answer of the restored catalog is not kept")
	}
}

// Memory is bounded, whatever is asked for.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	f := s.front(func(p *Parts) { p.MemoryMax = 1 << 20 })
	s.answers(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Etag", `"1"`)
		_, _ = fmt.Fprintf(w, `{"x":%q}`, strings.Repeat("x", 50_000))
		return true
	})
	for i := range 100 {
		if _, err := f.Get(product(ids.Product(1 + i).String())); err != nil {
			t.Fatal(err)
		}
	}
	f.memory.CleanUp()
	if n := f.memory.WeightedSize(); n > 1<<20 || n == 0 {
		t.Errorf("answers take %d bytes", n)
	}
}

// The number of things of which events have told is bounded too: what is forgotten makes older answers old.
func TestFloorsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFloors()
	at := int64(1000)
	for i := range 3 * floorsMax {
		at++
		f.raise(ids.Product(1+i).String(), floor{version: 2, at: at})
	}
	if n := len(f.young) + len(f.old); n > 2*floorsMax {
		t.Errorf("%d are remembered", n)
	}
	a := &Answer{tags: [2]string{ids.Product(1).String()}, version: 1, begun: 900}
	if got := f.judge(a); got != outdated {
		t.Errorf("an answer from before a forgotten event is %v", got)
	}
	a.tags[0], a.begun = ids.Product(1<<40).String(), at
	if got := f.judge(a); got != current {
		t.Errorf("an answer of now is %v", got)
	}
	a.begun = at
	f.raiseAll(at + 1)
	if got := f.judge(a); got != outdated {
		t.Errorf("an answer from before lost events is %v", got)
	}
}
