package sale_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/core/stock/memstock"
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
	return newMarketOn(t, openDatabase(t, servicetest.MariaDB(t)), units)
}

func openDatabase(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := db.Config{DSN: config.Secret(dsn), ConnsMax: 4, Timeout: time.Minute}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func newMarketOn(t *testing.T, db *sql.DB, units map[int64]int64) *market {
	t.Helper()
	m := &market{t: t, nowMS: new(atomic.Int64)}
	migrations, err := goose.NewProvider(goose.DialectMySQL, db, os.DirFS("../../persister/migrations"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrations.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.db = db
	m.reset(units)
	return m
}

// reset begins anew, without any sale.
func (m *market) reset(units map[int64]int64) {
	m.t.Helper()
	for _, table := range []string{"sale_keys", "sale_items", "sales"} {
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

func TestCreateTwiceIsOnce(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	want := m.must(m.Create(t.Context(), plan()))
	if want.Replayed {
		t.Error("the first creation was done before")
	}
	want.Replayed = true
	if diff := cmp.Diff(want, m.must(m.Create(t.Context(), plan()))); diff != "" {
		t.Errorf("the second creation changed something (-first +second)\n%s", diff)
	}
	other := plan()
	other.Items[0].Quantity++
	if _, err := m.Create(t.Context(), other); !errors.Is(err, sale.ErrOtherPlan) {
		t.Errorf("another plan under the same id: %v", err)
	}
	// Also when the store has long forgotten the first one.
	m.pass(2 * retention)
	forgotten := 0
	for p := range partitions {
		n, err := m.store.Forget(t.Context(), p, 1000)
		if err != nil {
			t.Fatal(err)
		}
		forgotten += n
	}
	if forgotten == 0 {
		t.Fatal("the store remembers it all")
	}
	m.must(m.Create(t.Context(), plan()))
	if m.avail(1, 0) != 50 || m.avail(1, 7) != 50 {
		t.Errorf("SKU 1 has %d and %d units", m.avail(1, 0), m.avail(1, 7))
	}
}

// cutOff fails every call from the nth on, as if the process had died there, while the call itself is
// executed if lost is set: only its answer is missing.
type cutOff struct {
	stock.Store
	calls atomic.Int64
	after int64
	lost  bool
}

func (c *cutOff) Do(ctx context.Context, vectors ...*stock.Vector) {
	over := c.calls.Add(1) > c.after
	if !over || c.lost {
		c.Store.Do(ctx, vectors...)
	}
	for _, v := range vectors {
		if over {
			v.Err = stock.ErrUnknown
		}
	}
}

// Wherever the creation is cut off, repeating it ends with the same stock.
func TestCreateIsResumable(t *testing.T) {
	t.Parallel()
	m := newMarket(t, nil)
	p := plan()
	cuts := int64(0)
	for _, lost := range []bool{false, true} {
		for after := int64(0); ; after++ {
			p.ID++
			cuts++
			sku := 1000 + 10*cuts
			p.Items = []sale.Allotment{{SKU: sku, Quantity: 30}, {SKU: sku + 1, Quantity: 50}}
			m.load(sku, 100)
			m.load(sku+1, 100)
			_, err := sale.NewDesk(&cutOff{Store: m.store, after: after, lost: lost}, m.db, retention).Create(t.Context(), p)
			if err == nil {
				break // it needs no more calls than that
			}
			if _, err := m.Open(t.Context(), p.ID, sale.Call{}, sale.Opening{}); !errors.Is(err, sale.ErrNotFilled) {
				t.Errorf("lost %v, cut after %d calls: opened: %v", lost, after, err)
			}
			s := m.must(m.Create(t.Context(), p))
			for i, want := range []int64{30, 50} {
				at := p.Items[i].SKU
				if s.Stock[i].Moved != want || m.avail(at, p.ID) != want || m.avail(at, 0) != 100-want {
					t.Errorf("lost %v, cut after %d calls: SKU %d: %+v, %d left", lost, after, at, s.Stock[i], m.avail(at, 0))
				}
			}
		}
	}
	if cuts < 8 {
		t.Errorf("only %d cuts were tried", cuts)
	}
}

func TestReturnIsResumable(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	m.must(m.Create(t.Context(), plan()))
	m.must(m.Close(t.Context(), 7, sale.Call{}, time.Time{}))
	broken := sale.NewDesk(&cutOff{Store: m.store, after: 1}, m.db, retention)
	if _, err := broken.Empty(t.Context(), 7, sale.Call{}); !errors.Is(err, stock.ErrUnknown) {
		t.Fatalf("cut off: %v", err)
	}
	if s := m.must(m.Show(t.Context(), 7)); s.Stock[0].Settled && s.Stock[1].Settled {
		t.Errorf("nothing is under way: %+v", s.Stock)
	}

	m.pass(retention) // too long: the store may have forgotten a half
	if _, err := m.Empty(t.Context(), 7, sale.Call{}); !errors.Is(err, sale.ErrStaleMove) {
		t.Errorf("resumed after %v: %v", retention, err)
	}
	m.pass(-retention)
	m.must(m.Empty(t.Context(), 7, sale.Call{}))
	if m.avail(1, 0) != 100 || m.avail(2, 0) != 100 {
		t.Errorf("%d and %d units came back", m.avail(1, 0), m.avail(2, 0))
	}
}

func TestCreateWithoutEnoughStockWritesNothing(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 49})
	_, err := m.Create(t.Context(), plan())
	if !errors.Is(err, sale.ErrShort) || !errors.Is(err, sale.ErrNotLoaded) || !strings.Contains(err.Error(), "49 units are available in normal stock, not 50") || !strings.Contains(err.Error(), "SKU 2: no such SKU") {
		t.Errorf("got %v", err)
	}
	if _, err := m.Show(t.Context(), 7); !errors.Is(err, sale.ErrNotFound) {
		t.Errorf("the sale exists: %v", err)
	}
}

// Stock that is sold between the check and the transfer is refused by the transfer, and the sale can
// be created once there is more.
func TestCreateGoesOnAfterARefusal(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	broken := sale.NewDesk(&cutOff{Store: m.store}, m.db, retention)
	if _, err := broken.Create(t.Context(), plan()); err == nil { // writes the rows, and no more
		t.Fatal("not cut off")
	}
	adjust := func(key string, delta int64) {
		cell := stock.Cell{SKU: 1}
		stock.DoAll(t.Context(), m.store, stock.OpAdjust, []stock.Request{{
			ID: stock.Identity{Route: stock.OpAdjust, Cell: cell, Key: key}.ID(partitions), Cell: cell,
			Adjustment: &stock.Adjustment{Kind: stock.AdjustPlain, Delta: delta, Reason: "test"},
		}})
	}
	adjust("less", -60)
	if _, err := m.Create(t.Context(), plan()); !errors.Is(err, stock.ErrTransferRefused) {
		t.Errorf("with too little stock: %v", err)
	}
	adjust("more", 60)
	m.must(m.Create(t.Context(), plan()))
	if m.avail(1, 7) != 50 || m.avail(1, 0) != 50 || m.avail(2, 7) != 30 {
		t.Errorf("%d, %d and %d units", m.avail(1, 7), m.avail(1, 0), m.avail(2, 7))
	}
}

func TestWindows(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	ctx := t.Context()
	m.must(m.Create(ctx, plan()))
	at := func(after time.Duration) time.Time { return time.UnixMilli(m.nowMS.Load()).Add(after) }
	var never time.Time

	for name, window := range map[string][2]time.Time{
		"in the past":             {at(-time.Minute), never},
		"sooner than edges learn": {at(sale.LeadTime - time.Millisecond), never},
		"closing before opening":  {at(time.Minute), at(time.Second)},
		"closing in the past":     {never, at(-time.Second)},
	} {
		if _, err := m.Open(ctx, 7, sale.Call{}, sale.Opening{At: window[0], Closes: window[1]}); !errors.Is(err, sale.ErrWindow) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := m.Close(ctx, 7, sale.Call{}, at(time.Hour)); !errors.Is(err, sale.ErrWindow) {
		t.Errorf("closing later what nobody opened: %v", err)
	}
	m.must(m.Open(ctx, 7, sale.Call{}, sale.Opening{At: at(time.Hour), Closes: at(2 * time.Hour)}))
	if _, err := m.Close(ctx, 7, sale.Call{}, at(time.Minute)); !errors.Is(err, sale.ErrWindow) {
		t.Errorf("closing before it opens, and later: %v", err)
	}
	if _, err := m.Close(ctx, 7, sale.Call{}, time.UnixMilli(stock.TimeMaxMS+1)); !errors.Is(err, sale.ErrWindow) {
		t.Errorf("closing at a time that a cell cannot have: %v", err)
	}
	m.must(m.Open(ctx, 7, sale.Call{}, sale.Opening{At: at(time.Minute), Closes: at(time.Hour)})) // sooner
	m.pass(2 * time.Minute)
	if v := m.reserve(7, 1, 1); v != stock.VerdictOK {
		t.Errorf("open: %v", v)
	}
	if _, err := m.Open(ctx, 7, sale.Call{}, sale.Opening{At: at(time.Minute)}); !errors.Is(err, sale.ErrWindow) {
		t.Errorf("another opening of an open sale: %v", err)
	}
	m.must(m.Open(ctx, 7, sale.Call{}, sale.Opening{Closes: at(10 * time.Minute)})) // it closes sooner
	m.pass(11 * time.Minute)
	if v := m.reserve(7, 1, 2); v != stock.VerdictClosed {
		t.Errorf("closed: %v", v)
	}
	m.must(m.Open(ctx, 7, sale.Call{}, sale.Opening{})) // again
	m.pass(sale.LeadTime)
	if v := m.reserve(7, 1, 3); v != stock.VerdictOK {
		t.Errorf("open again: %v", v)
	}
	if s := m.must(m.Close(ctx, 7, sale.Call{}, at(time.Minute))); s.Phase(s.NowMS) != sale.PhaseOpen {
		t.Errorf("to be closed in a minute: %+v", s.Window)
	}
	m.pass(time.Minute)
	if v := m.reserve(7, 1, 4); v != stock.VerdictClosed {
		t.Errorf("closed again: %v", v)
	}
	m.must(m.Close(ctx, 7, sale.Call{}, at(0))) // the same once more, when its time has come
	m.must(m.Open(ctx, 7, sale.Call{}, sale.Opening{}))
	m.pass(sale.LeadTime)
	for _, past := range []time.Duration{-time.Minute, 0} {
		if _, err := m.Close(ctx, 7, sale.Call{}, at(past)); !errors.Is(err, sale.ErrWindow) || !strings.Contains(err.Error(), "has passed") {
			t.Errorf("closed %v from now: %v", past, err)
		}
	}
	if s := m.must(m.Close(ctx, 7, sale.Call{}, time.Time{})); s.ClosesAtMS != s.NowMS || s.Stock[0].Cell.ClosesAtMS != s.NowMS {
		t.Errorf("closed now: %+v at %d", s.Window, s.NowMS)
	}
	if _, err := m.Open(ctx, 8, sale.Call{}, sale.Opening{}); !errors.Is(err, sale.ErrNotFound) {
		t.Errorf("another sale: %v", err)
	}
}

// A call that comes again changes nothing, however much has happened to the sale since.
func TestACallIsMadeOnce(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	ctx := t.Context()
	m.must(m.Create(ctx, plan()))
	at := func(after time.Duration) time.Time { return time.UnixMilli(1_000_000).Add(after) }
	open := func(key string, opens time.Time) (sale.Sale, error) {
		return m.Open(ctx, 7, sale.Call{User: 1, Key: key}, sale.Opening{At: opens})
	}
	closing := func(key string) (sale.Sale, error) {
		return m.Close(ctx, 7, sale.Call{User: 1, Key: key}, time.Time{})
	}
	again := func(what string, want sale.Phase, s sale.Sale, err error) {
		t.Helper()
		if m.must(s, err); !s.Replayed || s.Phase(s.NowMS) != want {
			t.Errorf("%s again: replayed %v, %s", what, s.Replayed, s.Phase(s.NowMS))
		}
		for _, item := range s.Stock {
			if !item.WindowSet {
				t.Errorf("%s again: %+v, %+v", what, s.Window, item.Cell)
			}
		}
	}
	if s := m.must(open("a", at(time.Hour))); s.Replayed {
		t.Error("the first opening was done before")
	}
	s, err := open("a", at(time.Hour))
	again("opening", sale.PhaseScheduled, s, err)
	if s := m.must(closing("a")); s.Replayed || s.Phase(s.NowMS) != sale.PhaseClosed { // a key belongs to its operation
		t.Errorf("closed: %+v", s)
	}
	m.must(closing("b")) // changes nothing, now
	s, err = open("a", at(time.Hour))
	again("opening", sale.PhaseClosed, s, err)

	m.must(open("c", at(2*time.Hour)))
	for _, key := range []string{"a", "b"} {
		s, err = closing(key)
		again("closing "+key, sale.PhaseScheduled, s, err)
	}
	if s, err = open("a", at(time.Hour)); s.OpensAtMS != at(2*time.Hour).UnixMilli() {
		t.Errorf("the first opening again, after another: %+v, %v", s.Window, err)
	}
	if _, err := open("a", at(3*time.Hour)); !errors.Is(err, sale.ErrOtherCall) {
		t.Errorf("another opening under the same key: %v", err)
	}
	if _, err := m.Open(ctx, 7, sale.Call{User: 1, Key: "a"}, sale.Opening{At: at(time.Hour), For: time.Hour}); !errors.Is(err, sale.ErrOtherCall) {
		t.Errorf("the same opening for an hour only, under the same key: %v", err)
	}
	if s := m.must(m.Open(ctx, 7, sale.Call{User: 2, Key: "a"}, sale.Opening{At: at(3 * time.Hour)})); s.Replayed {
		t.Error("another user's key was done before")
	}

	broken := sale.NewDesk(&cutOff{Store: m.store}, m.db, retention)
	if _, err := broken.Close(ctx, 7, sale.Call{User: 1, Key: "d"}, time.Time{}); !errors.Is(err, stock.ErrUnknown) {
		t.Fatalf("cut off: %v", err)
	}
	if _, err := m.Empty(ctx, 7, sale.Call{}); !errors.Is(err, sale.ErrNotClosed) {
		t.Errorf("return while the cells are not closed, though the row is: %v", err)
	}
	s, err = closing("d")
	again("closing that was cut off", sale.PhaseClosed, s, err)
}

// interrupted calls meanwhile, once: after so many readings of cells, or before so many other calls.
type interrupted struct {
	stock.Store
	cells, calls atomic.Int64
	meanwhile    func()
}

func (i *interrupted) Cells(ctx context.Context, cells []stock.Cell) ([]stock.CellState, int64, error) {
	states, nowMS, err := i.Store.Cells(ctx, cells)
	if i.cells.Add(-1) == 0 {
		i.meanwhile()
	}
	return states, nowMS, err
}

func (i *interrupted) Do(ctx context.Context, vectors ...*stock.Vector) {
	if i.calls.Add(-1) == 0 {
		i.meanwhile()
	}
	i.Store.Do(ctx, vectors...)
}

// While a desk is at work, another one does the same or the opposite: the first one stops, and nothing is
// done twice.
func TestTwoDesksOnOneSale(t *testing.T) {
	t.Parallel()
	bringBack := func(ctx context.Context, d *sale.Desk) error {
		_, err := d.Empty(ctx, 7, sale.Call{})
		return err
	}
	closing := func(ctx context.Context, d *sale.Desk) error {
		_, err := d.Close(ctx, 7, sale.Call{User: 1, Key: "k"}, time.Time{})
		return err
	}
	open := func(ctx context.Context, d *sale.Desk) error {
		_, err := d.Open(ctx, 7, sale.Call{}, sale.Opening{})
		return err
	}
	for _, c := range []struct {
		name         string
		cells, calls int64
		do, by       func(context.Context, *sale.Desk) error
		moved        int64
	}{
		{"closed while it is opened", 1, 0, open, closing, 50},
		{"returned before the transfer begins", 2, 0, bringBack, bringBack, 0},
		{"returned during the transfer", 0, 1, bringBack, bringBack, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMarket(t, map[int64]int64{1: 100})
			p := plan()
			p.Items = p.Items[1:]
			m.must(m.Create(t.Context(), p))
			m.must(m.Close(t.Context(), 7, sale.Call{}, time.Time{}))
			store := &interrupted{Store: m.store, meanwhile: func() {
				m.pass(time.Second)
				if err := c.by(t.Context(), m.Desk); err != nil {
					t.Errorf("meanwhile: %v", err)
				}
			}}
			store.cells.Store(c.cells)
			store.calls.Store(c.calls)
			if err := c.do(t.Context(), sale.NewDesk(store, m.db, retention)); !errors.Is(err, sale.ErrOverlap) {
				t.Errorf("the interrupted one: %v", err)
			}
			s := m.must(m.Show(t.Context(), 7))
			if s.Phase(s.NowMS) != sale.PhaseClosed || !s.Stock[0].Settled || s.Stock[0].Moved != c.moved || m.avail(1, 7) != c.moved || m.avail(1, 0) != 100-c.moved {
				t.Errorf("after both: %+v", s)
			}
		})
	}
}

// A window that a cell was given behind the sale's row does not outlive the next call, though the cell
// remembers that the row's was brought to it.
func TestWindowsAreBroughtBack(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	m.must(m.Create(t.Context(), plan()))
	m.must(m.Close(t.Context(), 7, sale.Call{}, time.Time{}))
	m.store.Edit(stock.Cell{SKU: 1, Pool: 7}, func(c *stock.CellState) { c.ClosesAtMS = 0 })
	if v := m.reserve(7, 1, 1); v != stock.VerdictOK {
		t.Fatalf("reopened behind the row: %v", v)
	}
	s := m.must(m.Close(t.Context(), 7, sale.Call{}, time.Time{}))
	if v := m.reserve(7, 1, 2); v != stock.VerdictClosed || s.Stock[0].Cell.ClosesAtMS != s.ClosesAtMS {
		t.Errorf("closed again: %v, %+v", v, s)
	}
}

// What MySQL was asked to read was not done; what it was asked to write may have been.
func TestMySQLIsAway(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	m.must(m.Create(t.Context(), plan()))

	other, err := m.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.ExecContext(t.Context(), "SELECT windows FROM sales WHERE sale_id = 7 FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := m.Open(ctx, 7, sale.Call{User: 1, Key: "a"}, sale.Opening{})
		done <- err
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for waiting := 0; waiting == 0; <-tick.C {
		err := m.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist "+
			"WHERE db = DATABASE() AND info LIKE 'UPDATE sales%'").Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, stock.ErrUnknown) {
		t.Errorf("given up while it wrote: %v", err)
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}

	if err := m.db.Close(); err != nil {
		t.Fatal(err)
	}
	another := plan()
	another.ID++
	for name, call := range map[string]func() (sale.Sale, error){
		"show":   func() (sale.Sale, error) { return m.Show(t.Context(), 7) },
		"create": func() (sale.Sale, error) { return m.Create(t.Context(), another) },
		"open": func() (sale.Sale, error) {
			return m.Open(t.Context(), 7, sale.Call{Key: "b"}, sale.Opening{})
		},
		"close":  func() (sale.Sale, error) { return m.Close(t.Context(), 7, sale.Call{}, time.Time{}) },
		"return": func() (sale.Sale, error) { return m.Empty(t.Context(), 7, sale.Call{}) },
	} {
		if _, err := call(); !errors.Is(err, stock.ErrNotApplied) || errors.Is(err, stock.ErrUnknown) {
			t.Errorf("%s without a database: %v", name, err)
		}
	}
}

func TestPlanNamesEveryFault(t *testing.T) {
	t.Parallel()
	err := sale.Plan{
		Limit: -1, Hold: time.Nanosecond, Ack: 9,
		Items: []sale.Allotment{{SKU: 1, Quantity: 1}, {SKU: 1, Quantity: 0}},
	}.Validate()
	for _, want := range []string{"sale id 0", "name: it has 0 bytes", "limit -1", "hold time 1ns", "acknowledge", "0 units of SKU 1", "SKU 1 is there twice"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
	hostile := plan()
	hostile.Name = "sale\u009b2J"
	if err := hostile.Validate(); !errors.Is(err, sale.ErrPlan) {
		t.Errorf("a name that clears the screen: %v", err)
	}
	if err := plan().Validate(); err != nil {
		t.Error(err)
	}
}
