package sale

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sluice/core/stock"
)

// Window is when a sale sells, in Redis time.
type Window struct {
	OpensAtMS  int64 // NotScheduled: nobody has opened the sale yet
	ClosesAtMS int64 // 0: never
}

// NotScheduled is the opening of a sale that nobody has opened yet.
const NotScheduled = stock.TimeMaxMS

// LeadTime is the least time between opening a sale and its first reservation: long enough for every
// edge to learn of its SKUs.
const LeadTime = 2 * time.Second

// Phase is where a sale stands.
type Phase string

// The phases, in their order. A closed sale can be opened again.
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

// Call is who opens or closes a sale, and under which Idempotency-Key: a call that was made before
// changes nothing, whatever has become of the sale since. Without a key every call is a new one.
type Call struct {
	User int64
	Key  string
}

// windowCall is a call with what it asks for.
type windowCall struct {
	Call
	operation   string // open or close
	fingerprint uint32
}

// Open schedules a sale: it sells from opens on, by Redis' clock, until closes. The zero opens is as soon
// as it may be, LeadTime from now, and the zero closes is never; for a sale that is scheduled or open
// already, both mean no change. An open sale's opening cannot be changed, its closing can.
func (d *Desk) Open(ctx context.Context, id uint32, by Call, opens, closes time.Time) (Sale, error) {
	c := windowCall{by, "open", stock.FingerprintOf(opens.UnixMilli(), closes.UnixMilli())}
	return d.changeWindow(ctx, id, c, func(e *entry, nowMS int64) (Window, error) {
		if slices.ContainsFunc(e.items, func(r itemRow) bool { return !r.given() }) {
			return e.Window, ErrNotReady
		}
		return e.reopen(opens, closes, nowMS)
	})
}

// reopen is the window after an Open, or an error that wraps ErrWindow.
func (w Window) reopen(opens, closes time.Time, nowMS int64) (Window, error) {
	phase, earliest := w.Phase(nowMS), nowMS+LeadTime.Milliseconds()
	after := Window{OpensAtMS: earliest}
	if phase == PhaseScheduled || phase == PhaseOpen {
		after = w
	}
	if !opens.IsZero() {
		after.OpensAtMS = opens.UnixMilli()
	}
	if !closes.IsZero() {
		after.ClosesAtMS = closes.UnixMilli()
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

// Close ends a sale at a time, by Redis' clock; the zero time, or one that has passed, is now. A later time
// has to be after the sale's opening. What is held stays held and can be confirmed.
func (d *Desk) Close(ctx context.Context, id uint32, by Call, at time.Time) (Sale, error) {
	c := windowCall{by, "close", stock.FingerprintOf(at.UnixMilli())}
	return d.changeWindow(ctx, id, c, func(e *entry, nowMS int64) (Window, error) {
		if e.Phase(nowMS) == PhaseClosed {
			return e.Window, nil
		}
		if ms := at.UnixMilli(); !at.IsZero() && ms > nowMS {
			if ms <= e.OpensAtMS || ms > stock.TimeMaxMS {
				return e.Window, fmt.Errorf("%w: it would close before it opens: give both times to open, or close it now", ErrWindow)
			}
			return Window{e.OpensAtMS, ms}, nil
		}
		return Window{min(e.OpensAtMS, nowMS-1), nowMS}, nil // for a sale that never opened, a window that is over
	})
}

// changeWindow gives a sale the window that next makes of it, once per key. A call with a key is written
// down also where it changes nothing: repeated later, it might.
func (d *Desk) changeWindow(
	ctx context.Context, id uint32, c windowCall, next func(e *entry, nowMS int64) (Window, error),
) (Sale, error) {
	done, err := d.done(ctx, id, c) // before the sale is read: should the same call be made meanwhile, setWindow finds out
	if err != nil {
		return Sale{}, err
	}
	e, err := d.load(ctx, id)
	if err != nil {
		return Sale{}, err
	}
	if !done {
		_, nowMS, err := d.cells(ctx, e.plan)
		if err != nil {
			return Sale{}, err
		}
		w, err := next(e, nowMS)
		if err != nil {
			return Sale{}, fmt.Errorf("sale %d: %w", id, err)
		}
		if w != e.Window || c.Key != "" {
			if err := d.setWindow(ctx, e, w, c); err != nil {
				return Sale{}, err
			}
		}
	}
	s, err := d.applyWindow(ctx, e)
	s.Replayed = done
	return s, err
}

// applyTries bounds how often applyWindow begins again.
const applyTries = 3

// applyWindow brings the window that is written down to every cell. Where a cell has another one after
// that, because what was late or not ours has changed it since, the window becomes a new change: the
// cells remember the old one as made.
func (d *Desk) applyWindow(ctx context.Context, e *entry) (Sale, error) {
	for range applyTries {
		err := d.adjust(ctx, e.plan, fmt.Sprintf("sale window %d", e.windows), &stock.Adjustment{
			Kind:     stock.AdjustPlain,
			Fields:   stock.FieldOpensAt | stock.FieldClosesAt,
			Settings: stock.Settings{OpensAtMS: e.OpensAtMS, ClosesAtMS: e.ClosesAtMS},
			Reason:   fmt.Sprintf("window %d of sale %d", e.windows, e.plan.ID),
		})
		if err != nil {
			return Sale{}, err
		}
		if e, err = d.load(ctx, e.plan.ID); err != nil {
			return Sale{}, err
		}
		s, err := d.show(ctx, e)
		if err != nil || !slices.ContainsFunc(s.Stock, func(i ItemStock) bool { return windowOf(i.Cell) != e.Window }) {
			return s, err
		}
		if err := d.setWindow(ctx, e, e.Window, windowCall{}); err != nil {
			return Sale{}, err
		}
	}
	return Sale{}, fmt.Errorf("sale %d: %w", e.plan.ID, ErrOverlap)
}

func windowOf(c stock.CellState) Window { return Window{c.OpensAtMS, c.ClosesAtMS} }

// Return brings the units of a closed sale that are available back to normal stock. Units that are held
// are neither sold nor available: once they are settled, Return can be repeated for the rest.
func (d *Desk) Return(ctx context.Context, id uint32) (Sale, error) {
	e, err := d.load(ctx, id)
	if err != nil {
		return Sale{}, err
	}
	states, nowMS, err := d.cells(ctx, e.plan)
	if err != nil {
		return Sale{}, err
	}
	for _, c := range states {
		if c.Loaded && windowOf(c).Phase(nowMS) != PhaseClosed {
			return Sale{}, fmt.Errorf("sale %d, SKU %d: %w", id, c.Cell.SKU, ErrNotClosed)
		}
	}
	if e, err = d.settle(ctx, e); err != nil {
		return Sale{}, err
	}
	err = d.moveAll(ctx, e, func(_ itemRow, c stock.CellState) int64 { return -c.Avail })
	if err != nil {
		return Sale{}, err
	}
	return d.Show(ctx, id)
}

// Show is a sale as it stands.
func (d *Desk) Show(ctx context.Context, id uint32) (Sale, error) {
	e, err := d.load(ctx, id)
	if err != nil {
		return Sale{}, err
	}
	return d.show(ctx, e)
}

func (d *Desk) show(ctx context.Context, e *entry) (Sale, error) {
	states, nowMS, err := d.cells(ctx, e.plan)
	if err != nil {
		return Sale{}, err
	}
	s := Sale{Plan: e.plan, Window: e.Window, NowMS: nowMS}
	for i, r := range e.items {
		s.Stock = append(s.Stock, ItemStock{Moved: r.moved, Settled: r.given() && r.moving == 0, Cell: states[i]})
	}
	return s, nil
}
