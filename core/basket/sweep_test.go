package basket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/stock"
)

// leave begins a basket, and leaves it as a process does that ends after the lines at home.
func (w *world) leave(b *stock.Basket) {
	w.Helper()
	steps := 0
	_, err := Decide(b, func(calls []Call) []Answer {
		if steps++; steps > 1 {
			return []Answer{{Err: errors.New("ended")}}
		}
		return w.ask(calls)
	})
	if !errors.Is(err, stock.ErrUnknown) || w.state(b) != stock.BasketBegun {
		w.Fatalf("a basket is %v, error %v", w.state(b), err)
	}
}

// sweepFor runs a sweeper for some looks at each partition, and returns its metrics.
func sweepFor(t *testing.T, s *Sweeper) string {
	t.Helper()
	s.Metrics, s.Log = metrics.NewSet(), slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithTimeout(t.Context(), 5*every)
	defer cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
	var text strings.Builder
	s.Metrics.WritePrometheus(&text)
	return text.String()
}

func wantMetrics(t *testing.T, metrics string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no %s in\n%s", line, metrics)
		}
	}
}

// A sweeper decides what was left for long enough, more baskets than it decides at once, and tells of their events.
func TestSweeperDecidesWhatWasLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const left = 2*atOnceMax + 1
		w := newWorld(t, left+1, left+1, left+1, 0)
		home := slices.MinFunc(w.cells, stock.Cell.Compare) // whose lines are taken before a process ends
		w.cells = slices.Insert(slices.DeleteFunc(slices.Clone(w.cells), func(c stock.Cell) bool { return c == home }), 0, home)
		var baskets []*stock.Basket
		for i := range left {
			b := w.basket(fmt.Sprint(i), w.cells[:3]...)
			w.leave(b)
			baskets = append(baskets, b)
		}
		poor := w.basket("poor", w.cells...)
		w.leave(poor)
		var published atomic.Int64
		s := &Sweeper{Store: w.store, Publish: func(e stock.Entry) {
			if e.ID == "" {
				t.Error("published what is in no outbox")
			}
			published.Add(1)
		}}
		w.nowMS += UndecidedMax.Milliseconds() - 1
		if sweepFor(t, s); w.state(poor) != stock.BasketBegun {
			t.Fatalf("before its time a basket is %v", w.state(poor))
		}
		w.nowMS++
		got := sweepFor(t, s)
		for _, b := range baskets {
			if w.state(b) != stock.BasketHeld {
				t.Errorf("a basket is %v", w.state(b))
			}
		}
		if held := w.held(); w.state(poor) != stock.BasketRefused || !slices.Equal(held, []int64{left, left, left, 0}) {
			t.Errorf("a basket without units is %v; held %v", w.state(poor), held)
		}
		wantMetrics(t, got, fmt.Sprintf(`sluice_core_basket_swept_baskets_total{state="held"} %d`, left),
			`sluice_core_basket_swept_baskets_total{state="refused"} 1`, "sluice_core_basket_sweep_failures_total 0")
		if n := published.Load(); n < 2*left {
			t.Errorf("%d entries were published, want those of %d lines at least", n, 2*left)
		}
	})
}

// failing is a store that decides nothing about some baskets.
type failing struct {
	Store
	basket stock.ReservationID
}

func (f *failing) Do(ctx context.Context, vectors ...*stock.Vector) {
	for _, v := range vectors {
		if slices.ContainsFunc(v.Requests, func(r stock.Request) bool { return r.Part.Home != nil && r.Part.Home.ID() == f.basket }) {
			v.Err = errors.New("no answer")
			continue
		}
		f.Store.Do(ctx, v)
	}
}

// A basket that cannot be decided keeps no other one waiting, and is counted as a failure.
func TestSweeperTriesAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 9, 9)
		stuck, other := w.basket("a", w.cells...), w.basket("b", w.cells...)
		w.leave(stuck)
		w.leave(other)
		w.nowMS += UndecidedMax.Milliseconds()
		got := sweepFor(t, &Sweeper{Store: &failing{w.store, stuck.ID()}, Publish: func(stock.Entry) {}})
		if w.state(stuck) != stock.BasketBegun || w.state(other) != stock.BasketHeld {
			t.Errorf("the baskets are %v and %v", w.state(stuck), w.state(other))
		}
		wantMetrics(t, got, `sluice_core_basket_swept_baskets_total{state="held"} 1`)
		if strings.Contains(got, "sluice_core_basket_sweep_failures_total 0\n") {
			t.Errorf("no failure in\n%s", got)
		}
	})
}

// replicated is a store whose cells are of the level replica.
type replicated struct {
	Store
	asked []bool
}

func (r *replicated) Do(_ context.Context, vectors ...*stock.Vector) {
	for _, v := range vectors {
		r.asked = append(r.asked, v.Replicate)
		v.Outcomes = []stock.Outcome{{Verdict: stock.VerdictReplicaMissing}}
		if v.Replicate {
			v.Outcomes[0].Verdict = stock.VerdictOK
		}
	}
}

// Whoever asks a store directly does not know the levels of cells. A line that needs a replica is asked for again with one.
func TestDirectAsksForAReplica(t *testing.T) {
	t.Parallel()
	s := &replicated{}
	ask := Direct(t.Context(), s, func(stock.Entry) {})
	answers := ask([]Call{{Op: stock.OpGather, Requests: make([]stock.Request, 1)}})
	if answers[0].Outcomes[0].Verdict != stock.VerdictOK || !slices.Equal(s.asked, []bool{false, true}) {
		t.Errorf("%+v after calls with a replica: %v", answers[0], s.asked)
	}
}
