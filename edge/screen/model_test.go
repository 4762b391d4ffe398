package screen

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/stock"
	"sluice/core/stock/memstock"
	"sluice/edge/cells"
	"sluice/edge/internal/storetest"
)

// server is the part of a store that the tests of SoldOut need.
type server interface {
	stock.Store
	SoldOutStore
}

// model is the memory model with what SoldOut reads beside it.
type model struct {
	*memstock.Store

	mu       sync.Mutex
	ids      map[stock.ReservationID]bool
	last     map[int]string // entry of each partition
	down     bool
	calls    int
	scanStep func() // before every id of a scan
	polling  func() // before every reading of an outbox
	reading  func() // before every reading of cells
}

func newModel() *model {
	return &model{
		Store: memstock.New(partitions, func() int64 { return time.Now().UnixMilli() }),
		ids:   map[stock.ReservationID]bool{},
		last:  map[int]string{},
	}
}

func (m *model) Do(ctx context.Context, vectors ...*stock.Vector) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Store.Do(ctx, vectors...)
	for _, v := range vectors {
		if v.Entry.ID != "" {
			m.last[v.Partition] = v.Entry.ID
		}
		for i := range v.Outcomes {
			if v.Outcomes[i].Verdict == stock.VerdictOK {
				m.ids[v.Requests[i].ID] = true
			}
		}
	}
}

// read counts a call and reports whether the model answers.
func (m *model) read() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.down {
		return errDown
	}
	return nil
}

func (m *model) callCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

func (m *model) hook(reading, polling func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reading, m.polling = reading, polling
}

func (m *model) setDown(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

func (m *model) Cells(ctx context.Context, cells []stock.Cell) ([]stock.CellState, int64, error) {
	m.mu.Lock()
	reading := m.reading
	m.mu.Unlock()
	if reading != nil {
		reading()
	}
	if err := m.read(); err != nil {
		return nil, 0, err
	}
	return m.Store.Cells(ctx, cells)
}

func (m *model) OutboxAfter(ctx context.Context, partition int, after string, limit int) ([]stock.Entry, error) {
	m.mu.Lock()
	polling := m.polling
	m.mu.Unlock()
	if polling != nil {
		polling()
	}
	if err := m.read(); err != nil {
		return nil, err
	}
	return m.Store.OutboxAfter(ctx, partition, after, limit)
}

func (m *model) OutboxLast(_ context.Context, partition int) (string, error) {
	if err := m.read(); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if last, ok := m.last[partition]; ok {
		return last, nil
	}
	return "0-0", nil
}

func (m *model) ReservationCount(_ context.Context, partition int) (int64, error) {
	if err := m.read(); err != nil {
		return 0, err
	}
	return int64(len(m.idsOf(partition))), nil
}

func (m *model) idsOf(partition int) []stock.ReservationID {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []stock.ReservationID
	for id := range m.ids {
		if id.Partition() == partition {
			found = append(found, id)
		}
	}
	return found
}

func (m *model) ScanReservations(_ context.Context, partition int, yield func(stock.ReservationID) error) error {
	if err := m.read(); err != nil {
		return err
	}
	for _, id := range m.idsOf(partition) {
		if m.scanStep != nil {
			m.scanStep()
		}
		if err := yield(id); err != nil {
			return err
		}
	}
	return nil
}

// sale is a screen over a store with one cell of so many units.
type sale struct {
	*SoldOut
	t     testing.TB
	store server
	known *cells.Cache
	cell  stock.Cell
	user  atomic.Int64
}

func newSale(t testing.TB, store server, units int64, settings stock.Settings, cfg SoldOutConfig) *sale {
	t.Helper()
	cfg.Log = quiet()
	s := &sale{t: t, store: store, known: cells.New(store, cells.Config{}, metrics.NewSet()), cell: sku(1)}
	s.SoldOut = NewSoldOut(store, s.known, cfg, metrics.NewSet())
	t.Cleanup(func() {
		s.Close()
		s.known.Close()
	})
	storetest.Load(t, store, units, settings, s.cell)
	return s
}

// take reserves a unit for a new user by way of another edge, which the screen hears nothing of.
func (s *sale) take() *stock.Request {
	s.t.Helper()
	r := s.request()
	if o := storetest.Decide(s.t, s.store, stock.OpReserve, r); o.Verdict != stock.VerdictOK {
		s.t.Fatalf("reserve: %v", o.Verdict)
	}
	return r
}

// deduct takes a unit for good, in the same way.
func (s *sale) deduct() *stock.Request {
	s.t.Helper()
	r := s.request()
	r.ID = stock.Identity{User: r.User, Route: stock.OpDeduct, Cell: s.cell, Key: "key"}.ID(s.store.Partitions())
	if o := storetest.Decide(s.t, s.store, stock.OpDeduct, r); o.Verdict != stock.VerdictOK {
		s.t.Fatalf("deduct: %v", o.Verdict)
	}
	return r
}

// request is a new user's request.
func (s *sale) request() *stock.Request {
	return storetest.Take(s.cell, s.user.Add(1), "key", s.store.Partitions())
}

func (s *sale) release(r *stock.Request) {
	s.t.Helper()
	if o := storetest.Decide(s.t, s.store, stock.OpRelease, r); o.Verdict != stock.VerdictOK {
		s.t.Fatalf("release: %v", o.Verdict)
	}
}

// screens reports whether the screen answers a new user's request.
func (s *sale) screens() bool { return s.Certain(s.cell, s.request().ID) }

// partition of the cell.
func (s *sale) partition() int { return s.cell.Partition(s.store.Partitions()) }

// dropOutbox does what the persister does at last.
func (s *sale) dropOutbox(m *model) {
	s.t.Helper()
	ctx := context.Background()
	entries, err := m.Store.OutboxAfter(ctx, s.partition(), "", 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		if _, err := m.OutboxDelete(ctx, s.partition(), []string{e.ID}); err != nil {
			s.t.Fatal(err)
		}
	}
}
