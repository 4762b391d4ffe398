package price

import (
	"fmt"

	"sluice/core/money"
	"sluice/core/problem"
)

// Dynamic is a policy that moves the list price of a SKU, within a floor and a ceiling. It knows the goods and nobody who buys them: a
// price depends on no profile.
type Dynamic struct {
	Floor   money.Amount `json:"floor"`
	Ceiling money.Amount `json:"ceiling"`
	Stock   []Step       `json:"stock,omitempty"`
	Age     []Step       `json:"age,omitempty"`
	Demand  []Step       `json:"demand,omitempty"`
}

// Step is by how much a price moves from a value of a signal on, until that of the next step. Below the first one it does not move.
type Step struct {
	From int64 `json:"from"`
	Move Rate  `json:"move"` // below 0: down
}

// Signals are what is known of the goods.
type Signals struct {
	Stock  int64 // units that are free, as a hint has them
	Age    int64 // days since they were first listed
	Demand int64 // units that were sold in the last 24 hours
}

// stepsMax bounds the steps of a signal.
const stepsMax = 20

// Check refuses what no policy can be.
func (d *Dynamic) Check(m *Market) error {
	if p := m.price(d.Floor, "/floor"); p != nil {
		return p
	}
	if p := m.price(d.Ceiling, "/ceiling"); p != nil {
		return p
	}
	if d.Floor.Minor > d.Ceiling.Minor {
		return malformed("/ceiling", "want one that is not below the floor")
	}
	for _, of := range []struct {
		name  string
		steps []Step
	}{{"stock", d.Stock}, {"age", d.Age}, {"demand", d.Demand}} {
		if p := at("/"+of.name, checkSteps(of.steps)); p != nil {
			return p
		}
	}
	return nil
}

func checkSteps(steps []Step) *problem.Problem {
	if len(steps) > stepsMax {
		return malformed("", "want at most %d steps", stepsMax)
	}
	for i, s := range steps {
		switch {
		case s.From < 0 || i > 0 && s.From <= steps[i-1].From:
			return malformed(fmt.Sprintf("/%d/from", i), "want values from 0 that rise from step to step")
		case s.Move < -Whole || s.Move > Whole:
			return malformed(fmt.Sprintf("/%d/move", i), "want %d to %d parts of a million", -Whole, Whole)
		}
	}
	return nil
}

// move is that of the last step that a value has reached.
func move(steps []Step, value int64) (by Rate) {
	for _, s := range steps {
		if value >= s.From {
			by = s.Move
		}
	}
	return by
}

// price is what becomes of a list price. The moves of all signals are added, so none of them is first.
func (d *Dynamic) price(list money.Amount, s Signals, by money.Rounding) (money.Amount, error) {
	moved := max(Whole+move(d.Stock, s.Stock)+move(d.Age, s.Age)+move(d.Demand, s.Demand), 0)
	to, err := moved.of(list, by)
	if err != nil {
		return money.Amount{}, err
	}
	to.Minor = min(max(to.Minor, d.Floor.Minor), d.Ceiling.Minor)
	return to, nil
}

// Move puts the list price as a policy moves it in the place of the list price. A price of a promotion or of members that is not above it
// stays.
func (u Unit) Move(m *Market, d *Dynamic, s Signals) (Unit, error) {
	to, err := d.price(u.List, s, m.Regime.Rounding)
	if err != nil {
		return Unit{}, tooLarge("", err)
	}
	if u.Kind == KindList || to.Minor < u.Price.Minor {
		u.Price, u.Kind = to, KindDynamic
	}
	return u, nil
}
