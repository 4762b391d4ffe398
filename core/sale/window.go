package sale

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/core/stock"
)

// Window says when a sale sells, in Redis time.
type Window struct {
	OpensAtMS  int64 // NotScheduled: nobody has opened the sale yet
	ClosesAtMS int64 // 0: never
}

// NotScheduled is the opening of a sale that nobody has opened yet.
const NotScheduled = stock.TimeMaxMS

// LeadTime is the least time between the opening of a sale and its first reservation. It gives every edge time to
// learn of its SKUs.
const LeadTime = 2 * time.Second

// Never is a closing that removes the one that was set.
var Never = time.UnixMilli(0)

// Phase is where a sale stands.
type Phase string

// The phases, in their order. A closed sale can be opened again, if it is filled.
const (
	PhasePlanned   Phase = "planned" // not scheduled
	PhaseScheduled Phase = "scheduled"
	PhaseOpen      Phase = "open"
	PhaseClosed    Phase = "closed"
)

// Phase is where a sale with this window stands at a Redis time.
func (w Window) Phase(nowMS int64) Phase {
	switch {
	case w.ClosesAtMS != 0 && nowMS >= w.ClosesAtMS:
		return PhaseClosed
	case w.OpensAtMS == NotScheduled:
		return PhasePlanned
	case nowMS < w.OpensAtMS:
		return PhaseScheduled
	}
	return PhaseOpen
}

// inCells returns the window for the sale's cells. A sale that was closed before it opened keeps its planned opening, but in
// its cells it is over.
func (w Window) inCells() Window {
	if w.ClosesAtMS != 0 && w.ClosesAtMS <= w.OpensAtMS {
		w.OpensAtMS = w.ClosesAtMS - 1
	}
	return w
}

// Call says who changes a sale, and under which Idempotency-Key. A call that was made before changes nothing, whatever has
// happened to the sale since. Without a key every call is a new one.
type Call struct {
	User int64
	Key  string
}

// keyedCall is a call with its request.
type keyedCall struct {
	Call
	operation   string // open, close, fill or empty
	fingerprint uint32
}

const opOpen = "open"

// Opening says when a sale will sell.
type Opening struct {
	At     time.Time     // zero: as soon as it may be, LeadTime from now
	Closes time.Time     // zero: as it is, for a sale that is scheduled or open, else never
	For    time.Duration // how long it is open, instead of Closes
}

// Open schedules a sale that has all its stock. The sale sells from its opening until its closing, by Redis' clock. A
// scheduled sale gets another opening, and an open one keeps its own.
func (d *Desk) Open(ctx context.Context, id uint32, by Call, o Opening) (Sale, error) {
	c := keyedCall{by, opOpen, stock.FingerprintOf(o.At.UnixMilli(), o.Closes.UnixMilli(), o.For.Milliseconds())}
	return d.changeWindow(ctx, id, c, func(e *entry, nowMS int64) (Window, bool, error) {
		phase := e.Phase(nowMS)
		begins := phase == PhasePlanned || phase == PhaseClosed
		if begins && !e.filled() {
			return e.Window, false, ErrNotFilled
		}
		w, err := e.reopen(o, nowMS)
		return w, begins, err
	})
}

// reopen is the window after an Open, or an error that wraps ErrWindow.
func (w Window) reopen(o Opening, nowMS int64) (Window, error) {
	phase, earliest := w.Phase(nowMS), nowMS+LeadTime.Milliseconds()
	if phase == PhaseScheduled {
		earliest = min(earliest, w.OpensAtMS) // edges have learnt of it
	}
	after := Window{OpensAtMS: earliest}
	switch phase {
	case PhaseScheduled:
		after.ClosesAtMS = w.ClosesAtMS
	case PhaseOpen:
		after = w
	case PhasePlanned, PhaseClosed:
	}
	if !o.At.IsZero() {
		after.OpensAtMS = o.At.UnixMilli()
	}
	if o.For != 0 {
		after.ClosesAtMS = after.OpensAtMS + o.For.Milliseconds()
	} else if !o.Closes.IsZero() {
		after.ClosesAtMS = o.Closes.UnixMilli()
	}
	switch {
	case after == w:
	case after.OpensAtMS != w.OpensAtMS && phase == PhaseOpen:
		return w, fmt.Errorf("%w: it is open: close it first", ErrWindow)
	case after.OpensAtMS != w.OpensAtMS && (after.OpensAtMS < earliest || after.OpensAtMS >= NotScheduled):
		return w, fmt.Errorf("%w: it may open %v from now at the earliest", ErrWindow, LeadTime)
	case after.ClosesAtMS != 0 && (after.ClosesAtMS <= max(after.OpensAtMS, nowMS) || after.ClosesAtMS > stock.TimeMaxMS):
		return w, fmt.Errorf("%w: it must close after it opens", ErrWindow)
	}
	return after, nil
}

// Close ends a sale at a time, by Redis' clock. The zero time means now. Any other time must be in the future and
// after the sale's opening. Never removes the closing. The opening stays as it is, even if the sale will not reach
// it. Held units stay held and can be confirmed.
func (d *Desk) Close(ctx context.Context, id uint32, by Call, at time.Time) (Sale, error) {
	c := keyedCall{by, "close", stock.FingerprintOf(at.UnixMilli())}
	return d.changeWindow(ctx, id, c, func(e *entry, nowMS int64) (Window, bool, error) {
		w, err := e.closing(at, nowMS)
		return w, false, err
	})
}

// closing is the window after a Close, or an error that wraps ErrWindow.
func (w Window) closing(at time.Time, nowMS int64) (Window, error) {
	phase, ms := w.Phase(nowMS), at.UnixMilli()
	switch {
	case !at.IsZero() && ms == w.ClosesAtMS: // as it is, also where that time has come
		return w, nil
	case at.Equal(Never) && phase == PhaseClosed:
		return w, fmt.Errorf("%w: it is closed: open it to sell again", ErrWindow)
	case at.Equal(Never):
		return Window{w.OpensAtMS, 0}, nil
	case !at.IsZero() && phase == PhaseClosed:
		return w, fmt.Errorf("%w: it is closed already", ErrWindow)
	case !at.IsZero() && ms <= nowMS:
		return w, fmt.Errorf("%w: %s has passed: give a time to come, or none to close it now", ErrWindow, at.UTC().Format(time.RFC3339))
	case !at.IsZero() && (ms <= w.OpensAtMS || ms > stock.TimeMaxMS):
		return w, fmt.Errorf("%w: it would close before it opens: give both times to open, or close it now", ErrWindow)
	case !at.IsZero():
		return Window{w.OpensAtMS, ms}, nil
	case phase == PhaseClosed:
		return w, nil
	}
	return Window{w.OpensAtMS, nowMS}, nil
}

// changeWindow gives a sale the window that next returns, once per key. next also returns whether the sale must be filled
// for it. changeWindow writes the key even if the call changes nothing, because the call might change something if it is
// repeated later.
func (d *Desk) changeWindow(
	ctx context.Context, id uint32, c keyedCall, next func(e *entry, nowMS int64) (w Window, filled bool, err error),
) (Sale, error) {
	done, err := d.done(ctx, id, c) // first, before the sale is read: if the same call is made meanwhile, setWindow finds out
	if err != nil {
		return Sale{}, err
	}
	e, err := d.load(ctx, id)
	if err != nil {
		return Sale{}, err
	}
	changed := false
	if !done {
		nowMS, err := d.now(ctx, e)
		if err == nil && c.operation == opOpen {
			err = d.checkOpen(ctx, e)
		}
		if err != nil {
			return Sale{}, err
		}
		w, filled, err := next(e, nowMS)
		if err != nil {
			return Sale{}, fmt.Errorf("sale %d: %w", id, err)
		}
		changed = w != e.Window
		switch {
		case d.rehearsing:
			e.Window = w
		case changed:
			err = d.setWindow(ctx, e, w, filled, c)
		default:
			err = c.keep(ctx, d.db, id)
		}
		if err != nil {
			return Sale{}, err
		}
	}
	if d.rehearsing {
		s, err := d.show(ctx, e)
		for i := range s.Stock {
			s.Stock[i].WindowSet = true
		}
		return s, err
	}
	e.written = "the window"
	if d.bring != nil && c.operation == opOpen { // no sooner: where nothing opens, nobody removes them again
		err = d.bring(ctx, id)
	}
	var s Sale
	if err == nil {
		s, err = d.bringWindow(ctx, e, changed)
	}
	s.Replayed, s.Changed = done, changed || e.cells > 0
	return s, e.partly(id, err)
}

// bringWindow brings the written window to every cell that lacks it. After a change, all cells lack it.
func (d *Desk) bringWindow(ctx context.Context, e *entry, changed bool) (Sale, error) {
	if !changed {
		s, err := d.show(ctx, e)
		if err == nil && s.windowsSet() || err != nil && !errors.Is(err, ErrShut) {
			return s, err
		}
	}
	return d.applyWindow(ctx, e)
}

// windowsSet reports whether every cell has the sale's window.
func (s *Sale) windowsSet() bool {
	return !slices.ContainsFunc(s.Stock, func(i ItemStock) bool { return !i.WindowSet })
}

// applyTries bounds how often applyWindow begins again.
const applyTries = 3

// applyWindow brings the window in MySQL to every cell. If a cell has another window afterwards, a late call or
// somebody else has changed it since. The window then becomes a new change, because the cells remember the old one as
// made.
func (d *Desk) applyWindow(ctx context.Context, e *entry) (Sale, error) {
	for range applyTries {
		w := e.inCells()
		err := d.adjust(ctx, e, fmt.Sprintf("window %d", e.windows), &stock.Adjustment{
			Kind:     stock.AdjustPlain,
			Fields:   stock.FieldOpensAt | stock.FieldClosesAt,
			Settings: stock.Settings{OpensAtMS: w.OpensAtMS, ClosesAtMS: w.ClosesAtMS},
			Reason:   fmt.Sprintf("window %d of sale %d", e.windows, e.plan.ID),
		})
		if err != nil {
			return Sale{}, err
		}
		if err := d.reload(ctx, e); err != nil {
			return Sale{}, err
		}
		s, err := d.show(ctx, e)
		if err != nil || s.windowsSet() {
			return s, err
		}
		if err := d.setWindow(ctx, e, e.Window, false, keyedCall{}); err != nil {
			return Sale{}, err
		}
	}
	return Sale{}, fmt.Errorf("sale %d: %w", e.plan.ID, ErrOverlap)
}

func windowOf(c stock.CellState) Window { return Window{c.OpensAtMS, c.ClosesAtMS} }
