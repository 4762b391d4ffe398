package sale_test

import (
	"database/sql"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"sluice/core/local/servicetest"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/core/stock/memstock"
	"sluice/persister/persistertest"
)

func TestMain(m *testing.M) { os.Exit(servicetest.Main(m).Run()) }

const (
	partitions = 8
	retention  = time.Hour
)

// market is a desk over a model of the stock, with its clock in the test's hand, and a real database.
type market struct {
	*sale.Desk
	t     *testing.T
	store *memstock.Store
	db    *sql.DB
	nowMS *atomic.Int64
}

func newMarket(t *testing.T, units map[int64]int64) *market {
	t.Helper()
	return newMarketOn(t, persistertest.Database(t), units)
}

func newMarketOn(t *testing.T, db *sql.DB, units map[int64]int64) *market {
	t.Helper()
	m := &market{t: t, nowMS: new(atomic.Int64)}
	m.db = db
	m.reset(units)
	return m
}

// reset begins anew, without any sale.
func (m *market) reset(units map[int64]int64) {
	m.t.Helper()
	for _, table := range []string{"sale_keys", "sale_items", "pools", "sales"} {
		if _, err := m.db.ExecContext(m.t.Context(), "DELETE FROM "+table); err != nil {
			m.t.Fatal(err)
		}
	}
	m.nowMS.Store(1_000_000)
	m.store = memstock.New(partitions, m.nowMS.Load)
	m.store.Retention = retention
	m.Desk = sale.NewDesk(m.store, m.db, retention)
	for sku, n := range units {
		m.load(sku, n)
	}
}

func (m *market) load(sku, units int64) {
	m.t.Helper()
	cell := stock.Cell{SKU: sku}
	d := stock.DoAll(m.t.Context(), m.store, stock.OpAdjust, []stock.Request{{
		ID: stock.Identity{Route: stock.OpAdjust, Cell: cell, Key: "load"}.ID(partitions), Cell: cell,
		Adjustment: &stock.Adjustment{
			Kind: stock.AdjustPlain, Create: true, Delta: units, Reason: "test", Settings: stock.Settings{Hold: stock.HoldDefault},
		},
	}})[0]
	if d.Err != nil || d.Verdict != stock.VerdictOK {
		m.t.Fatalf("load SKU %d: %v, %v", sku, d.Verdict, d.Err)
	}
}

func (m *market) avail(sku int64, pool uint32) int64 {
	m.t.Helper()
	states, _, err := m.store.Cells(m.t.Context(), []stock.Cell{{SKU: sku, Pool: pool}})
	if err != nil {
		m.t.Fatal(err)
	}
	return states[0].Avail
}

// reserve takes one unit of a sale.
func (m *market) reserve(pool uint32, sku, user int64) stock.Verdict {
	m.t.Helper()
	cell := stock.Cell{SKU: sku, Pool: pool}
	d := stock.DoAll(m.t.Context(), m.store, stock.OpReserve, []stock.Request{{
		ID: stock.Identity{User: user, Route: stock.OpReserve, Cell: cell, Key: "k"}.ID(partitions), Cell: cell, User: user, Quantity: 1,
	}})[0]
	if d.Err != nil {
		m.t.Fatal(d.Err)
	}
	return d.Verdict
}

func (m *market) pass(d time.Duration) { m.nowMS.Add(d.Milliseconds()) }

// must is for calls that have to succeed.
func (m *market) must(s sale.Sale, err error) sale.Sale {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

func plan() sale.Plan {
	return sale.Plan{
		ID: 7, Name: "summer", Limit: 1, Hold: time.Minute, Ack: stock.AckLog, ShopperDeducts: true,
		Items: []sale.Allotment{{SKU: 2, Quantity: 30}, {SKU: 1, Quantity: 50}},
	}
}

func TestALife(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 30})
	ctx := t.Context()

	s := m.must(m.Create(ctx, plan()))
	if s.Phase(s.NowMS) != sale.PhasePlanned || m.avail(1, 0) != 50 || m.avail(1, 7) != 50 || m.avail(2, 0) != 0 || m.avail(2, 7) != 30 {
		t.Fatalf("created: %+v", s)
	}
	if c := s.Stock[0].Cell; s.Stock[0].Moved != 50 || !s.Stock[0].Settled || c.Limit != 1 || c.Hold != time.Minute || c.Ack != stock.AckLog || !c.ShopperDeducts {
		t.Errorf("first item: %+v", s.Stock[0])
	}
	if v := m.reserve(7, 1, 11); v != stock.VerdictNotOpen {
		t.Errorf("before it was opened: %v", v)
	}
	if _, err := m.Empty(ctx, 7, sale.Call{}); !errors.Is(err, sale.ErrNotClosed) {
		t.Errorf("return from a sale that is not closed: %v", err)
	}

	s = m.must(m.Open(ctx, 7, sale.Call{}, sale.Opening{}))
	if s.Phase(s.NowMS) != sale.PhaseScheduled || s.OpensAtMS != s.NowMS+sale.LeadTime.Milliseconds() {
		t.Errorf("opened: %+v at %d", s.Window, s.NowMS)
	}
	if v := m.reserve(7, 1, 11); v != stock.VerdictNotOpen {
		t.Errorf("within the lead time: %v", v)
	}
	m.pass(sale.LeadTime)
	if v := m.reserve(7, 1, 11); v != stock.VerdictOK {
		t.Errorf("while open: %v", v)
	}
	if s = m.must(m.Open(ctx, 7, sale.Call{}, sale.Opening{})); s.Phase(s.NowMS) != sale.PhaseOpen {
		t.Errorf("opened twice: %+v", s.Window)
	}

	s = m.must(m.Close(ctx, 7, sale.Call{}, time.Time{}))
	if v := m.reserve(7, 1, 12); s.Phase(s.NowMS) != sale.PhaseClosed || v != stock.VerdictClosed {
		t.Errorf("closed: %+v, %v", s.Window, v)
	}
	m.must(m.Close(ctx, 7, sale.Call{}, time.Time{}))
	m.must(m.Empty(ctx, 7, sale.Call{}))
	s = m.must(m.Empty(ctx, 7, sale.Call{}))
	if m.avail(1, 0) != 99 || m.avail(2, 0) != 30 || m.avail(1, 7) != 0 || s.Stock[0].Moved != 1 || s.Stock[1].Moved != 0 {
		t.Errorf("returned: %+v", s)
	}

	// The unit that was held expires and can be returned too.
	m.pass(2 * time.Minute)
	for p := range partitions {
		if _, err := m.store.Expire(ctx, p, 100); err != nil {
			t.Fatal(err)
		}
	}
	m.must(m.Empty(ctx, 7, sale.Call{}))
	if m.avail(1, 0) != 100 {
		t.Errorf("SKU 1 has %d units after all came back", m.avail(1, 0))
	}
}
