package basket

import (
	"errors"
	"slices"
	"testing"

	"sluice/core/stock"
)

// stages steps through a saga with answers as they are told, and returns the stages that it has come through.
func (w *world) stages(b *stock.Basket, answer func(stage string, call, n int) Answer) (seen []string, result Result, err error) {
	w.Helper()
	s := New(b)
	var answers []Answer
	for {
		calls, err := s.Step(answers)
		if err != nil || len(calls) == 0 {
			return seen, s.Result(), err
		}
		if seen = append(seen, s.Stage()); len(seen) > 20 {
			w.Fatalf("no end after %v", seen)
		}
		answers = nil
		for i := range calls {
			answers = append(answers, answer(s.Stage(), i, len(calls[i].Requests)))
		}
	}
}

// with returns an answer with the record of a basket.
func with(state stock.BasketState, verdict stock.Verdict) Answer {
	return Answer{Outcomes: []stock.Outcome{{Verdict: verdict, Basket: stock.BasketRecord{State: state, Refusal: stock.VerdictSoldOut}}}}
}

// A line in a shut cell cannot be given back. Its basket stays undecided until it can, so that sweepers find it,
// however the cell is shut.
func TestShutCellKeepsABasketRefusing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, 1)
	for _, shut := range []stock.Verdict{stock.VerdictFenced, stock.VerdictBreached} {
		seen, result, err := w.stages(w.basket("a", w.cells...), func(stage string, call, _ int) Answer {
			if stage == "home" {
				return with(stock.BasketRefusing, stock.VerdictRefused)
			}
			if call == 1 {
				return Answer{Outcomes: []stock.Outcome{{Verdict: shut}}}
			}
			return Answer{Outcomes: []stock.Outcome{{}}}
		})
		if err != nil || result.State != stock.BasketRefusing || result.Refusal != stock.VerdictSoldOut || !slices.Equal(seen, []string{"home", "void away"}) {
			t.Errorf("%v: %+v after %v, error %v", shut, result, seen, err)
		}
		_, result, err = w.stages(w.basket("a", w.cells...), func(stage string, _, _ int) Answer {
			switch stage {
			case "home":
				return with(stock.BasketRefusing, stock.VerdictRefused)
			case "void home":
				return Answer{Outcomes: []stock.Outcome{{Verdict: shut}}}
			}
			return Answer{Outcomes: []stock.Outcome{{}}}
		})
		if err != nil || result.State != stock.BasketRefusing || result.Refusal != stock.VerdictSoldOut {
			t.Errorf("%v at home: %+v, error %v", shut, result, err)
		}
	}
}

// A process that has refused a basket says so, even if it cannot give the lines back yet.
func TestRefusalOutlivesAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, 0)
	for _, failing := range []string{"void away", "void home"} {
		_, result, err := w.stages(w.basket("a", w.cells...), func(stage string, _, _ int) Answer {
			switch stage {
			case "home":
				return with(stock.BasketRefusing, stock.VerdictRefused)
			case failing:
				return Answer{Err: errors.New("no answer")}
			}
			return Answer{Outcomes: []stock.Outcome{{}}}
		})
		if err != nil || result.State != stock.BasketRefusing || result.Refusal != stock.VerdictSoldOut {
			t.Errorf("%s fails: %+v, error %v", failing, result, err)
		}
	}
}

// A saga whose record is lost each time begins again, and gives up after the third time.
func TestRecordLostAgainAndAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1)
	for lost := range triesMax + 1 {
		homes := 0
		_, result, err := w.stages(w.basket("a", w.cells...), func(stage string, _, _ int) Answer {
			switch stage {
			case "home":
				homes++
				return with(stock.BasketBegun, stock.VerdictOK)
			case "decide":
				if homes <= lost {
					return with(stock.BasketNone, stock.VerdictWrongState)
				}
				return with(stock.BasketHeld, stock.VerdictOK)
			}
			return Answer{Outcomes: []stock.Outcome{{}}}
		})
		if lost < triesMax && (err != nil || result.State != stock.BasketHeld || homes != lost+1) ||
			lost == triesMax && (!errors.Is(err, ErrLost) || homes != triesMax) {
			t.Errorf("lost %d times: %+v, %d times at home, error %v", lost, result, homes, err)
		}
	}
}

// Others may have held a basket although a line was refused to this saga. The saga then reads the reservations, and
// returns them with the time of the earliest answer.
func TestBasketHeldByOthersIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, 1)
	homes := 0
	seen, result, err := w.stages(w.basket("a", w.cells...), func(stage string, call, _ int) Answer {
		answer := Answer{TimeMS: int64(10 * (3 - call)), Outcomes: []stock.Outcome{{Verdict: stock.VerdictReplayed, Reservation: stock.Reservation{State: stock.StateHeld}}}}
		switch stage {
		case "home":
			answer.TimeMS = 25
			answer.Outcomes[0].Basket = stock.BasketRecord{State: stock.BasketBegun, Intact: true}
			if homes > 0 {
				answer.Outcomes[0].Basket = stock.BasketRecord{State: stock.BasketHeld}
			}
			homes++
		case "away":
			answer.Outcomes[0] = stock.Outcome{Verdict: stock.VerdictSoldOut}
		case "decide":
			return with(stock.BasketHeld, stock.VerdictReplayed)
		}
		return answer
	})
	if err != nil || !slices.Equal(seen, []string{"home", "away", "decide", "home", "read held"}) || result.State != stock.BasketHeld || result.First || result.TimeMS != 20 {
		t.Fatalf("%+v after %v, error %v", result, seen, err)
	}
	for i := range result.Lines {
		if result.Lines[i].Reservation.State != stock.StateHeld {
			t.Errorf("line %d: %+v", i, result.Lines[i])
		}
	}
}

// Two users of the saga in one process have a hook each, which hears only of the steps of its own baskets.
func TestBetweenSteps(t *testing.T) {
	t.Parallel()
	for range 2 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, 1, 1)
			var seen []string
			if _, err := Decide(w.basket("a", w.cells...), w.ask, func(stage string) { seen = append(seen, stage) }); err != nil {
				t.Fatal(err)
			}
			if want := []string{"home", "away", "decide"}; !slices.Equal(seen, want) {
				t.Errorf("told of %v, want %v", seen, want)
			}
		})
	}
}

// Who makes a basket held is told so, and who comes later that it was held before, however far each has come.
func TestFirstIsToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, 1)
	b := w.basket("a", w.cells...)
	late, first := New(b), New(b)
	step := func(s *Saga, answers []Answer) []Answer {
		calls, err := s.Step(answers)
		if err != nil {
			t.Fatal(err)
		}
		if len(calls) == 0 {
			return nil
		}
		return w.ask(calls)
	}
	var before, answers []Answer
	for range 2 { // it has asked for all lines
		before = step(late, before)
	}
	for answers = step(first, nil); answers != nil; answers = step(first, answers) {
	}
	for before != nil {
		before = step(late, before)
	}
	if f, l := first.Result(), late.Result(); !f.First || l.First || f.State != stock.BasketHeld || l.State != stock.BasketHeld {
		t.Errorf("the first is told %v, %v; the late one %v, %v", f.State, f.First, l.State, l.First)
	}
}
