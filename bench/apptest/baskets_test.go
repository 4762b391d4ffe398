package apptest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"sluice/bench/stack"
	"sluice/core/client"
	"sluice/core/evidence"
	"sluice/core/stock"
)

const (
	basketSKUs  = 6  // each in a partition of its own
	basketUnits = 3  // of each: the last ones are fought for
	basketUsers = 12 // at once
	// settledWithin is how long after the last kill only held baskets and single reservations may hold units.
	settledWithin = 10 * time.Second
)

// TestBasketsWhileEdgesAreKilled sells the last units to baskets and single reservations at once, while edges die before each
// step of a basket. Every request is repeated under its key until it is answered, often at several edges at once.
func TestBasketsWhileEdgesAreKilled(t *testing.T) {
	s := stack.NewOf(t, stack.Build(t, "sluice/bench/stepkill"), "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_RATE_PER_USER=0")
	m := newMarket(t, s)
	m.edges = []*stack.Process{s.StartEdge(), s.StartEdge()}
	s.StartPersister()

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var users sync.WaitGroup
	for user := range int64(basketUsers) {
		users.Go(func() { m.shop(ctx, 1+user) })
	}
	// Few baskets come to the later steps, so these edges die at the first chance.
	for _, at := range []string{"home:2", "away:1", "away:3", "decide:1", "decide:3", "void away:1", "void home:1", "read held:1"} {
		m.killAt(s, at)
	}
	killed := time.Now()
	stop()
	users.Wait()
	settle(t, s, killed)
	m.compare()
	s.Drained(t, 30*time.Second)
	s.Run("", "reconcile")
}

// market has SKUs, and the answer to each request.
type market struct {
	*testing.T
	s     *stack.Stack
	skus  []int64
	edges []*stack.Process // that live

	mu    sync.Mutex
	asked []*order
	dying *stack.Process // an edge that dies at its step
}

// order is a request for units, and its answer.
type order struct {
	user  int64
	key   string
	items []client.Item // one: a single reservation

	mu       sync.Mutex
	held     bool
	answered bool
}

func newMarket(t *testing.T, s *stack.Stack) *market {
	t.Helper()
	m := &market{T: t, s: s}
	seen := map[int]bool{}
	lines := []string{"sku_id,quantity,limit"}
	for sku := int64(1000); len(m.skus) < basketSKUs; sku++ {
		if p := (stock.Cell{SKU: sku}).Partition(s.Store.Partitions()); !seen[p] {
			seen[p] = true
			m.skus = append(m.skus, sku)
			lines = append(lines, fmt.Sprintf("%d,%d,", sku, basketUnits))
		}
	}
	s.LoadCSV(lines...)
	return m
}

// killAt starts an edge that dies before a step of a basket, and waits until it has.
func (m *market) killAt(s *stack.Stack, at string) {
	m.Helper()
	edge := s.StartEdge("STEPKILL=" + at)
	m.mu.Lock()
	m.dying = edge
	m.mu.Unlock()
	select {
	case <-edge.Done():
	case <-time.After(time.Minute):
		m.Fatalf("no basket came to %s", at)
	}
	m.mu.Lock()
	m.dying = nil
	m.mu.Unlock()
}

// shop asks for one thing after the other, and gives it back.
func (m *market) shop(ctx context.Context, user int64) {
	for n := 0; ctx.Err() == nil; n++ {
		o := &order{user: user, key: fmt.Sprintf("%d.%d", user, n)}
		for _, i := range rand.Perm(basketSKUs)[:1+2*rand.IntN(2)] { // one item or three
			o.items = append(o.items, client.Item{SKU: m.skus[i], Quantity: 1})
		}
		m.mu.Lock()
		m.asked = append(m.asked, o)
		m.mu.Unlock()
		var asking sync.WaitGroup
		for range 1 + rand.IntN(2) { // a request, or the same twice
			asking.Go(func() { m.until(ctx, o) })
		}
		asking.Wait()
		if o.held && ctx.Err() == nil { // what is held at the end stays held
			m.giveBack(context.WithoutCancel(ctx), o)
		}
	}
}

// until repeats a request at any edge until it is answered. After the end it asks the living ones only.
func (m *market) until(ctx context.Context, o *order) {
	for range 600 {
		held, err := m.ask(context.WithoutCancel(ctx), m.anyEdge(ctx), o)
		if err == nil {
			o.note(m, held)
			return
		}
		if ctx.Err() == nil {
			continue // at once, perhaps elsewhere
		}
		time.Sleep(50 * time.Millisecond)
	}
	m.Errorf("request %s got no answer", o.key)
}

// note keeps an answer. It must be the same as before, except that a refused single reservation may succeed later.
func (o *order) note(m *market, held bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.items) == 1 { // one that was refused may come later, under the same key
		o.answered, o.held = true, o.held || held
		return
	}
	if o.answered && held != o.held {
		m.Errorf("request %s of %d items: held %v, and before %v", o.key, len(o.items), held, o.held)
	}
	o.answered, o.held = true, held
}

// anyEdge returns an edge, mostly the dying one if there is one.
func (m *market) anyEdge(ctx context.Context) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dying != nil && ctx.Err() == nil && rand.IntN(3) > 0 {
		return m.dying.Addr()
	}
	return m.edges[rand.IntN(len(m.edges))].Addr()
}

func (m *market) client(addr string, user int64) *client.Client {
	c, err := client.New(client.Config{
		URL: "http://" + addr, Attempts: 1, Timeout: 5 * time.Second,
		Token: func(context.Context) (string, error) { return m.s.Token(user, "shopper"), nil },
	})
	if err != nil {
		m.Fatal(err)
	}
	return c
}

// ask asks one edge. An error is no answer.
func (m *market) ask(ctx context.Context, addr string, o *order) (held bool, err error) {
	c := m.client(addr, o.user)
	defer c.Close()
	if len(o.items) == 1 {
		_, err = c.Reserve(ctx, client.Take{SKU: o.items[0].SKU, Quantity: 1, Key: o.key})
	} else {
		var b client.HeldBasket
		if b, err = c.HoldBasket(ctx, client.Basket{Items: o.items, Key: o.key}); err == nil && len(b.Reservations) != len(o.items) {
			m.Errorf("basket %s has %d of %d reservations", o.key, len(b.Reservations), len(o.items))
		}
	}
	if p := new(client.Problem); errors.As(err, &p) && !p.Retryable {
		if len(o.items) > 1 && p.Pointer == "" {
			m.Errorf("the problem of basket %s names no line: %v", o.key, p)
		}
		return false, nil
	}
	return err == nil, err
}

// ids returns the ids of an order's reservations.
func (m *market) ids(o *order) []stock.ReservationID {
	return idsOf(m.T, m.s, client.Basket{Items: o.items, User: o.user, Key: o.key})
}

// idsOf returns the ids of the reservations of a basket, or of the single reservation if it has one item, computed as a
// shop does. Goroutines call it: a fault is an Error.
func idsOf(t *testing.T, s *stack.Stack, b client.Basket) []stock.ReservationID {
	t.Helper()
	in := client.Deployment{Partitions: s.Store.Partitions()}
	texts, err := b.ReservationIDs(in)
	if len(b.Items) == 1 {
		texts = make([]string, 1)
		texts[0], err = client.Take{SKU: b.Items[0].SKU, Sale: b.Items[0].Sale, User: b.User, Key: b.Key}.ReservationID(false, in)
	}
	if err != nil {
		t.Error(err)
	}
	ids := make([]stock.ReservationID, len(texts))
	for i := range texts {
		if ids[i], err = stock.ParseReservationID(texts[i]); err != nil {
			t.Error(err)
		}
	}
	return ids
}

// giveBack releases the reservations of an order. A later answer to the order shows its lines released.
func (m *market) giveBack(ctx context.Context, o *order) {
	var texts []string
	for _, id := range m.ids(o) {
		texts = append(texts, id.String())
	}
	c := m.client(m.edges[0].Addr(), o.user)
	defer c.Close()
	if _, err := c.ReleaseAll(ctx, texts); err != nil {
		m.Logf("release: %v", err) // it stays held
	}
}

// records returns the records of an order's reservations.
func (m *market) records(o *order) []stock.Reservation {
	m.Helper()
	found, _, err := m.s.Store.Reservations(m.Context(), m.ids(o))
	if err != nil {
		m.Fatal(err)
	}
	return found
}

// settle waits until no basket is undecided, at most settledWithin after the last kill.
func settle(t *testing.T, s *stack.Stack, killed time.Time) {
	t.Helper()
	must(t, s.Store.Adopt(t.Context(), evidence.NewNonces(s.DB)))
	within(t, time.Until(killed.Add(settledWithin)), func() bool {
		for p := range s.Store.Partitions() {
			if len(one(s.Store.Undecided(t.Context(), p, 0, 0, 1))(t)) > 0 {
				return false
			}
		}
		return true
	})
	t.Logf("settled %v after the last kill", time.Since(killed).Round(time.Millisecond))
}

// compare compares all answers with Redis.
func (m *market) compare() {
	m.Helper()
	want := map[int64]int64{}
	baskets, refused := 0, 0
	for _, o := range m.asked {
		for range 2 { // at each edge that lives
			if held, err := m.ask(m.Context(), m.edges[rand.IntN(len(m.edges))].Addr(), o); err != nil {
				m.Errorf("request %s again: %v", o.key, err)
			} else {
				o.note(m, held)
			}
		}
		if len(o.items) > 1 {
			baskets++
			if !o.held {
				refused++
			}
		}
		for _, r := range m.records(o) {
			if r.State == stock.StateHeld {
				want[r.Cell.SKU] += r.Quantity
				if !o.held {
					m.Errorf("request %s was refused and holds %+v", o.key, r)
				}
			} else if o.held && r.State != stock.StateReleased {
				m.Errorf("request %s is held, and has %+v", o.key, r)
			}
		}
	}
	for _, sku := range m.skus {
		states, _, err := m.s.Store.Cells(m.Context(), []stock.Cell{{SKU: sku}})
		if err != nil {
			m.Fatal(err)
		}
		if c := states[0]; !c.Sound() || c.Total != basketUnits || c.Held != want[sku] {
			m.Errorf("SKU %d has %+v, its reservations hold %d", sku, c.Balances, want[sku])
		}
	}
	m.Logf("%d requests, %d baskets, %d of them refused", len(m.asked), baskets, refused)
	if refused == 0 || refused == baskets {
		m.Error("the baskets prove nothing")
	}
}
