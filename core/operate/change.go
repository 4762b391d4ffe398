// Package operate has the acts of operators on stock, sales and dead letters, and their effects. The edge's admin API
// and the command line read a request, call this package, and show its answer.
package operate

import (
	"context"
	"crypto/rand"
	"fmt"

	"sluice/core/stock"
)

// Call says who asks for a change, and under which key. A change with a key happens once, however often it is
// repeated.
type Call struct {
	User  int64 // 0: the user who runs a command
	Scope stock.Scope
	Key   string // empty: a new one, or for ScopeFile none
}

// Change is a change of one cell.
type Change struct {
	Call
	Cell       stock.Cell
	Adjustment stock.Adjustment
}

// Load makes a SKU's normal stock.
func Load(sku, units int64, settings stock.Settings, reason string, by Call) *Change {
	return &Change{by, stock.Cell{SKU: sku}, stock.Adjustment{
		Kind: stock.AdjustPlain, Create: true, Delta: units, Settings: settings.WithDefaults(), Reason: reason,
	}}
}

// Adjust changes a cell's stock by a delta, and some of its settings.
func Adjust(cell stock.Cell, delta int64, fields stock.Fields, settings stock.Settings, reason string, by Call) *Change {
	return &Change{by, cell, stock.Adjustment{
		Kind: stock.AdjustPlain, Delta: delta, Fields: fields, Settings: settings, Reason: reason,
	}}
}

// Freeze stops or resumes selling a cell.
func Freeze(cell stock.Cell, frozen bool, reason string, by Call) *Change {
	return Adjust(cell, 0, stock.FieldFrozen, stock.Settings{Frozen: frozen}, reason, by)
}

// Request returns the change in the form that a store decides. Its identity includes who asks, and where.
func (c *Change) Request(partitions int) stock.Request {
	identity := stock.Identity{User: c.User, Route: stock.OpAdjust, Cell: c.Cell, Scope: c.Scope, Key: c.Key}
	return stock.Request{
		ID: identity.ID(partitions), Cell: c.Cell, User: c.User,
		Fingerprint: c.Adjustment.Fingerprint(), Adjustment: &c.Adjustment,
	}
}

// Reader reads cells and earlier changes. stock.Store implements it.
type Reader interface {
	Cells(ctx context.Context, cells []stock.Cell) (states []stock.CellState, nowMS int64, err error)
	Reservations(ctx context.Context, ids []stock.ReservationID) (found []stock.Reservation, nowMS int64, err error)
	Partitions() int
}

// Decision is the answer of a store to a change.
type Decision struct {
	Verdict stock.Verdict
	Cell    stock.CellState // after the decision; not Loaded if the store did not say
}

// Decide makes a store decide one adjustment. A refusal is a decision, and no error.
type Decide func(ctx context.Context, r *stock.Request) (Decision, error)

// ByStore makes a store decide adjustments, one per call.
func ByStore(store stock.Store) Decide {
	return func(ctx context.Context, r *stock.Request) (Decision, error) {
		v := &stock.Vector{Op: stock.OpAdjust, Partition: r.ID.Partition(), Requests: []stock.Request{*r}}
		store.Do(ctx, v)
		if v.Err != nil {
			return Decision{}, v.Err
		}
		d := Decision{Verdict: v.Outcomes[0].Verdict}
		for i := range v.Cells {
			if v.Cells[i].Cell == r.Cell {
				d.Cell = v.Cells[i]
			}
		}
		return d, nil
	}
}

// Desk changes cells.
type Desk struct {
	Reader Reader
	Decide Decide
	// Known returns the last event of a cell that MySQL has. A process needs it that has not itself seen what Redis
	// must have: Foresee then refuses to change a cell that lacks that event.
	Known func(ctx context.Context, cell stock.Cell) (stock.Position, error)
}

// Done is the effect of a change. In a rehearsal it is the effect that the change would have.
type Done struct {
	Key           string
	Replayed      bool // the same change was made under this key before: nothing changed now
	Changed       bool // the change made a difference
	Before, After stock.CellState
}

// Foreseen is a change that the rules allow, with the effect that it has if nothing else happens meanwhile.
type Foreseen struct {
	Done

	desk   *Desk
	change Change
	idle   bool // nothing would change and the caller gave no key, so there is nothing to send
}

// Check refuses a change by the rules that no script knows, and reports whether the change makes a difference.
// Between Check and the script only another operator can change what Check has looked at. Check does not refuse a
// change that was made before, because it has its answer.
func (d *Desk) Check(ctx context.Context, c *Change) (changes bool, err error) {
	if err := c.Validate(); err != nil {
		return false, err
	}
	var now stock.CellState
	if c.NeedsCell() {
		var nowMS int64
		if now, nowMS, err = d.read(ctx, c.Cell); err == nil {
			err = d.check(ctx, c, &now, nowMS)
		}
		if err != nil {
			return false, err
		}
	}
	return c.changes(&now), nil
}

// check is Check for a cell that the caller has read.
func (d *Desk) check(ctx context.Context, c *Change, now *stock.CellState, nowMS int64) error {
	refusal := c.RefusedBy(now, nowMS)
	if refusal == nil {
		return nil
	}
	if c.Key != "" {
		made, _, err := d.Reader.Reservations(ctx, []stock.ReservationID{c.Request(d.Reader.Partitions()).ID})
		if err != nil {
			return fmt.Errorf("look for the change of %v: %w", c.Cell, err)
		}
		if made[0].State != stock.StateNone {
			return nil
		}
	}
	return refusal
}

func (d *Desk) read(ctx context.Context, cell stock.Cell) (stock.CellState, int64, error) {
	states, nowMS, err := d.Reader.Cells(ctx, []stock.Cell{cell})
	if err != nil {
		return stock.CellState{}, 0, fmt.Errorf("read %v: %w", cell, err)
	}
	return states[0], nowMS, nil
}

// Foresee returns the effect that a change of a cell would have, and refuses what Check refuses. Rehearse refuses what the
// stock's own rules forbid. Foresee reads MySQL before Redis. So Redis has every event that Foresee has seen in MySQL, unless
// Redis has lost it.
func (d *Desk) Foresee(ctx context.Context, c Change) (*Foreseen, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	var known stock.Position
	if d.Known != nil {
		var err error
		if known, err = d.Known(ctx, c.Cell); err != nil {
			return nil, err
		}
	}
	before, nowMS, err := d.read(ctx, c.Cell)
	switch {
	case err != nil:
		return nil, err
	case before.Less(known): // one more effect would take the place of the missing one, and hide the loss
		return nil, &RefusedError{Rule: RuleLost, Cell: c.Cell}
	case !before.Loaded:
		return nil, &RefusedError{Rule: RuleVerdict, Cell: c.Cell, Verdict: stock.VerdictNotLoaded}
	}
	if err := d.check(ctx, &c, &before, nowMS); err != nil {
		return nil, err
	}
	f := &Foreseen{desk: d, change: c, Done: Done{Before: before, After: c.after(&before)}}
	f.Changed = c.changes(&before)
	f.idle = !f.Changed && c.Key == "" && before.Shut() == stock.VerdictOK
	if c.Key == "" && !f.idle {
		f.change.Key = rand.Text()
	}
	f.Key = f.change.Key
	r := f.change.Request(d.Reader.Partitions())
	return f, r.Check(stock.OpAdjust, d.Reader.Partitions())
}

// Rehearse refuses a change that the stock's own rules forbid at this moment.
func (f *Foreseen) Rehearse() error {
	if v := f.Before.Adjust(&f.change.Adjustment); v != stock.VerdictOK {
		return &RefusedError{Rule: RuleVerdict, Cell: f.change.Cell, Verdict: v}
	}
	return nil
}

// Idle reports whether there is nothing to do: the change makes no difference, and no key has to be remembered.
func (f *Foreseen) Idle() bool { return f.idle }

// Do makes the store decide the change. After stock.ErrUnknown the key says how to repeat it.
func (f *Foreseen) Do(ctx context.Context) (Done, error) {
	done := f.Done
	if f.idle {
		done.After = done.Before
		return done, nil
	}
	return f.desk.decide(ctx, &f.change, done)
}

// Change checks a change, and makes the store decide it. The cell in the answer is not Loaded if the store did not
// say.
func (d *Desk) Change(ctx context.Context, c *Change) (Done, error) {
	changes, err := d.Check(ctx, c)
	if err != nil {
		return Done{}, err
	}
	return d.decide(ctx, c, Done{Key: c.Key, Changed: changes})
}

// decide makes the store decide a change that the rules allow. expected is its effect if nothing else happens
// meanwhile.
func (d *Desk) decide(ctx context.Context, c *Change, expected Done) (Done, error) {
	done, r := expected, c.Request(d.Reader.Partitions())
	decided, err := d.Decide(ctx, &r)
	if err != nil {
		return done, err
	}
	if done.Replayed = decided.Verdict == stock.VerdictReplayed; done.Replayed {
		done.Changed = false
	} else if decided.Verdict != stock.VerdictOK {
		return done, &RefusedError{Rule: RuleVerdict, Cell: c.Cell, Verdict: decided.Verdict}
	}
	if decided.Cell.Loaded {
		done.After = decided.Cell
	}
	return done, nil
}
