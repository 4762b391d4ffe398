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
	broken int                 // the partition whose undecided baskets cannot be read, or -1
	spoilt int                 // so many entries of each partition cannot be read, the oldest
	silent int                 // the partition that answers no call, or -1
	shut   map[int]bool        // partitions whose cells give nothing back
	stuck  stock.ReservationID // the basket whose record no call reaches, or none
	takes  time.Duration       // how long a call takes

	mu             sync.Mutex
	asking, atOnce int // calls, now and at most
	age            time.Duration
	limit, entries int
}

func newSwept(t *testing.T, units ...int64) *swept {
	t.Helper()
	w := &swept{world: &world{TB: t}, broken: -1, silent: -1}
	w.store = memstock.New(partitions, func() int64 { return time.Now().UnixMilli() })
	w.load(units...)
	return w
}

func (w *swept) Partitions() int { return partitions }

func (w *swept) Do(ctx context.Context, vectors ...*stock.Vector) {
	w.note(func() { w.asking++; w.atOnce = max(w.atOnce, w.asking) })
	time.Sleep(w.takes)
	for _, v := range vectors {
		if v.Partition == w.silent || slices.ContainsFunc(v.Requests, w.isStuck) {
			v.Err = stock.ErrNotApplied
			continue
		}
		if v.Op == stock.OpVoid && w.shut[v.Partition] {
			v.Outcomes = slices.Repeat([]stock.Outcome{{Verdict: stock.VerdictFenced}}, len(v.Requests))
			continue
		}
		w.store.Do(ctx, v)
	}
	w.note(func() { w.asking-- })
}

func (w *swept) isStuck(r stock.Request) (stuck bool) {
	w.note(func() { stuck = r.Part.Home != nil && r.Part.Home.ID() == w.stuck })
	return stuck
}

func (w *swept) Undecided(ctx context.Context, partition int, age time.Duration, skip, limit int) ([]stock.Undecided, error) {
	var broken bool
	w.note(func() { w.age, w.limit, broken = age, limit, partition == w.broken })
	if broken {
		return nil, errors.New("the partition is broken")
	}
	found := slices.Repeat([]stock.Undecided{{Err: errors.New("the entry is spoilt")}}, min(limit, max(0, w.spoilt-skip)))
	rest, err := w.store.Undecided(ctx, partition, age, max(0, skip-w.spoilt), limit-len(found))
	return append(found, rest...), err
}

func (w *swept) note(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// counts are the metrics of sweepers.
type counts struct{ *metrics.Set }

func (c counts) swept(state stock.BasketState) uint64 {
	return c.GetOrCreateCounter(fmt.Sprintf("sluice_core_basket_swept_baskets_total{state=%q}", state)).Get()
}

func (c counts) failures() uint64 {
	return c.GetOrCreateCounter("sluice_core_basket_sweep_failures_total").Get()
}

// sweepers starts so many sweepers, which end with the test, and returns what they count together.
func (w *swept) sweepers(t *testing.T, n int) counts {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	set := metrics.NewSet()
	for range n {
		running.Go(func() {
			s := &Sweeper{
				Store: w, Metrics: set, Log: slog.New(slog.DiscardHandler),
				Publish: func(e stock.Entry) {
					if e.ID == "" {
						t.Error("published what is in no outbox")
					}
					w.note(func() { w.entries++ })
				},
			}
			s.Run(ctx)
		})
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return counts{set}
}

// begin begins a basket and stops after so many steps.
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

// leave begins a basket, stops after the lines at home, and returns it.
func (w *swept) leave(b *stock.Basket) *stock.Basket {
	w.Helper()
	w.begin(b, 1)
	if state := w.state(b); state != stock.BasketBegun {
		w.Fatalf("a basket is %v", state)
	}
	return b
}

// states returns the states of some baskets.
func (w *swept) states(baskets ...*stock.Basket) (states []stock.BasketState) {
	for _, b := range baskets {
		states = append(states, w.state(b))
	}
	return states
}

func TestSweeperTakesUpWhatStaysUndecided(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newSwept(t, 3, 3, 1)
		counted := w.sweepers(t, 1)
		w.begin(w.basket("takes the last", w.cells[2]), 1)
		begun, poor := w.leave(w.basket("begun", w.cells[:2]...)), w.leave(w.basket("poor", w.cells...))
		refusing := w.basket("refusing", w.cells...)
		w.begin(refusing, 3)
		before := []stock.BasketState{stock.BasketBegun, stock.BasketBegun, stock.BasketRefusing}
		if states := w.states(begun, poor, refusing); !slices.Equal(states, before) {
			t.Fatalf("before: %v", states)
		}
		time.Sleep(UndecidedMax - time.Millisecond)
		synctest.Wait()
		if states := w.states(begun, poor, refusing); !slices.Equal(states, before) {
			t.Errorf("whoever began them may still be at work, and they are %v", states)
		}
		time.Sleep(lookMax)
		synctest.Wait()
		after := []stock.BasketState{stock.BasketHeld, stock.BasketRefused, stock.BasketRefused}
		if states := w.states(begun, poor, refusing); !slices.Equal(states, after) {
			t.Errorf("after %v: %v", UndecidedMax+lookMax, states)
		}
		if held := w.held(); !slices.Equal(held, []int64{1, 1, 1}) || w.entries == 0 {
			t.Errorf("held %v, %d entries published", held, w.entries)
		}
		if held, refused := counted.swept(stock.BasketHeld), counted.swept(stock.BasketRefused); held != 1 || refused != 2 {
			t.Errorf("%d baskets are counted as held, %d as refused", held, refused)
		}
		if n := counted.failures(); n != 0 {
			t.Errorf("%d failures", n)
		}
	})
}

func TestSweeperIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many = 3 * basketsMax
		w := newSwept(t, many, many, many)
		w.takes = time.Millisecond
		var baskets []*stock.Basket
		for i := range many {
			baskets = append(baskets, w.leave(w.basket(fmt.Sprint(i), w.cells...)))
		}
		counted := w.sweepers(t, 1)
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
		if held := w.held(); !slices.Equal(held, []int64{many, many, many}) || w.entries < 2*many {
			t.Errorf("held %v, %d entries published, want those of the %d lines elsewhere at least", held, w.entries, 2*many)
		}
		if held, failures := counted.swept(stock.BasketHeld), counted.failures(); held != many || failures != 0 {
			t.Errorf("%d baskets are counted as held, and %d failures", held, failures)
		}
	})
}

// TestSweeperTriesAll has a basket that cannot be decided. It keeps no other one waiting, and is counted as a failure.
func TestSweeperTriesAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newSwept(t, 9, 9)
		stuck, other := w.leave(w.basket("a", w.cells...)), w.leave(w.basket("b", w.cells...))
		w.stuck = stuck.ID()
		counted := w.sweepers(t, 1)
		time.Sleep(UndecidedMax + lookMax)
		synctest.Wait()
		if w.state(stuck) != stock.BasketBegun || w.state(other) != stock.BasketHeld {
			t.Errorf("the baskets are %v and %v", w.state(stuck), w.state(other))
		}
		if held, failures := counted.swept(stock.BasketHeld), counted.failures(); held != 1 || failures == 0 {
			t.Errorf("%d baskets are counted as held, and %d failures", held, failures)
		}
		w.note(func() { w.stuck = stock.ReservationID{} })
		time.Sleep(2 * lookMax)
		synctest.Wait()
		if w.state(stuck) != stock.BasketHeld {
			t.Errorf("once it can be decided, the basket is %v", w.state(stuck))
		}
	})
}

// TestStuckBaskets puts more baskets than one look decides in front of another one. They wait for a partition that does not
// answer. A sweeper decides the one behind them.
func TestStuckBaskets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const stuck = 2*basketsMax + 1
		w := newSwept(t, stuck+1, stuck, 1)
		home, silent, other := w.cells[0], w.cells[1], w.cells[2]
		for i := range stuck {
			w.leave(w.basket(fmt.Sprint(i), home, silent))
			time.Sleep(time.Millisecond)
		}
		behind := w.leave(w.basket("behind", home, other))
		w.silent = silent.Partition(partitions)
		time.Sleep(UndecidedMax)
		w.sweepers(t, 1)
		time.Sleep(4 * (every + every/4))
		if state := w.state(behind); state != stock.BasketHeld {
			t.Errorf("the basket behind the others is %v", state)
		}
	})
}

// TestBasketsOfShutCells has more baskets than one look decides wait for a shut cell, which is no failure. A sweeper decides the one
// behind them, wherever the shut cell is.
func TestBasketsOfShutCells(t *testing.T) {
	t.Parallel()
	for _, atHome := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const stuck = 2*basketsMax + 1
			w := newSwept(t, stuck+1, stuck+1, 0)
			home, away, soldOut := w.cells[0], w.cells[1], w.cells[2]
			for i := range stuck {
				w.begin(w.basket(fmt.Sprint(i), home, away, soldOut), 3)
				time.Sleep(time.Millisecond)
			}
			behind := w.leave(w.basket("behind", home, away))
			w.shut = map[int]bool{away.Partition(partitions): !atHome, home.Partition(partitions): atHome}
			time.Sleep(UndecidedMax)
			counted := w.sweepers(t, 1)
			time.Sleep(4 * (every + every/4))
			if state := w.state(behind); state != stock.BasketHeld || counted.failures() > 0 {
				t.Errorf("shut at home %v: the basket behind the others is %v, after %d failures", atHome, state, counted.failures())
			}
			if n := counted.swept(stock.BasketRefusing); n < stuck {
				t.Errorf("shut at home %v: %d baskets waited for the cell, want %d", atHome, n, stuck)
			}
		})
	}
}

// TestSpoiltEntries has more entries that cannot be read than one look reads. A sweeper decides the baskets behind them,
// and counts failures.
func TestSpoiltEntries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newSwept(t, 1, 1)
		w.spoilt = basketsMax + 1
		behind := w.leave(w.basket("behind", w.cells...))
		time.Sleep(UndecidedMax)
		counted := w.sweepers(t, 1)
		time.Sleep(3 * lookMax)
		if state := w.state(behind); state != stock.BasketHeld || counted.failures() == 0 {
			t.Errorf("the basket behind the entries is %v, after %d failures", state, counted.failures())
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

// TestSweeperGoesOnBesideABrokenPartition breaks one partition. Its own baskets wait until it works again.
func TestSweeperGoesOnBesideABrokenPartition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newSwept(t, 2, 2, 2)
		one, other := w.leave(w.basket("a", w.cells[0], w.cells[2])), w.leave(w.basket("b", w.cells[1], w.cells[2]))
		w.broken = one.ID().Partition()
		counted := w.sweepers(t, 1)
		time.Sleep(UndecidedMax + lookMax)
		synctest.Wait()
		if w.state(one) != stock.BasketBegun || w.state(other) != stock.BasketHeld || counted.failures() == 0 {
			t.Errorf("in the broken partition %v, beside it %v, %d failures", w.state(one), w.state(other), counted.failures())
		}
		w.note(func() { w.broken = -1 })
		before := counted.failures()
		time.Sleep(2 * lookMax)
		synctest.Wait()
		if w.state(one) != stock.BasketHeld || counted.failures() != before {
			t.Errorf("later %v, %d failures more", w.state(one), counted.failures()-before)
		}
	})
}
