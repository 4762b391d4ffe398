package sale

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/core/stock"
)

// movesAtOnce bounds how many transfers are under way at once.
const movesAtOnce = 8

// settle ends the transfers of a sale that were cut off.
func (d *Desk) settle(ctx context.Context, e *entry) (*entry, error) {
	if !slices.ContainsFunc(e.items, func(r itemRow) bool { return r.moving != 0 }) {
		return e, nil
	}
	err := d.eachItem(ctx, e, func(r itemRow, _ stock.CellState, nowMS int64) error {
		if r.moving == 0 {
			return nil
		}
		if since := time.Duration(nowMS-r.movingSinceMS) * time.Millisecond; since > d.resumable {
			t := transferOf(e.plan, r)
			out, in := stock.TransferIDs(t.User, t.From, t.To, t.Key, d.store.Partitions())
			return fmt.Errorf("%w: %d units, %v ago: its halves are %v and %v", ErrStaleMove, r.moving, since, out, in)
		}
		return d.transfer(ctx, e.plan, r)
	})
	if err != nil {
		return nil, err
	}
	return d.load(ctx, e.plan.ID)
}

// moveAll transfers what units says from each SKU's normal stock to the sale, or back where it is
// negative. No transfer may be under way.
func (d *Desk) moveAll(ctx context.Context, e *entry, units func(itemRow, stock.CellState) int64) error {
	return d.eachItem(ctx, e, func(r itemRow, c stock.CellState, nowMS int64) error {
		n := units(r, c)
		if n == 0 {
			return nil
		}
		r, err := d.beginMove(ctx, e.plan.ID, r, n, nowMS)
		if err != nil {
			return err
		}
		return d.transfer(ctx, e.plan, r)
	})
}

// transfer does the transfer that a row says is under way, and writes down that it is done. What was
// refused is written down as not done; after any other error it can be resumed.
func (d *Desk) transfer(ctx context.Context, p Plan, r itemRow) error {
	_, err := stock.Transfer(ctx, d.store, transferOf(p, r))
	if errors.Is(err, stock.ErrTransferRefused) {
		return errors.Join(err, d.dropMove(ctx, p.ID, r))
	}
	if err != nil {
		return err
	}
	return d.endMove(ctx, p.ID, r)
}

func transferOf(p Plan, r itemRow) stock.TransferRequest {
	t := stock.TransferRequest{
		From:  stock.Cell{SKU: r.SKU},
		To:    p.cell(r.SKU),
		Units: r.moving,
		Key:   fmt.Sprintf("sale %d move %d", p.ID, r.moves),
	}
	t.Reason = fmt.Sprintf("stock for sale %d", p.ID)
	if r.moving < 0 {
		t.From, t.To, t.Units = t.To, t.From, -r.moving
		t.Reason = fmt.Sprintf("unsold stock of sale %d", p.ID)
	}
	return t
}

// eachItem calls do for every item, some at once, and joins their errors.
func (d *Desk) eachItem(ctx context.Context, e *entry, do func(r itemRow, c stock.CellState, nowMS int64) error) error {
	states, nowMS, err := d.cells(ctx, e.plan)
	if err != nil {
		return err
	}
	faults := make([]error, len(e.items))
	var group errgroup.Group
	group.SetLimit(movesAtOnce)
	for i, r := range e.items {
		group.Go(func() error {
			if err := do(r, states[i], nowMS); err != nil {
				faults[i] = fmt.Errorf("SKU %d: %w", r.SKU, err)
			}
			return nil // one SKU's trouble does not stop the others
		})
	}
	_ = group.Wait() // every error is in faults
	return errors.Join(faults...)
}

// cells reads the sale's cells, in the order of its items, and Redis' time.
func (d *Desk) cells(ctx context.Context, p Plan) ([]stock.CellState, int64, error) {
	cells := make([]stock.Cell, len(p.Items))
	for i, item := range p.Items {
		cells[i] = p.cell(item.SKU)
	}
	states, nowMS, err := d.store.Cells(ctx, cells)
	if err != nil {
		return nil, 0, fmt.Errorf("read cells of sale %d: %w", p.ID, err)
	}
	return states, nowMS, nil
}
