package operate

import (
	"fmt"

	"sluice/core/stock"
)

// Rule says why an act is refused.
type Rule uint8

// The rules. Each says which act it refuses.
const (
	RuleNothing    Rule = iota + 1 // a change of no unit and no setting
	RuleSaleWindow                 // a window of one SKU of a sale: that of a sale is of all its SKUs
	RuleNeverSells                 // a window that ends before it begins
	RuleOver                       // a closing that has passed: selling would end at once, and nobody has said that it shall
	RuleRoom                       // more units than a cell can have
	RuleSameStock                  // a transfer to where the units are
	RuleLost                       // a change of a cell whose events MySQL has and Redis lost
	RuleVerdict                    // what the stock's own rules forbid
)

// RefusedError means that a rule refuses an act, and that nothing was done.
type RefusedError struct {
	Rule    Rule
	Cell    stock.Cell
	Verdict stock.Verdict // of RuleVerdict
	Before  stock.CellState
	After   stock.CellState // as the act would have left it
}

// Error implements error. Commands and the API say more, in the words of their own flags and members.
func (r *RefusedError) Error() string {
	if r.Rule == RuleVerdict {
		return fmt.Sprintf("%v: refused: %v", r.Cell, r.Verdict)
	}
	return fmt.Sprintf("%v: refused by rule %d of operators' acts", r.Cell, r.Rule)
}

const window = stock.FieldOpensAt | stock.FieldClosesAt

// Validate refuses acts that are wrong whatever the state of the cell is.
func (c *Change) Validate() error {
	a := &c.Adjustment
	switch {
	case !a.Create && a.Delta == 0 && a.Fields == 0:
		return &RefusedError{Rule: RuleNothing, Cell: c.Cell}
	case c.Cell.Pool != 0 && a.Fields&window != 0:
		return &RefusedError{Rule: RuleSaleWindow, Cell: c.Cell}
	case a.Create && a.Settings.NeverSells():
		return &RefusedError{Rule: RuleNeverSells, Cell: c.Cell, After: stock.CellState{Settings: a.Settings}}
	}
	return nil
}

// NeedsCell reports whether RefusedBy or changes looks at the cell.
func (c *Change) NeedsCell() bool {
	a := &c.Adjustment
	return a.Create && a.Settings.ClosesAtMS != 0 || !a.Create && (a.Delta > 0 || a.Fields != 0)
}

// RefusedBy checks the conditions on which the scripts rely, for a caller that has read the cell at a Redis time. The
// scripts themselves refuse to create a cell that exists, and to change one that does not exist.
func (c *Change) RefusedBy(now *stock.CellState, nowMS int64) error {
	a := &c.Adjustment
	if a.Create && now.Loaded {
		return nil
	}
	after := c.after(now)
	r := &RefusedError{Cell: c.Cell, Before: *now, After: after}
	switch {
	case !now.HasRoom(a.Delta):
		r.Rule = RuleRoom
	case a.Fields&window != 0 && after.NeverSells():
		r.Rule = RuleNeverSells
	case after.ClosesAtMS != now.ClosesAtMS && after.OverAt(nowMS):
		r.Rule = RuleOver
	default:
		return nil
	}
	return r
}

// after returns the cell as the change leaves it.
func (c *Change) after(before *stock.CellState) stock.CellState {
	a, after := &c.Adjustment, *before
	after.Avail += a.Delta
	after.Total += a.Delta
	after.Seq++
	if after.Settings = before.With(a.Fields, a.Settings); a.Create {
		after.Settings = a.Settings
	}
	return after
}

// changes reports whether the change makes a difference.
func (c *Change) changes(before *stock.CellState) bool {
	a := &c.Adjustment
	return a.Create || a.Delta != 0 || before.With(a.Fields, a.Settings) != before.Settings
}
