package basket

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/core/stock"
	"sluice/core/stock/memstock"
)

const partitions = 8

// world is a model of stock, with cells in different partitions.
type world struct {
	rapid.TB
	store *memstock.Store
	nowMS int64
	cells []stock.Cell
}

func newWorld(t rapid.TB, units ...int64) *world {
	t.Helper()
	w := &world{TB: t, nowMS: 1_700_000_000_000}
	w.store = memstock.New(partitions, func() int64 { return w.nowMS })
	w.load(units...)
	return w
}

// load makes a cell with so many units for each number, in different partitions.
func (w *world) load(units ...int64) {
	w.Helper()
	seen := map[int]bool{}
	for sku := int64(1); len(w.cells) < len(units); sku++ {
		cell := stock.Cell{SKU: sku}
		if p := cell.Partition(partitions); !seen[p] {
			seen[p] = true
			w.adjust(cell, "load", stock.Adjustment{Create: true, Delta: units[len(w.cells)], Settings: stock.Settings{Hold: time.Hour}})
			w.cells = append(w.cells, cell)
		}
	}
}

// neighbours makes so many cells of one partition, with a unit each, in place of those that there are.
func (w *world) neighbours(n int) []stock.Cell {
	w.Helper()
	w.cells = nil
	for sku := int64(1000); len(w.cells) < n; sku++ {
		cell := stock.Cell{SKU: sku}
		if cell.Partition(partitions) == 1 {
			w.adjust(cell, "load", stock.Adjustment{Create: true, Delta: 1, Settings: stock.Settings{Hold: time.Hour}})
			w.cells = append(w.cells, cell)
		}
	}
	return w.cells
}

func (w *world) adjust(cell stock.Cell, key string, a stock.Adjustment) {
	w.Helper()
	a.Kind, a.Reason = stock.AdjustPlain, "test"
	w.one(stock.OpAdjust, stock.Request{
		ID:   stock.Identity{User: 1, Route: stock.OpAdjust, Cell: cell, Key: key}.ID(partitions),
		Cell: cell, User: 1, Fingerprint: a.Fingerprint(), Adjustment: &a,
	})
}

func (w *world) one(op stock.Op, r stock.Request) stock.Outcome {
	w.Helper()
	v := &stock.Vector{Op: op, Partition: r.ID.Partition(), Requests: []stock.Request{r}}
	w.store.Do(context.Background(), v)
	if v.Err != nil {
		w.Fatal(v.Err)
	}
	return v.Outcomes[0]
}

// basket takes one unit of each cell.
func (w *world) basket(key string, cells ...stock.Cell) *stock.Basket {
	w.Helper()
	var items []stock.Line
	for _, c := range cells {
		items = append(items, stock.Line{Cell: c, Quantity: 1})
	}
	b, err := stock.NewBasket(7, key, items, partitions)
	if err != nil {
		w.Fatal(err)
	}
	return &b
}

func (w *world) ask(calls []Call) []Answer {
	return Direct(context.Background(), w.store, func(stock.Entry) {})(calls)
}

func (w *world) decide(b *stock.Basket) Result {
	w.Helper()
	r, err := Decide(b, w.ask, nil)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// held is how many units of each cell are held.
func (w *world) held() (held []int64) {
	states, _, err := w.store.Cells(context.Background(), w.cells)
	if err != nil {
		w.Fatal(err)
	}
	for _, s := range states {
		if !s.Sound() {
			w.Fatalf("cell %+v", s)
		}
		held = append(held, s.Held)
	}
	return held
}

// records are the reservations of a basket.
func (w *world) records(b *stock.Basket) []stock.Reservation {
	var ids []stock.ReservationID
	for _, l := range b.Lines {
		ids = append(ids, l.ID)
	}
	records, _, err := w.store.Reservations(context.Background(), ids)
	if err != nil {
		w.Fatal(err)
	}
	return records
}

func (w *world) state(b *stock.Basket) stock.BasketState {
	records, err := w.store.Baskets(context.Background(), []stock.ReservationID{b.ID()})
	if err != nil {
		w.Fatal(err)
	}
	return records[0].State
}

// sweep decides all that is undecided.
func (w *world) sweep() {
	for p := range partitions {
		all, err := w.store.Undecided(context.Background(), p, 0, 0, 1000)
		if err != nil {
			w.Fatal(err)
		}
		for _, u := range all {
			w.decide(&u.Basket)
		}
	}
}

func TestHeldBasket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 2, 2)
	b := w.basket("a", w.cells...)
	first := w.decide(b)
	if first.State != stock.BasketHeld || !first.First || first.TimeMS != w.nowMS || !slices.Equal(w.held(), []int64{1, 1, 1}) {
		t.Fatalf("%+v, held %v", first, w.held())
	}
	for i, l := range first.Lines {
		if r := l.Reservation; r.ID != b.Lines[i].ID || r.State != stock.StateHeld {
			t.Errorf("line %d: %+v", i, r)
		}
	}
	w.one(stock.OpConfirm, stock.Request{ID: b.Lines[1].ID})
	again := w.decide(b)
	if again.State != stock.BasketHeld || again.First || again.Lines[1].Reservation.State != stock.StateConfirmed {
		t.Fatalf("again: %+v", again)
	}
}

// TestHeldBasketIsAsOldAsItsOldestAnswer has partitions whose clocks differ: no line is told as it was before the basket's time.
func TestHeldBasketIsAsOldAsItsOldestAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, 1)
	b := w.basket("a", w.cells...)
	for _, clocks := range [][3]int64{{0, -5, 7}, {0, 7, -5}, {-5, 0, 7}} { // of the lines, the first at home
		got, err := Decide(b, func(calls []Call) []Answer {
			answers := w.ask(calls)
			for i := range calls {
				line := slices.IndexFunc(b.Lines, func(l stock.Line) bool { return l.ID == calls[i].Requests[0].ID })
				answers[i].TimeMS += clocks[line]
			}
			return answers
		}, nil)
		if err != nil || got.State != stock.BasketHeld || got.TimeMS != w.nowMS-5 {
			t.Errorf("clocks %v: %d ms from now, %+v, error %v", clocks, got.TimeMS-w.nowMS, got, err)
		}
	}
}

// TestHeldBasketTakesNothingAgain ends and forgets a line of a held basket. A repeated request gets the other lines.
func TestHeldBasketTakesNothingAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 2, 2)
	w.store.Retention = time.Minute
	b := w.basket("a", w.cells...)
	w.decide(b)
	for _, l := range b.Lines[1:] {
		w.one(stock.OpRelease, stock.Request{ID: l.ID, Cell: l.Cell})
	}
	w.nowMS += w.store.Retention.Milliseconds() + 1
	for p := range partitions {
		if _, err := w.store.Forget(context.Background(), p, 10); err != nil {
			t.Fatal(err)
		}
	}
	before := w.held()
	again := w.decide(b)
	if held := w.held(); !slices.Equal(held, before) || again.State != stock.BasketHeld || again.First {
		t.Errorf("held %v, before %v: %+v", held, before, again)
	}
	for i, l := range again.Lines {
		if want := i == 0; (l.Reservation.State == stock.StateHeld) != want {
			t.Errorf("line %d is told as %+v", i, l.Reservation)
		}
	}
}

func TestRefusedBasket(t *testing.T) {
	t.Parallel()
	for refused := range 3 {
		units := []int64{1, 1, 1}
		units[refused] = 0
		w := newWorld(t, units...)
		b := w.basket("a", w.cells...)
		line := slices.IndexFunc(b.Lines, func(l stock.Line) bool { return l.Cell == w.cells[refused] })
		want := Result{State: stock.BasketRefused, Refusal: stock.VerdictSoldOut, Line: line}
		for _, when := range []string{"first", "again", "with units"} {
			if got := w.decide(b); got.State != want.State || got.Refusal != want.Refusal || got.Line != want.Line {
				t.Errorf("cell %d, %s: %+v, want %+v", refused, when, got, want)
			}
			if !slices.Equal(w.held(), []int64{0, 0, 0}) {
				t.Errorf("cell %d, %s: held %v", refused, when, w.held())
			}
			w.adjust(w.cells[refused], when, stock.Adjustment{Delta: 1})
		}
		if got := w.decide(w.basket("b", w.cells...)); got.State != stock.BasketHeld {
			t.Errorf("with a new key: %+v", got)
		}
	}
}

// TestFailedCalls lets every call of a saga fail in turn, before or after it was executed. Later decisions of the
// basket have the same result. Only a failure of the first call says that nothing was begun.
func TestFailedCalls(t *testing.T) {
	t.Parallel()
	for _, units := range [][]int64{{1, 1, 1}, {1, 1, 0}, {0, 1, 1}} {
		for _, executed := range []bool{false, true} {
			for failing := range 8 {
				w := newWorld(t, units...)
				b, n := w.basket("a", w.cells...), 0
				failed := errors.New("failed")
				result, err := Decide(b, func(calls []Call) []Answer {
					answers := make([]Answer, len(calls))
					for i := range calls {
						if fails := n == failing; !fails || executed {
							answers[i] = w.ask(calls[i : i+1])[0]
							if fails {
								answers[i] = Answer{Err: failed}
							}
						} else {
							answers[i] = Answer{Err: failed}
						}
						n++
					}
					return answers
				}, nil)
				name := fmt.Sprintf("units %v, call %d fails, executed %v", units, failing, executed)
				switch {
				case failing >= n && err != nil, failing == 0 && !errors.Is(err, failed),
					err != nil && failing > 0 && !errors.Is(err, stock.ErrUnknown):
					t.Errorf("%s: %+v, error %v", name, result, err)
				}
				w.sweep()
				later := w.decide(b)
				want := stock.BasketHeld
				if slices.Contains(units, 0) {
					want = stock.BasketRefused
				}
				if later.State != want || err == nil && result.State == stock.BasketHeld && want != stock.BasketHeld {
					t.Errorf("%s: later %+v, want %v", name, later, want)
				}
			}
		}
	}
}

// actor is a process on a basket.
type actor struct {
	*Saga
	basket  *stock.Basket
	calls   []Call // of its step
	answers []Answer
	ended   bool
}

// TestAnyOrder lets processes decide baskets of few units, call by call in any order, some of them the same basket,
// while units come and go, lines end, and partitions are vetted. Some processes end at any moment. After a sweep every basket
// is held or refused, as all earlier answers said. Only held baskets hold units, and they have taken all their
// lines.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, 2, 1, 2, 1)
		var baskets []*stock.Basket
		told := map[*stock.Basket]map[bool]bool{} // whether somebody was told that it is held, or refused
		for i := range rapid.IntRange(1, 4).Draw(rt, "baskets") {
			cells := rapid.SliceOfNDistinct(rapid.SampledFrom(w.cells), 1, 4, rapid.ID[stock.Cell]).Draw(rt, "cells")
			b := w.basket(fmt.Sprint(i), cells...)
			baskets, told[b] = append(baskets, b), map[bool]bool{}
		}
		var actors []*actor
		extra := 0
		for range rapid.IntRange(1, 120).Draw(rt, "steps") {
			switch rapid.IntRange(0, 11).Draw(rt, "what") {
			case 11: // a line ends, which its shopper knows before the answer
				l := rapid.SampledFrom(rapid.SampledFrom(baskets).Draw(rt, "whose").Lines).Draw(rt, "line")
				w.one(stock.OpRelease, stock.Request{ID: l.ID, Cell: l.Cell})
				continue
			case 10: // the partition of its home is vetted
				w.store.AgeBasket(rapid.SampledFrom(baskets).Draw(rt, "vetted").ID())
				continue
			case 0:
				b := rapid.SampledFrom(baskets).Draw(rt, "basket")
				actors = append(actors, &actor{Saga: New(b), basket: b})
				continue
			case 1:
				if len(actors) > 0 { // it is killed
					at := rapid.IntRange(0, len(actors)-1).Draw(rt, "killed")
					actors = slices.Delete(actors, at, at+1)
				}
				continue
			case 2:
				extra++
				delta := rapid.SampledFrom([]int64{-1, 1}).Draw(rt, "delta")
				w.adjust(rapid.SampledFrom(w.cells).Draw(rt, "cell"), fmt.Sprint("more ", extra), stock.Adjustment{Delta: delta})
				continue
			case 3:
				if rapid.IntRange(0, 9).Draw(rt, "sweeps") == 9 {
					w.sweep()
				}
				continue
			}
			if len(actors) == 0 {
				continue
			}
			a := rapid.SampledFrom(actors).Draw(rt, "actor")
			if len(a.answers) < len(a.calls) {
				a.answers = append(a.answers, w.ask(a.calls[len(a.answers):][:1])...)
				continue
			}
			calls, err := a.Step(a.answers)
			switch {
			case errors.Is(err, ErrLost):
				rt.Fatal(err)
			case err != nil:
				rt.Fatal(err)
			case len(calls) == 0 && !a.ended:
				a.ended = true
				told[a.basket][a.Result().State == stock.BasketHeld] = true
			}
			a.calls, a.answers = calls, nil
		}
		w.sweep()
		var want [4]int64
		for _, b := range baskets {
			state := w.state(b)
			if state != stock.BasketNone && !state.Decided() {
				rt.Fatalf("a basket is %v after the sweep", state)
			}
			if told[b][state != stock.BasketHeld] {
				rt.Fatalf("a basket is %v, and somebody was told otherwise", state)
			}
			if state != stock.BasketHeld {
				continue
			}
			for _, r := range w.records(b) {
				if r.State == stock.StateHeld {
					want[slices.Index(w.cells, r.Cell)]++
				} else if r.Seq == 0 {
					rt.Fatalf("a line of a held basket was never taken: %+v", r)
				}
			}
		}
		if held := w.held(); !slices.Equal(held, want[:]) {
			rt.Fatalf("held %v, want those of held baskets: %v", held, want)
		}
	})
}

func TestStagesHaveNames(t *testing.T) {
	t.Parallel()
	for s := start; s <= done; s++ {
		if strings.TrimSpace(s.String()) == "" {
			t.Errorf("stage %d has no name", s)
		}
	}
}
