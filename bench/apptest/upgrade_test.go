package apptest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/bench/stack"
	"sluice/core/client"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
)

// format2 is a file that came with format 2 of events. The program of the commit before knows format 1 only.
const format2 = "persister/migrations/00009_event_format_2.sql"

// TestRollingUpgrade upgrades every process of a shop under sales, one after the other, in the order of docs/upgrade.md, takes that
// back, and does it again. Two real programs of different versions run side by side meanwhile. Each purchase that was promised is
// in MySQL once, as it was promised, nothing is a dead letter, and all stores agree.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	older := servicetest.Earlier(t, format2)
	newer := stack.Build(t, "sluice")
	s := stack.NewOf(t, older, "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_DRAIN_DELAY=100ms")
	s.LoadCSV("sku_id,quantity,limit,hold_seconds", "1001,1000000,,3600", "1002,1000000,2,3600", "1003,1000000,,1")
	skus := []int64{1001, 1002, 1003}
	u := &upgrade{t: t, s: s, states: map[string]client.State{}, dirs: []string{t.TempDir(), t.TempDir()}}
	for i := range u.dirs {
		u.persisters = append(u.persisters, s.StartPersister())
		u.edges = append(u.edges, s.StartEdgeIn(u.dirs[i]))
	}
	u.serve()
	stop := u.sell(skus)
	u.sells("all is older")

	s.Use(newer)
	s.Run("", "migrate")
	u.sells("the tables are newer")
	u.exchange("newer")
	s.Use(older) // back, in the opposite order
	u.exchangeEdges("older")
	u.exchangePersisters("older")
	s.Use(newer)
	u.exchange("newer again")

	stop()
	s.Run("", "stock", "adjust", "1001", "--extend-max", "1h", "--reason", "all know it now", "--yes")
	extended := one(u.service(0).Reserve(t.Context(), client.Take{SKU: 1001, Quantity: 1, User: 1}))(t)
	one(u.service(1).Extend(t.Context(), extended.ID, extended.ExpiresAt.Add(time.Minute)))(t)
	u.states[extended.ID] = client.StateHeld
	within(t, time.Minute, func() bool {
		return count(t, s, `SELECT COUNT(*) FROM reservations WHERE sku_id = 1003 AND state = 'held'`) == 0
	})
	s.Drained(t, time.Minute)
	cells := make([]stock.Cell, len(skus))
	for i, sku := range skus {
		cells[i] = stock.Cell{SKU: sku}
	}
	auditStores(t, s, cells)
	u.audit()
	if report := s.Run("", "reconcile"); strings.Contains(report, "drift") && !strings.Contains(report, "0 drift") {
		t.Errorf("after the upgrade: %s", report)
	}
}

// upgrade is a shop under way from one version to another.
type upgrade struct {
	t          *testing.T
	s          *stack.Stack
	edges      []*stack.Process
	persisters []*stack.Process
	dirs       []string // of the edges, which stay

	clients atomic.Pointer[[]*client.Client]
	sold    atomic.Int64

	mu     sync.Mutex
	states map[string]client.State // by reservation, as it was promised
}

// serve has shoppers go to the edges that there are now.
func (u *upgrade) serve() {
	u.t.Helper()
	var all []*client.Client
	for _, edge := range u.edges {
		c, err := client.New(client.Config{URL: "http://" + edge.Addr(), Attempts: 1, Timeout: 5 * time.Second})
		must(u.t, err)
		u.t.Cleanup(c.Close)
		all = append(all, c.As(u.s.Token(1, "service")))
	}
	u.clients.Store(&all)
}

func (u *upgrade) service(i int) *client.Client {
	all := *u.clients.Load()
	return all[i%len(all)]
}

// exchange exchanges all processes for those of the version that is in use.
func (u *upgrade) exchange(version string) {
	u.t.Helper()
	u.exchangePersisters(version)
	u.exchangeEdges(version)
}

func (u *upgrade) exchangePersisters(version string) {
	u.t.Helper()
	for i := range u.persisters {
		must(u.t, u.persisters[i].Stop())
		u.persisters[i] = u.s.StartPersister()
		u.sells(fmt.Sprintf("persister %d is %s", i+1, version))
	}
}

func (u *upgrade) exchangeEdges(version string) {
	u.t.Helper()
	for i := range u.edges {
		must(u.t, u.edges[i].Stop())
		u.edges[i] = u.s.StartEdgeIn(u.dirs[i])
		u.serve()
		u.sells(fmt.Sprintf("edge %d is %s", i+1, version))
	}
}

// sells waits until each edge has sold for a while, and MySQL keeps up with it.
func (u *upgrade) sells(when string) {
	u.t.Helper()
	const each = 50
	from := u.sold.Load()
	within(u.t, time.Minute, func() bool { return u.sold.Load() >= from+each*int64(len(u.edges)) })
	written := count(u.t, u.s, `SELECT COUNT(*) FROM ledger`)
	within(u.t, time.Minute, func() bool { return count(u.t, u.s, `SELECT COUNT(*) FROM ledger`) >= written+each })
	u.t.Logf("%s: %d sold, %d events are written", when, u.sold.Load(), count(u.t, u.s, `SELECT COUNT(*) FROM ledger`))
}

// sell has shoppers buy until stop is called: a third keeps what it holds, a third pays, a third gives it back.
func (u *upgrade) sell(skus []int64) (stop func()) {
	const shoppers = 4
	end := make(chan struct{})
	var all sync.WaitGroup
	for first := range shoppers {
		all.Go(func() {
			for user := int64(1000 + first); ; user += shoppers {
				select {
				case <-end:
					return
				default:
					u.buy(user, skus[user%int64(len(skus))])
				}
			}
		})
	}
	var once sync.Once
	stop = func() { once.Do(func() { close(end); all.Wait() }) }
	u.t.Cleanup(stop)
	return stop
}

func (u *upgrade) buy(user, sku int64) {
	key := fmt.Sprintf("buy-%d", user)
	r := u.ask(user, func(c *client.Client) (client.Reservation, error) {
		return c.Reserve(u.t.Context(), client.Take{SKU: sku, Quantity: 1, User: user, Key: key})
	})
	switch {
	case sku == 1003: // it expires
		r.State = client.StateExpired
	case user%4 == 1:
		r = u.ask(user+1, func(c *client.Client) (client.Reservation, error) { return c.Confirm(u.t.Context(), r.ID) })
	case user%4 == 2:
		r = u.ask(user+1, func(c *client.Client) (client.Reservation, error) { return c.Release(u.t.Context(), r.ID) })
	}
	u.mu.Lock()
	u.states[r.ID] = r.State
	u.mu.Unlock()
	u.sold.Add(1)
}

// ask asks one edge after the other until one decides. An edge that is being exchanged cuts nobody off, but it may be gone.
func (u *upgrade) ask(edge int64, call func(*client.Client) (client.Reservation, error)) (r client.Reservation) {
	for attempt := 0; u.t.Context().Err() == nil; attempt++ {
		r, err := call(u.service(int(edge) + attempt))
		p := new(client.Problem)
		switch {
		case err == nil:
			return r
		case errors.As(err, &p) && p.Status < 500 && !errors.Is(err, client.ErrOutcomeUnknown):
			u.t.Errorf("refused: %v", err)
			return r
		}
		pause(attempt)
	}
	return r
}

// audit compares what was promised with what MySQL has.
func (u *upgrade) audit() {
	t := u.t
	t.Helper()
	found := map[string]client.State{}
	rows, err := u.s.DB.QueryContext(t.Context(), `SELECT reservation_id, state FROM reservations`)
	must(t, err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id []byte
		var state client.State
		must(t, rows.Scan(&id, &state))
		found[hex.EncodeToString(id)] = state
	}
	must(t, rows.Err())
	var wrong []string
	for id, state := range u.states {
		if found[id] != state {
			wrong = append(wrong, fmt.Sprintf("%s was promised as %s and is %q in MySQL", id, state, found[id]))
		}
	}
	slices.Sort(wrong)
	if len(wrong) > 0 || len(found) != len(u.states) {
		t.Errorf("%d of %d purchases, and MySQL has %d: %s", len(wrong), len(u.states), len(found), strings.Join(wrong[:min(len(wrong), 10)], "; "))
	}
}
