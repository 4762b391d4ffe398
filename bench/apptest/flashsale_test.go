// Package apptest tests the whole system: real processes on real servers, HTTP in, rows in MySQL out.
package apptest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/bench/stack"
	"sluice/core/stock"
)

const (
	hotSKU        = 5000
	hotUnits      = 5_000
	hotShoppers   = 50_000
	ordinarySKUs  = 1_000
	ordinaryUnits = 1_000
	ordinaryBuys  = 20_000
	members       = 64
	firstUser     = 100_000
)

// TestFlashSale sells 5,000 units of one SKU to 50,000 shoppers who each try twice, at two edges, while
// others buy ordinary things. Afterwards every unit is accounted for, in Redis and in MySQL.
func TestFlashSale(t *testing.T) {
	flashSale(t, func(*stack.Stack, sale) {})
}

// TestFlashSaleWithCrashes is the same sale, and in the middle of it one edge and one persister are
// killed. Nobody notices more than a cut connection: who repeats the request gets the first answer.
func TestFlashSaleWithCrashes(t *testing.T) {
	c := flashSale(t, func(s *stack.Stack, now sale) {
		<-now.reached(hotUnits / 2) // units are still to be had: crashes hit the accepting path
		if err := now.edges[0].Kill(); err != nil {
			t.Error(err)
		}
		if err := now.persisters[0].Kill(); err != nil {
			t.Error(err)
		}
		t.Log("killed an edge and a persister")
		<-now.reached(hotUnits*3/4 + ordinaryBuys/4)
		if err := now.edges[0].Restart(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if c.cutOff == 0 {
		t.Error("nobody was cut off: the crash proves nothing")
	}
}

// sale is a flash sale under way.
type sale struct {
	edges, persisters []*stack.Process
	// reached gives a channel that is closed when so many reservations have been accepted.
	reached func(n int64) <-chan struct{}
}

func flashSale(t *testing.T, disturb func(*stack.Stack, sale)) *crowd {
	t.Helper()
	s := stack.New(t,
		"SLUICE_RATE_PER_ADDRESS=0", // all shoppers of a test come from one address
	)
	lines := []string{"sku_id,quantity,limit", fmt.Sprintf("%d,%d,1", hotSKU, hotUnits)}
	cells := []stock.Cell{{SKU: hotSKU}}
	for i := range int64(ordinarySKUs) {
		cells = append(cells, stock.Cell{SKU: hotSKU + 1 + i})
		lines = append(lines, fmt.Sprintf("%d,%d,", hotSKU+1+i, ordinaryUnits))
	}
	s.LoadCSV(lines...)
	now := sale{
		edges:      []*stack.Process{s.StartEdge(), s.StartEdge()},
		persisters: []*stack.Process{s.StartPersister(), s.StartPersister()},
	}
	c := newCrowd(t, now.edges, s.Token)
	milestones := &milestones{}
	c.accepted = milestones.pass
	now.reached = milestones.at

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var disturbance sync.WaitGroup
	disturbance.Go(func() { disturb(s, now) })
	start := time.Now()
	run(c, seed)
	t.Logf("%v for the sale: %v", time.Since(start).Round(time.Millisecond), c)
	milestones.end()
	disturbance.Wait()
	if t.Failed() {
		return c
	}

	s.Drained(t, 2*time.Minute)
	t.Logf("all of it in MySQL %v after the start", time.Since(start).Round(time.Millisecond))
	expect(t, s, "units of the hot SKU held or sold", hotUnits,
		`SELECT reserved_stock + sold_stock FROM product_inventories WHERE sku_id = ? AND pool = 0`, hotSKU)
	expect(t, s, "users over the limit", 0, `SELECT COUNT(*) FROM (SELECT 1 FROM reservations
		WHERE sku_id = ? AND state IN ('held', 'confirmed') GROUP BY user_id HAVING SUM(quantity) > 1) AS greedy`, hotSKU)
	auditStores(t, s, cells)
	auditPurchases(t, s, c)
	return c
}

// run lets everybody shop, in an order that the seed decides.
func run(c *crowd, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	work := make([]func(), 0, hotShoppers+ordinaryBuys)
	for i := range int64(hotShoppers) {
		work = append(work, func() { c.tryTwice(firstUser+i, hotSKU) })
	}
	for i := range int64(ordinaryBuys) {
		user, sku, quantity := firstUser+hotShoppers+i, hotSKU+1+random.Int64N(ordinarySKUs), 1+random.Int64N(3)
		work = append(work, func() {
			r, err := c.buy(int(user)%len(c.edges), user, sku, quantity, fmt.Sprintf("ordinary-%d", user))
			if err != nil {
				c.t.Errorf("user %d could not buy %d of SKU %d: %v", user, quantity, sku, err)
			} else if user%4 == 0 {
				c.confirm(int(user+1)%len(c.edges), r.ID)
			}
		})
	}
	random.Shuffle(len(work), func(i, j int) { work[i], work[j] = work[j], work[i] })

	var next atomic.Int64
	var wg sync.WaitGroup
	for range members {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(work)); i = next.Add(1) - 1 {
				work[i]()
			}
		})
	}
	wg.Wait()
}

// milestones tells others when so many reservations have been accepted.
type milestones struct {
	mu      sync.Mutex
	n       int64
	ended   bool
	waiting map[int64]chan struct{}
}

func (m *milestones) at(n int64) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	ch := make(chan struct{})
	if m.ended || m.n >= n {
		close(ch)
		return ch
	}
	if m.waiting == nil {
		m.waiting = map[int64]chan struct{}{}
	}
	m.waiting[n] = ch
	return ch
}

func (m *milestones) pass() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n++
	if ch := m.waiting[m.n]; ch != nil {
		close(ch)
		delete(m.waiting, m.n)
	}
}

func (m *milestones) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	for n, ch := range m.waiting {
		close(ch)
		delete(m.waiting, n)
	}
}
