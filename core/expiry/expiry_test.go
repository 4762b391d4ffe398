package expiry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
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
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
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

func TestUnitsComeBackInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, seen := newModel(8), newJournal()
		start(t, &Sweeper{Store: store, Publish: seen.publish})
		n := 0
		for sku := int64(1); sku <= 50; sku++ {
			cell := stock.Cell{SKU: sku}
			load(t, store, cell, 100, time.Duration(sku)*77*time.Millisecond)
			n += len(reserve(t, store, cell, "a", 3))
			pass(13 * time.Millisecond)
		}
		pass(50*77*time.Millisecond + promise)
		seen.want(t, n)
		for sku := int64(1); sku <= 50; sku++ {
			wantAvail(t, store, stock.Cell{SKU: sku}, 100)
		}
	})
}

// TestShorterHoldIsNoticed makes a reservation that is due long before the one that the sweeper knows.
func TestShorterHoldIsNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, seen := newModel(1), newJournal()
		cell := stock.Cell{SKU: 1}
		load(t, store, cell, 9, time.Hour)
		reserve(t, store, cell, "long", 1)
		start(t, &Sweeper{Store: store, Publish: seen.publish})
		pass(10 * time.Second)
		for i := range 20 {
			setHold(t, store, cell, time.Duration(i+1)*time.Millisecond)
			reserve(t, store, cell, fmt.Sprint(i), 1)
			pass(promise + 7*time.Millisecond)
			seen.want(t, i+1)
		}
	})
}

func TestBacklogIsSweptWithoutPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 10*reservationsMax + 1
		store, seen := newModel(2), newJournal()
		cell := stock.Cell{SKU: 1}
		load(t, store, cell, n, time.Second)
		reserve(t, store, cell, "a", n)
		pass(time.Second)
		begin := time.Now()
		start(t, &Sweeper{Store: store, Publish: seen.publish})
		pass(every)
		seen.want(t, n)
		if d := time.Since(begin); d > every {
			t.Errorf("%v", d)
		}
	})
}

func TestSeveralSweepersExpireOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, seen := newModel(8), newJournal()
		for range 3 {
			start(t, &Sweeper{Store: store, Publish: seen.publish})
		}
		n := 0
		for sku := int64(1); sku <= 40; sku++ {
			cell := stock.Cell{SKU: sku}
			load(t, store, cell, 100, time.Duration(sku)*10*time.Millisecond)
			n += len(reserve(t, store, cell, "a", 100))
		}
		pass(400*time.Millisecond + promise)
		seen.want(t, n)
	})
}

func TestIdlePartitionsCostLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const minutes = 10
		store := &spied{Store: newModel(8)}
		start(t, &Sweeper{Store: store, Publish: func(stock.Entry) {}})
		pass(minutes * time.Minute)
		if looks := store.looks.Load(); looks > 8*minutes*60*4 || looks < 8*minutes*60 {
			t.Errorf("%d looks at 8 partitions in %d minutes", looks, minutes)
		}
		if forgets := store.forgets.Load(); forgets > 8*(minutes*60+1) {
			t.Errorf("%d calls of forget", forgets)
		}
	})
}

// TestSteadyStreamIsSweptInBatches has a deadline every millisecond.
func TestSteadyStreamIsSweptInBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 5000
		store, seen := &spied{Store: newModel(1)}, newJournal()
		cell := stock.Cell{SKU: 1}
		load(t, store, cell, n, time.Second)
		start(t, &Sweeper{Store: store, Publish: seen.publish})
		for i := range n {
			reserve(t, store, cell, fmt.Sprint(i), 1)
			pass(time.Millisecond)
		}
		pass(2 * promise)
		seen.want(t, n)
		if looks := store.looks.Load(); looks > n/50 {
			t.Errorf("%d looks for %d reservations", looks, n)
		}
	})
}

func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &spied{Store: newModel(100), dwell: 100 * time.Millisecond}
		start(t, &Sweeper{Store: store, Publish: func(stock.Entry) {}})
		pass(10 * time.Second)
		if most := store.most.Load(); most != callsAtOnceMax {
			t.Errorf("%d calls at once, want %d", most, callsAtOnceMax)
		}
	})
}

// TestHungNodeDelaysNoOther has one of three nodes answer nothing until its calls are given up.
func TestHungNodeDelaysNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const partitions, nodes, hung = 64, 3, 1
		model, seen := newModel(partitions), newJournal()
		store := &spied{
			Store: model,
			node:  func(partition int) string { return fmt.Sprint(partition % nodes) },
			failing: func(partition int) bool {
				if partition%nodes == hung {
					time.Sleep(300 * time.Millisecond)
				}
				return partition%nodes == hung
			},
		}
		start(t, &Sweeper{Store: store, Publish: seen.publish})
		n := 0
		for sku := int64(1); sku <= 500; sku++ {
			if cell := (stock.Cell{SKU: sku}); cell.Partition(partitions)%nodes != hung {
				load(t, model, cell, 1, time.Duration(sku)*10*time.Millisecond)
				n += len(reserve(t, model, cell, "a", 1))
			}
		}
		pass(5*time.Second + promise)
		seen.want(t, n)
	})
}

func TestFailureOfOnePartitionIsItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		model, seen, set := newModel(2), newJournal(), metrics.NewSet()
		cells := map[int]stock.Cell{}
		for sku := int64(1); len(cells) < 2; sku++ {
			cell := stock.Cell{SKU: sku}
			cells[cell.Partition(2)] = cell
		}
		for cell := range maps.Values(cells) {
			load(t, model, cell, 9, time.Second)
			reserve(t, model, cell, "a", 1)
		}
		recovery := time.Now().Add(10 * time.Second)
		// The first look succeeds, so that the sweeper knows of the deadline that it will miss.
		store := &spied{Store: model, failing: func(p int) bool {
			return p == 1 && time.Now().Before(recovery) && time.Until(recovery) < 9500*time.Millisecond
		}}
		start(t, &Sweeper{Store: store, Publish: seen.publish, Metrics: set})

		pass(9 * time.Second)
		seen.want(t, 1)
		wantAvail(t, model, cells[0], 9)
		if lag := set.GetOrCreateGauge("sluice_core_expiry_lag_seconds", nil).Get(); lag < 7.9 || lag > 8.1 {
			t.Errorf("lag %v s, want 8", lag)
		}
		if n := set.GetOrCreateCounter("sluice_core_expiry_failures_total").Get(); n < 8 || n > 11 {
			t.Errorf("%d failures in 8.5 s", n)
		}
		pass(2 * time.Second)
		wantAvail(t, model, cells[1], 9)
		if lag := set.GetOrCreateGauge("sluice_core_expiry_lag_seconds", nil).Get(); lag != 0 {
			t.Errorf("lag %v s after recovery", lag)
		}
		if n := set.GetOrCreateCounter("sluice_core_expiry_expired_reservations_total").Get(); n != 2 {
			t.Errorf("%d expired, want 2", n)
		}
	})
}

// TestShutStoreIsAskedSeldom: nobody may vet Redis for hours. Each partition is looked at once a second then, and as
// often as always once it answers.
func TestShutStoreIsAskedSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const partitions, seconds = 64, 60
		var open atomic.Bool
		model, seen := newModel(partitions), newJournal()
		store := &spied{Store: model, failing: func(int) bool { return !open.Load() }}
		start(t, &Sweeper{Store: store, Publish: seen.publish})
		pass(2 * time.Second)
		before := store.looks.Load()
		pass(seconds * time.Second)
		if looks := store.looks.Load() - before; looks < partitions*(seconds-2) || looks > partitions*(seconds+1) {
			t.Errorf("%d looks at %d partitions in %d s", looks, partitions, seconds)
		}
		cell := stock.Cell{SKU: 1}
		load(t, model, cell, 9, time.Millisecond)
		reserve(t, model, cell, "a", 1)
		open.Store(true)
		pass(promise + 7*time.Millisecond)
		seen.want(t, 1)
		before = store.looks.Load()
		pass(seconds * time.Second)
		if looks := store.looks.Load() - before; looks < partitions*seconds*3 {
			t.Errorf("open again: %d looks at %d partitions in %d s", looks, partitions, seconds)
		}
	})
}

// halfway is a store that expires and then fails, as Redis may between two scripts.
type halfway struct{ model }

func (h halfway) Expire(ctx context.Context, partition, limit int) (stock.Sweep, error) {
	sweep, err := h.model.Expire(ctx, partition, limit)
	return sweep, errors.Join(err, errDown)
}

func TestWhatExpiredBeforeAnErrorIsPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, seen := newModel(1), newJournal()
		cell := stock.Cell{SKU: 1}
		load(t, store, cell, 9, time.Second)
		reserve(t, store, cell, "a", 5)
		start(t, &Sweeper{Store: halfway{store}, Publish: seen.publish})
		pass(time.Second + promise)
		seen.want(t, 5)
	})
}

func TestFinishedRecordsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 3 * reservationsMax
		store := newModel(1)
		store.Retention = time.Minute
		cell := stock.Cell{SKU: 1}
		load(t, store, cell, n, time.Second)
		ids := reserve(t, store, cell, "a", n)
		set := metrics.NewSet()
		start(t, &Sweeper{Store: store, Publish: func(stock.Entry) {}, Metrics: set})

		records := func() (kept int) {
			found, _, err := store.Reservations(t.Context(), ids)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range found {
				if r.State != stock.StateNone {
					kept++
				}
			}
			return kept
		}
		pass(time.Minute)
		if kept := records(); kept != n {
			t.Errorf("%d records within their retention, want %d", kept, n)
		}
		pass(5 * time.Second)
		if kept := records(); kept != 0 {
			t.Errorf("%d records after their retention", kept)
		}
		if got := set.GetOrCreateCounter("sluice_core_expiry_forgotten_reservations_total").Get(); got != n+1 { // and the adjustment
			t.Errorf("%d forgotten, want %d", got, n+1)
		}
	})
}

// TestPartitionsAreLookedAtTogether has a reservation become due between two common looks.
func TestPartitionsAreLookedAtTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const partitions = 64
		model := newModel(partitions)
		cell := stock.Cell{SKU: 1}
		load(t, model, cell, 1, 2345*time.Millisecond)
		reserve(t, model, cell, "a", 1)
		var mu sync.Mutex
		looksAt := map[time.Time]int{}
		store := &spied{Store: model, failing: func(int) bool {
			mu.Lock()
			defer mu.Unlock()
			looksAt[time.Now()]++
			return false
		}}
		start(t, &Sweeper{Store: store, Publish: func(stock.Entry) {}})
		pass(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		alone := 0
		for at, looks := range looksAt {
			switch looks {
			case partitions:
			case 1:
				alone++
			default:
				t.Errorf("%d partitions are looked at at %v", looks, at)
			}
		}
		if common := len(looksAt) - alone; common != 40 || alone > 2 {
			t.Errorf("%d common looks and %d others in 10 s, want 40 and at most 2", common, alone)
		}
	})
}

func TestLateness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 3 * reservationsMax
		store, set := newModel(1), metrics.NewSet()
		cell := stock.Cell{SKU: 1}
		load(t, store, cell, n, time.Second)
		reserve(t, store, cell, "a", n)
		pass(3 * time.Second)

		r := (&Sweeper{Store: store, Publish: func(stock.Entry) {}, Metrics: set}).newRun()
		r.phase = time.Now()
		lag := set.GetOrCreateGauge("sluice_core_expiry_lag_seconds", nil)
		for i, want := range []struct {
			wait time.Duration
			lag  float64
		}{{0, 2}, {0, 2}, {every, 0}} {
			wait, err := r.look(t.Context(), 0)
			if err != nil || wait != want.wait || lag.Get() != want.lag {
				t.Errorf("look %d: again after %v, lag %v s, error %v, want %+v", i, wait, lag.Get(), err, want)
			}
		}
		var text strings.Builder
		set.WritePrometheus(&text)
		for _, line := range []string{"sluice_core_expiry_late_seconds_sum 6\n", `sluice_core_expiry_late_seconds_bucket{le="2.5"} 3`} { // three looks, 2 s late each
			if !strings.Contains(text.String(), line) {
				t.Errorf("metrics without %q:\n%s", line, text.String())
			}
		}
	})
}
