package basket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/stock"
	"sluice/core/stock/memstock"
)

// lookMax is more than the longest pause between two looks.
const lookMax = every + every/4 + time.Millisecond

// swept is a world whose store a Sweeper looks at, in a bubble: its clock is the bubble's.
type swept struct {
	*world
	broken int           // the partition whose undecided baskets cannot be read, or -1
	takes  time.Duration // how long a call takes

	mu             sync.Mutex
	asking, atOnce int // calls, now and at most
	age            time.Duration
	limit, entries int
}

func newSwept(t *testing.T, units ...int64) *swept {
	t.Helper()
	w := &swept{world: &world{TB: t}, broken: -1}
	w.store = memstock.New(partitions, func() int64 { return time.Now().UnixMilli() })
	w.load(units...)
	return w
}

func (w *swept) Partitions() int { return partitions }

func (w *swept) Do(ctx context.Context, vectors ...*stock.Vector) {
	w.note(func() { w.asking++; w.atOnce = max(w.atOnce, w.asking) })
	time.Sleep(w.takes)
	w.store.Do(ctx, vectors...)
	w.note(func() { w.asking-- })
}

func (w *swept) Undecided(ctx context.Context, partition int, age time.Duration, skip, limit int) ([]stock.Undecided, error) {
	var broken bool
	w.note(func() { w.age, w.limit, broken = age, limit, partition == w.broken })
	if broken {
		return nil, errors.New("the partition is broken")
	}
	return w.store.Undecided(ctx, partition, age, skip, limit)
}

func (w *swept) note(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// sweepers starts so many sweepers, which end with the test, and returns their metrics.
func (w *swept) sweepers(t *testing.T, n int) []*metrics.Set {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var sets []*metrics.Set
	for range n {
		set := metrics.NewSet()
		sets = append(sets, set)
		running.Go(func() {
			s := &Sweeper{
				Store: w, Metrics: set, Log: slog.New(slog.DiscardHandler),
				Publish: func(stock.Entry) { w.note(func() { w.entries++ }) },
			}
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return sets
}

// begin has somebody end after so many steps of a basket.
func (w *swept) begin(b *stock.Basket, steps int) {
	w.Helper()
	s := New(b)
	var answers []Answer
	for range steps {
		calls, err := s.Step(answers)
		if err != nil {
			w.Fatal(err)
		}
		answers = w.ask(calls)
	}
}

func TestSweeperTakesUpWhatStaysUndecided(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newSwept(t, 2, 2, 1)
		set := w.sweepers(t, 1)[0]
		begun, refusing := w.basket("begun", w.cells[:2]...), w.basket("refusing", w.cells...)
		w.begin(w.basket("takes the last", w.cells[2]), 1)
		w.begin(begun, 1)
		w.begin(refusing, 3)
		if states := []stock.BasketState{w.state(begun), w.state(refusing)}; !slices.Equal(states, []stock.BasketState{stock.BasketBegun, stock.BasketRefusing}) {
			t.Fatalf("before: %v", states)
		}
		time.Sleep(UndecidedMax - time.Millisecond)
		synctest.Wait()
		if states := []stock.BasketState{w.state(begun), w.state(refusing)}; !slices.Equal(states, []stock.BasketState{stock.BasketBegun, stock.BasketRefusing}) {
			t.Errorf("whoever began them may still be at work, and they are %v", states)
		}
		time.Sleep(lookMax)
		synctest.Wait()
		if states := []stock.BasketState{w.state(begun), w.state(refusing)}; !slices.Equal(states, []stock.BasketState{stock.BasketHeld, stock.BasketRefused}) {
			t.Errorf("after %v: %v", UndecidedMax+lookMax, states)
		}
		if held := w.held(); !slices.Equal(held, []int64{1, 1, 1}) || w.entries == 0 {
			t.Errorf("held %v, %d entries published", held, w.entries)
		}
		for _, state := range []stock.BasketState{stock.BasketHeld, stock.BasketRefused} {
			if n := set.GetOrCreateCounter(fmt.Sprintf("sluice_core_basket_swept_baskets_total{state=%q}", state)).Get(); n != 1 {
				t.Errorf("%d baskets are counted as %v", n, state)
			}
		}
	})
}

func TestSweeperIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many = 3 * basketsMax
		w := newSwept(t, many, many)
		w.takes = time.Millisecond
		var baskets []*stock.Basket
		for i := range many {
			b := w.basket(fmt.Sprint(i), w.cells...)
			baskets = append(baskets, b)
			w.begin(b, 1)
		}
		w.sweepers(t, 1)
		time.Sleep(UndecidedMax + 4*lookMax)
		synctest.Wait()
		for i, b := range baskets {
			if state := w.state(b); state != stock.BasketHeld {
				t.Fatalf("basket %d is %v", i, state)
			}
		}
		if w.atOnce != atOnceMax || w.limit != basketsMax || w.age != UndecidedMax {
			t.Errorf("%d baskets at once, at most %d of an age of %v in a look", w.atOnce, w.limit, w.age)
		}
	})
}

func TestSeveralSweepers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newSwept(t, 40, 40, 20)
		w.takes = time.Millisecond
		var baskets []*stock.Basket
		for i := range 40 {
			b := w.basket(fmt.Sprint(i), w.cells...)
			baskets = append(baskets, b)
			w.begin(b, 1+i%3)
		}
		w.sweepers(t, 3)
		time.Sleep(UndecidedMax + 2*lookMax)
		synctest.Wait()
		held := int64(0)
		for i, b := range baskets {
			switch state := w.state(b); state {
			case stock.BasketHeld:
				held++
			case stock.BasketRefused:
			default:
				t.Errorf("basket %d is %v", i, state)
			}
		}
		if got := w.held(); !slices.Equal(got, []int64{held, held, held}) || held != 20 {
			t.Errorf("%d baskets are held, units %v", held, got)
		}
	})
}

// TestSweeperGoesOnBesideABrokenPartition has one partition fail, whose own baskets wait until it works again.
func TestSweeperGoesOnBesideABrokenPartition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newSwept(t, 2, 2, 2)
		one, other := w.basket("a", w.cells[0], w.cells[2]), w.basket("b", w.cells[1], w.cells[2])
		w.begin(one, 1)
		w.begin(other, 1)
		w.broken = one.ID().Partition()
		set := w.sweepers(t, 1)[0]
		failures := set.GetOrCreateCounter("sluice_core_basket_sweep_failures_total")
		time.Sleep(UndecidedMax + lookMax)
		synctest.Wait()
		if w.state(one) != stock.BasketBegun || w.state(other) != stock.BasketHeld || failures.Get() == 0 {
			t.Errorf("in the broken partition %v, beside it %v, %d failures", w.state(one), w.state(other), failures.Get())
		}
		w.note(func() { w.broken = -1 })
		before := failures.Get()
		time.Sleep(2 * lookMax)
		synctest.Wait()
		if w.state(one) != stock.BasketHeld || failures.Get() != before {
			t.Errorf("later %v, %d failures more", w.state(one), failures.Get()-before)
		}
	})
}
