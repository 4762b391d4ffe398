package expiry

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/stock"
)

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

// TestPartitionsAreLookedAtTogether lets a reservation become due between two common looks.
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
