package basket

import (
	"errors"
	"slices"
	"testing"
	"time"

	"sluice/core/stock"
)

// TestLostRecord loses the record of a basket between any two steps.
func TestLostRecord(t *testing.T) {
	t.Parallel()
	for _, units := range [][]int64{{1, 1, 1}, {1, 1, 0}} {
		for lost := range 5 {
			w := newWorld(t, units...)
			b, n := w.basket("a", w.cells...), 0
			result, err := Decide(b, func(calls []Call) []Answer {
				if n == lost {
					w.store.LoseBasket(b.ID())
				}
				n++
				return w.ask(calls)
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			held := w.held()
			if units[2] == 1 && (result.State != stock.BasketHeld || !slices.Equal(held, []int64{1, 1, 1})) {
				t.Errorf("lost before step %d: %+v, held %v", lost, result, held)
			}
			w.sweep()
			again := w.decide(b)
			if held := w.held(); units[2] == 0 && (again.State != stock.BasketRefused || !slices.Equal(held, []int64{0, 0, 0})) {
				t.Errorf("lost before step %d: %+v, again %+v, held %v", lost, result, again, held)
			}
		}
	}
}

// TestLineEndsBeforeTheDecision ends some lines of a basket that has all lines and is not decided. Nobody was told that it is held,
// so it is refused, and holds nothing more. If the record is older than the last vetting of its partition, the basket may have
// been held before, and is held again.
func TestLineEndsBeforeTheDecision(t *testing.T) {
	t.Parallel()
	for ended := 1; ended < 1<<3; ended++ { // which lines
		for _, old := range []bool{false, true} {
			w := newWorld(t, 1, 1, 1)
			b, n := w.basket("a", w.cells...), 0
			_, _ = Decide(b, func(calls []Call) []Answer {
				if n++; n > 2 { // it is killed before the decision
					return []Answer{{Err: stock.ErrUnknown}}
				}
				return w.ask(calls)
			}, nil)
			want, live := []int64{0, 0, 0}, old && ended != 1<<3-1
			for i, l := range b.Lines {
				if ended>>i&1 == 1 {
					w.one(stock.OpRelease, stock.Request{ID: l.ID, Cell: l.Cell})
				} else if live {
					want[slices.Index(w.cells, l.Cell)] = 1
				}
			}
			if old {
				w.store.AgeBasket(b.ID())
			}
			w.sweep()
			got := w.decide(b)
			if held := w.held(); got.State == stock.BasketHeld != live || !slices.Equal(held, want) {
				t.Errorf("lines %03b have ended, from before the vetting %v: %+v, held %v, want %v", ended, old, got, held, want)
			}
			if !live && (got.State != stock.BasketRefused || got.Refusal != stock.VerdictWrongState) {
				t.Errorf("lines %03b have ended, from before the vetting %v: %+v", ended, old, got)
			}
		}
	}
}

// TestDecisionAcrossAVetting has a saga gather its lines before Redis loses a decision of others, and decide after that. What it
// knows is from before the loss, so it begins again, and finds what the others have made of the lines.
func TestDecisionAcrossAVetting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, 0)
	b, n := w.basket("a", w.cells...), 0
	result, err := Decide(b, func(calls []Call) []Answer {
		if n++; n == 3 { // it has seen that the last cell is sold out
			w.adjust(w.cells[2], "more", stock.Adjustment{Delta: 1})
			begun := w.ask(New(b).ask(askHome))[0].Outcomes[0].Basket
			if other := w.decide(b); other.State != stock.BasketHeld || !begun.Intact {
				t.Fatalf("the other one: %+v, which was %+v", other, begun)
			}
			w.store.LoseBasket(b.ID())
			w.ask(New(b).ask(askHome)) // it is begun again
		}
		return w.ask(calls)
	}, nil)
	if err != nil || result.State != stock.BasketHeld || !slices.Equal(w.held(), []int64{1, 1, 1}) {
		t.Errorf("%+v, error %v, held %v", result, err, w.held())
	}
}

// TestLostRecordOfAHeldBasket loses the record of a held basket, or brings it back as it was begun, after some of its lines have
// ended. The others are still held, as the caller was told: nobody gives them back, and the same request hears the same.
func TestLostRecordOfAHeldBasket(t *testing.T) {
	t.Parallel()
	for ended := range 1 << 3 { // which lines
		for _, how := range []string{"lost", "begun again", "all at home"} {
			w := newWorld(t, 1, 1, 1)
			cells := w.cells
			if how == "all at home" {
				cells = w.neighbours(3)
			}
			b := w.basket("a", cells...)
			if first := w.decide(b); first.State != stock.BasketHeld {
				t.Fatalf("%+v", first)
			}
			want := []int64{1, 1, 1}
			for i := range b.Lines {
				if ended>>i&1 == 1 {
					w.one(stock.OpRelease, stock.Request{ID: b.Lines[i].ID, Cell: b.Lines[i].Cell})
					want[slices.Index(w.cells, b.Lines[i].Cell)] = 0
				}
			}
			w.store.LoseBasket(b.ID())
			if how == "begun again" {
				w.ask(New(b).ask(askHome))
				w.sweep()
			}
			again := w.decide(b)
			live := ended != 1<<3-1
			if held := w.held(); again.State == stock.BasketHeld != live || !slices.Equal(held, want) {
				t.Errorf("%s, lines %03b have ended: %+v, held %v, want %v", how, ended, again, held, want)
			}
			if again.State != w.state(b) {
				t.Errorf("%s, lines %03b have ended: told %v, it is %v", how, ended, again.State, w.state(b))
			}
			for i := range again.Lines {
				if state := again.Lines[i].Reservation.State; (state == stock.StateReleased) != (ended>>i&1 == 1) {
					t.Errorf("%s, lines %03b have ended: line %d is %v", how, ended, i, state)
				}
			}
		}
	}
}

// TestLostRecordOfAConfirmedLine loses the record of a basket whose lines are sold and expired.
func TestLostRecordOfAConfirmedLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1)
	b := w.basket("a", w.cells...)
	w.decide(b)
	w.one(stock.OpConfirm, stock.Request{ID: b.Lines[0].ID})
	w.nowMS += 2 * time.Hour.Milliseconds()
	w.store.LoseBasket(b.ID())
	if again := w.decide(b); again.State != stock.BasketHeld || again.Lines[0].Reservation.State != stock.StateConfirmed {
		t.Errorf("%+v", again)
	}
}

// TestLostRecordOfARefusedBasket loses the record of a basket that is being refused, between any two of its steps. A line that
// was never taken, or that was spent, shows that the basket was never held: its other lines are given back.
func TestLostRecordOfARefusedBasket(t *testing.T) {
	t.Parallel()
	for lost := range 6 {
		w := newWorld(t, 1, 1, 0)
		b, n := w.basket("a", w.cells...), 0
		_, _ = Decide(b, func(calls []Call) []Answer {
			if n++; n > lost { // it is killed
				return []Answer{{Err: stock.ErrUnknown}}
			}
			return w.ask(calls)
		}, nil)
		w.store.LoseBasket(b.ID())
		if again := w.decide(b); again.State != stock.BasketRefused || !slices.Equal(w.held(), []int64{0, 0, 0}) {
			t.Errorf("killed after %d steps: %+v, held %v", lost, again, w.held())
		}
	}
}

// TestLostRecordOfARefusingBasket loses the record of a basket whose refusal was told, and that has given a line elsewhere back. Units
// of the line that was refused come. No saga takes them, wherever it is killed: the basket stays refused.
func TestLostRecordOfARefusingBasket(t *testing.T) {
	t.Parallel()
	for killed := range 6 {
		w := newWorld(t, 1, 1, 1)
		b, n := w.basket("a", w.cells...), 0
		short := slices.Index(w.cells, b.Lines[2].Cell)
		w.adjust(w.cells[short], "less", stock.Adjustment{Delta: -1})
		_, _ = Decide(b, func(calls []Call) []Answer {
			if n++; n == 4 { // one line elsewhere is given back
				return append(w.ask(calls[:1]), Answer{Err: stock.ErrUnknown})
			}
			return w.ask(calls)
		}, nil)
		w.store.LoseBasket(b.ID())
		w.adjust(w.cells[short], "more", stock.Adjustment{Delta: 1})
		n = 0
		_, _ = Decide(b, func(calls []Call) []Answer {
			if n++; n > killed {
				return []Answer{{Err: stock.ErrUnknown}}
			}
			return w.ask(calls)
		}, nil)
		if again := w.decide(b); again.State != stock.BasketRefused || !slices.Equal(w.held(), []int64{0, 0, 0}) {
			t.Errorf("killed after %d steps: %+v, held %v", killed, again, w.held())
		}
	}
}

// TestSecondBeginningFails loses the record before the decision. Then the call that begins the basket again fails.
// Lines elsewhere are held by then, so the error must not say that nothing was executed.
func TestSecondBeginningFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, 1)
	b, n := w.basket("a", w.cells...), 0
	_, err := Decide(b, func(calls []Call) []Answer {
		switch n++; n {
		case 3:
			w.store.LoseBasket(b.ID())
		case 4:
			return []Answer{{Err: stock.ErrNotApplied}}
		}
		return w.ask(calls)
	}, nil)
	if n != 4 || !errors.Is(err, stock.ErrUnknown) || errors.Is(err, stock.ErrNotApplied) {
		t.Errorf("after %d calls: %v", n, err)
	}
}
