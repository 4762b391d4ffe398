package expiry

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sluice/core/event"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/core/stock/memstock"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(servicetest.Main(m))
}

// promise is how soon after its deadline a reservation's units have to be back.
const promise = time.Second

// spied is a store that counts calls, and fails where a test wants it to.
type spied struct {
	stock.Store
	failing func(partition int) bool
	dwell   time.Duration // of each call
	node    func(partition int) string

	looks, forgets, atOnce, most atomic.Int64
}

var errDown = errors.New("down")

func (s *spied) Expire(ctx context.Context, partition, limit int) (stock.Sweep, error) {
	s.looks.Add(1)
	for n, most := s.atOnce.Add(1), s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	defer s.atOnce.Add(-1)
	time.Sleep(s.dwell)
	if s.failing != nil && s.failing(partition) {
		return stock.Sweep{}, errDown
	}
	return s.Store.Expire(ctx, partition, limit)
}

func (s *spied) NodeOf(partition int) (string, error) {
	if s.node == nil {
		return "", nil
	}
	return s.node(partition), nil
}

func (s *spied) Forget(ctx context.Context, partition, limit int) (int, error) {
	s.forgets.Add(1)
	return s.Store.Forget(ctx, partition, limit)
}

// journal keeps what sweepers publish: how late each reservation was.
type journal struct {
	mu      sync.Mutex
	late    map[stock.ReservationID]time.Duration
	doubles int
	broken  error
}

func newJournal() *journal { return &journal{late: map[stock.ReservationID]time.Duration{}} }

func (j *journal) publish(entry stock.Entry) {
	batch, err := event.Decode(entry.Data)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken = errors.Join(j.broken, err)
	for _, e := range batch.Events {
		if _, twice := j.late[e.Reservation]; twice {
			j.doubles++
		}
		j.late[e.Reservation] = time.Duration(batch.TimeMS-e.DeadlineMS) * time.Millisecond
	}
}

func (j *journal) len() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.late)
}

// want checks that so many reservations have expired, each once and in time.
func (j *journal) want(t *testing.T, n int) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil || j.doubles != 0 || len(j.late) != n {
		t.Errorf("%d reservations expired, %d of them twice, want %d; error %v", len(j.late), j.doubles, n, j.broken)
	}
	for id, late := range j.late {
		if late < 0 || late > promise {
			t.Errorf("%v expired %v after its deadline", id, late)
		}
	}
}

// model is a model on one server.
type model struct{ *memstock.Store }

func (model) NodeOf(int) (string, error) { return "", nil }

// newModel is a model in the time of a test's bubble.
func newModel(partitions int) model {
	return model{memstock.New(partitions, func() int64 { return time.Now().UnixMilli() })}
}

func load(t testing.TB, store stock.Store, cell stock.Cell, units int64, hold time.Duration) {
	t.Helper()
	adjust(t, store, cell, "load", stock.Adjustment{Create: true, Delta: units, Settings: stock.Settings{Hold: hold}})
}

func setHold(t testing.TB, store stock.Store, cell stock.Cell, hold time.Duration) {
	t.Helper()
	adjust(t, store, cell, "hold "+hold.String(), stock.Adjustment{
		Fields: stock.FieldHold, Settings: stock.Settings{Hold: hold},
	})
}

func adjust(t testing.TB, store stock.Store, cell stock.Cell, key string, a stock.Adjustment) {
	t.Helper()
	a.Kind, a.Reason = stock.AdjustPlain, "test"
	d := stock.DoAll(t.Context(), store, stock.OpAdjust, []stock.Request{{
		ID:         stock.Identity{Route: stock.OpAdjust, Cell: cell, Key: key}.ID(store.Partitions()),
		Cell:       cell,
		Adjustment: &a,
	}})[0]
	if d.Err != nil || d.Verdict != stock.VerdictOK {
		t.Fatalf("adjust %v: %v, %v", cell, d.Verdict, d.Err)
	}
}

// reserve holds a unit for each of n users, under one key.
func reserve(t testing.TB, store stock.Store, cell stock.Cell, key string, n int) []stock.ReservationID {
	t.Helper()
	requests := make([]stock.Request, n)
	ids := make([]stock.ReservationID, n)
	for i := range requests {
		user := int64(i + 1)
		ids[i] = stock.Identity{User: user, Route: stock.OpReserve, Cell: cell, Key: key}.ID(store.Partitions())
		requests[i] = stock.Request{ID: ids[i], Cell: cell, User: user, Quantity: 1}
	}
	for _, d := range stock.DoAll(t.Context(), store, stock.OpReserve, requests) {
		if d.Err != nil || d.Verdict != stock.VerdictOK {
			t.Fatalf("reserve %v: %v, %v", cell, d.Verdict, d.Err)
		}
	}
	return ids
}

// start runs a sweeper until the test ends.
func start(t testing.TB, s *Sweeper) *Sweeper {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return s
}

func wantAvail(t testing.TB, store stock.Store, cell stock.Cell, want int64) {
	t.Helper()
	states, _, err := store.Cells(t.Context(), []stock.Cell{cell})
	if err != nil {
		t.Fatal(err)
	}
	if s := states[0]; s.Avail != want || s.Held != 0 {
		t.Errorf("%v has %+v, want %d avail", cell, s.Balances, want)
	}
}

// pass lets time go by in a test's bubble, and what was to happen in it happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
