package front

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/ids"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/problem"
)

// knowing has a front follow a real broker, so that it knows the events, and runs it.
func (s *shop) knowing(brokers []string, edit ...func(*Parts)) *Front {
	s.t.Helper()
	f := s.front(append(edit, func(p *Parts) {
		p.Brokers = brokers
		p.Token = func(time.Time) (string, error) { return "token", nil }
	})...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx)
	}()
	s.t.Cleanup(func() {
		cancel()
		<-done
	})
	s.until("the front knows the events", f.Knows)
	return f
}

func brokers(t *testing.T) []string {
	t.Helper()
	all := servicetest.Broker(t)
	for _, topic := range []string{topicProducts, topicSellers} {
		if err := outbox.CreateTopic(t.Context(), all, topic, 2, 1); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func (s *shop) until(what string, holds func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			s.t.Fatalf("it does not hold within a minute: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// snapshot answers with the ids that there are, three to a page.
func (s *shop) snapshot(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshots++
	if s.noList {
		(&problem.Problem{Kind: problem.Unavailable}).Write(w, r, "")
		return
	}
	var page struct {
		Data []map[string]string `json:"data"`
		Next string              `json:"next_cursor,omitempty"`
	}
	from := 0
	_, _ = fmt.Sscan(r.URL.Query().Get("cursor"), &from)
	for i := from; i < min(from+3, len(s.ids)); i++ {
		page.Data = append(page.Data, map[string]string{"aggregate_id": s.ids[i]})
	}
	if from+3 < len(s.ids) {
		page.Next = fmt.Sprint(from + 3)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.MarshalWrite(w, page)
}

func (s *shop) lists(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noList = !yes
}

// The screen refuses made-up ids without the catalog, once it has all that there are, and what events add. Otherwise it refuses nothing.
func TestScreenKnowsWhatThereIs(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.ids = nil
	for i := range 10 {
		id := ids.Product(1000 + i).String()
		s.ids = append(s.ids, id)
		s.set("/v1/products/"+id, 1)
	}
	f := s.knowing(brokers(t))
	complete := func() bool { _, complete := f.screen.count(); return complete }
	s.until("the screen is complete", complete)
	asked := s.asked.Load()
	for i := range 1000 {
		s.want(f, product(ids.Product(5000+i).String()), "unknown_product")
	}
	if n := s.asked.Load() - asked; n > 20 {
		t.Errorf("the catalog was asked %d times for 1000 made-up ids", n)
	}
	for _, id := range s.ids {
		if have := got(f, product(id)); have == "unknown_product" {
			t.Errorf("%s is there, and refused", id)
		}
	}
	s.set("/v1/products/"+shirt, 1)
	s.tell(f, changed(1, "listed"))
	s.want(f, product(shirt), page(1))
	// More than it was made for, and lost events, have it filled anew.
	for i := range 3000 {
		f.screen.add(ids.Product(20_000 + i).String())
	}
	if complete() {
		t.Error("a screen with more than it was made for is complete")
	}
	s.until("the screen is complete again", complete)
	s.lists(false) // so that it is not complete again at once
	f.lost()
	s.answers(faults["fails"])
	if got(f, product(ids.Product(9000).String())) == "unknown_product" {
		t.Error("a screen that lacks events refuses")
	}
	s.answers(nil)
	s.lists(true)
	s.until("the screen is complete once more", complete)
}

// A snapshot that was read while events were lost may lack what they told of.
func TestALossWhileTheScreenIsFilled(t *testing.T) {
	t.Parallel()
	f := newShop(t).front()
	f.screen.begin()
	f.lost()
	f.screen.put([]uint64{f.screen.hash(shirt)}, true)
	if !f.screen.mayExist(ids.Product(9000).String()) {
		t.Error("the screen counts as complete")
	}
	f.screen.begin()
	f.screen.put([]uint64{f.screen.hash(shirt)}, true)
	if _, complete := f.screen.count(); !complete {
		t.Error("the screen is not complete after the next filling")
	}
}

// records is a local store.
type records struct {
	mu  sync.Mutex
	all map[string][]byte
}

func (r *records) Save(key string, _ uint32, data []byte, _ time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[key] = data
	return nil
}

func (r *records) Load(key string, _ uint32) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	data, ok := r.all[key]
	return data, ok
}

// What is read often is found, stays in memory whatever else is read, and is there after a restart, before anybody asks for it.
func TestHotAnswersStay(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	path := "/v1/products/" + shirt
	s.set(path, 1)
	for i := range 100 {
		s.ids = append(s.ids, ids.Product(1+i).String())
	}
	all, local := brokers(t), &records{all: map[string][]byte{}}
	small := func(p *Parts) { p.MemoryMax, p.Local = 1<<20, local }
	f := s.knowing(all, small)
	for range 2 * hotReads {
		s.want(f, product(shirt), page(1))
	}
	s.until("it is pinned", func() bool { a, ok := f.memory.GetIfPresent(path); return ok && a.pinned })
	s.answers(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == path {
			return false
		}
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
	asked := s.asked.Load()
	s.want(f, product(shirt), page(1))
	if s.asked.Load() != asked {
		t.Error("a hot answer was evicted")
	}
	// An event has it renewed before anybody asks.
	s.set(path, 2)
	s.tell(f, changed(2, "listed"))
	s.until("it is renewed", func() bool { a, ok := f.memory.GetIfPresent(path); return ok && a.version == 2 && a.pinned })
	f.saveHot()

	again := s.front(small, func(p *Parts) { p.Brokers = all })
	s.answers(faults["fails"])
	again.warm(t.Context())
	if a, ok := again.memory.GetIfPresent(path); !ok || a.until < a.begun || a.until > again.nowMS() {
		t.Error("an answer from before the start is not there, or was not to be replaced at the start")
	}
	if have := got(again, product(shirt)); have != "unavailable" {
		t.Errorf("an edge that does not know what happened meanwhile gives %s", have)
	}
	s.answers(nil)
	third := s.knowing(all, small)
	s.until("it is there before anybody asks", func() bool { a, ok := third.memory.GetIfPresent(path); return ok && a.version == 2 && !a.restored })
	s.answers(faults["fails"])
	s.want(third, product(shirt), page(2))
	for _, key := range []string{keyHot, keyAnswer + path} {
		_ = local.Save(key, recordVersion, []byte(`{"target":`), 0)
	}
	s.front(small).warm(t.Context())
}

// Edges take from the cache's Redis what another one has asked for, unless an event came since. They do without one that is empty, hangs
// or has something else.
func TestEdgesShareAnswers(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	path := "/v1/products/" + shirt
	s.set(path, 1)
	s.set("/v1/categories", 1)
	server, all := servicetest.Redis(t), brokers(t)
	shared := func(p *Parts) { p.Redis, p.RedisTimeout = []string{server.Addr}, 10*time.Second }
	one, two := s.knowing(all, shared), s.knowing(all, shared)
	for _, f := range []*Front{one, two} {
		s.until("Redis is connected", func() bool { return f.shared.client.Load() != nil })
	}
	s.want(one, product(shirt), page(1))
	s.want(one, tree(), `{"data":[],"at":1,"query":"deep=true"}`)
	for _, target := range []string{path, tree().Target} {
		s.until("the answer is in Redis", func() bool { _, ok := two.shared.get(t.Context(), target); return ok })
	}
	asked := s.asked.Load()
	s.want(two, product(shirt), page(1))
	s.want(two, tree(), `{"data":[],"at":1,"query":"deep=true"}`)
	if n := s.asked.Load() - asked; n != 0 {
		t.Errorf("the catalog was asked %d times for what another edge has", n)
	}
	// What an event has made old is not taken, whichever edge wrote it.
	s.set(path, 2)
	s.set("/v1/categories", 2)
	s.tell(two, changed(2, "listed"), event("category_changed", ids.Category(4).String(), 1, `{"state":"active"}`))
	s.want(two, product(shirt), page(2))
	s.want(two, tree(), `{"data":[],"at":2,"query":"deep=true"}`)
	s.until("the newer one is in Redis", func() bool { a, ok := one.shared.get(t.Context(), path); return ok && a.version == 2 })
	s.tell(one, changed(2, "listed"))
	s.want(one, product(shirt), page(2))

	client := *one.shared.client.Load()
	write := func(target, value string) {
		t.Helper()
		if err := client.Do(t.Context(), client.B().Set().Key(sharedKey(target)).Value(value).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	other := ids.Product(78).String()
	s.set("/v1/products/"+other, 1)
	stolen, _ := client.Do(t.Context(), client.B().Get().Key(sharedKey(path)).Build()).ToString()
	for _, value := range []string{"", "{", "null", "[]", "{}", stolen, strings.ReplaceAll(stolen, path, "/v1/products/"+other)} {
		write("/v1/products/"+other, value)
		one.memory.InvalidateAll()
		s.want(one, product(other), strings.Replace(page(1), shirt, other, 1))
	}
	if err := client.Do(t.Context(), client.B().Flushall().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	one.memory.InvalidateAll()
	s.want(one, product(shirt), page(2))
	// It hangs: whoever asks goes on to the catalog.
	hasty := s.knowing(all, shared, func(p *Parts) { p.RedisTimeout = 20 * time.Millisecond })
	s.until("Redis is connected", func() bool { return hasty.shared.client.Load() != nil })
	if err := client.Do(t.Context(), client.B().Arbitrary("CLIENT", "PAUSE", "60000", "ALL").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	s.want(hasty, product(shirt), page(2))
	if hasty.shared.failures.Get() == 0 {
		t.Error("a Redis that hangs is not noticed")
	}
	if err := server.Stop(); err != nil {
		t.Log(err)
	}
	one.memory.InvalidateAll()
	s.want(one, product(shirt), page(2))
	one.memory.InvalidateAll()
	begun := time.Now()
	s.want(one, product(shirt), page(2))
	t.Logf("without Redis an answer took %v", time.Since(begun))
}
