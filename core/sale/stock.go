package sale

import (
	"context"
	"errors"
	"fmt"

	"sluice/core/stock"
)

// Fill brings a sale's stock up to its plan. It gives each item the units that are still missing, and those that were taken
// back. It can be repeated until it succeeds.
func (d *Desk) Fill(ctx context.Context, id uint32, by Call) (Sale, error) {
	return d.changeStock(ctx, id, keyedCall{Call: by, operation: "fill"}, func(e *entry) (Sale, error) {
		if err := d.resume(ctx, e); err != nil { // what comes back is normal stock again
			return Sale{}, err
		}
		lacks := func(r itemRow) int64 { return max(0, r.Quantity-r.moved) }
		if err := d.checkStock(ctx, e, lacks); err != nil {
			return Sale{}, err
		}
		return d.give(ctx, e, func(r itemRow, _ stock.CellState) int64 { return lacks(r) })
	})
}

// Empty moves the available units of a closed sale back to normal stock. Held units are not available: once they are
// settled, Empty can be repeated for the rest.
func (d *Desk) Empty(ctx context.Context, id uint32, by Call) (Sale, error) {
	return d.changeStock(ctx, id, keyedCall{Call: by, operation: "empty"}, func(e *entry) (Sale, error) {
		states, nowMS, err := d.cells(ctx, id, e.items)
		if err != nil {
			return Sale{}, err
		}
		var open faults
		for _, c := range states {
			if c.Loaded && windowOf(c).Phase(nowMS) != PhaseClosed {
				open.add(c.Cell.SKU, ErrNotClosed)
			}
		}
		if len(open) > 0 {
			return Sale{}, fmt.Errorf("sale %d: %w", id, open.err())
		}
		if err := d.resume(ctx, e); err != nil {
			return Sale{}, err
		}
		return d.move(ctx, e, func(_ itemRow, c stock.CellState) int64 { return -c.Avail })
	})
}

// changeStock makes a call that moves stock, once per key. It writes the key at the end, so that a call that was cut off
// goes on where it stopped.
func (d *Desk) changeStock(
	ctx context.Context, id uint32, c keyedCall, do func(e *entry) (Sale, error),
) (Sale, error) {
	done, err := d.done(ctx, id, c)
	if err != nil {
		return Sale{}, err
	}
	if done {
		s, err := d.Show(ctx, id)
		s.Replayed = true
		return s, err
	}
	e, err := d.load(ctx, id)
	if err == nil {
		err = d.checkOpen(ctx, e)
	}
	if err != nil {
		return Sale{}, err
	}
	s, err := do(e)
	s.Changed = e.changed()
	if err != nil || d.rehearsing {
		return s, e.partly(id, err)
	}
	if err := c.keep(ctx, d.db, id); err != nil && !errors.Is(err, ErrOverlap) { // the same call was made meanwhile
		return Sale{}, e.partly(id, err)
	}
	return s, nil
}
