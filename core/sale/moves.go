package sale

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/core/stock"
)

// partMax is how many items a call works on at once. The calls for so many are short, and one transaction writes all of
// them.
const partMax = 500

// The desk repeats a step that Redis did not answer in time, so that one slow call out of many does not fail a large sale.
// A repeated step does nothing twice.
const (
	stepTries = 3
	stepPause = 100 * time.Millisecond // before the second try; doubled for the third
)

// try does a step, and repeats it if that may help.
func try(ctx context.Context, step func() error) error {
	pause := stepPause
	for left := stepTries - 1; ; left-- {
		err := step()
		if left == 0 || !errors.Is(err, stock.ErrUnknown) && !errors.Is(err, stock.ErrNotApplied) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// resume ends the transfers of a sale that were cut off, and reads the sale again.
func (d *Desk) resume(ctx context.Context, e *entry) error {
	if d.rehearsing {
		*e = *e.resumed()
		return nil
	}
	var cutOff []itemRow
	for _, r := range e.items {
		if r.moving != 0 {
			cutOff = append(cutOff, r)
		}
	}
	if len(cutOff) == 0 {
		return nil
	}
	var broken faults
	for part := range slices.Chunk(cutOff, partMax) {
		_, nowMS, err := d.cells(ctx, e.plan.ID, part)
		if err != nil {
			return err
		}
		part = slices.DeleteFunc(part, func(r itemRow) bool {
			since := time.Duration(nowMS-r.movingSinceMS) * time.Millisecond
			if since <= d.resumable {
				return false
			}
			out, in := transferOf(e.plan.ID, r).IDs(d.store.Partitions())
			broken.add(r.SKU, fmt.Errorf("%w: %d units, %v ago: its halves are %v and %v", ErrStaleMove, r.moving, since, out, in))
			return true
		})
		if err := d.transfer(ctx, e, part, &broken); err != nil {
			return err
		}
	}
	if err := broken.err(); err != nil {
		return err
	}
	windows := e.windows
	err := d.reload(ctx, e)
	if err == nil && e.windows != windows {
		err = ErrOverlap // what may move depends on the window
	}
	return err
}

// resumed returns the sale after the transfers under way have ended.
func (e *entry) resumed() *entry {
	after := *e
	after.items = slices.Clone(e.items)
	for i := range after.items {
		if r := &after.items[i]; r.moving != 0 {
			r.moved, r.moving, r.moves = r.moved+r.moving, 0, r.moves+1
		}
	}
	return &after
}

// move transfers units from each SKU's normal stock to the sale, or back if the number is negative. It returns the sale as
// it is then. No transfer may be under way.
func (d *Desk) move(ctx context.Context, e *entry, units func(itemRow, stock.CellState) int64) (Sale, error) {
	if !d.rehearsing {
		if err := d.moveAll(ctx, e, units); err != nil {
			return Sale{}, err
		}
		return d.Show(ctx, e.plan.ID)
	}
	states, nowMS, err := d.cells(ctx, e.plan.ID, e.items)
	if err != nil {
		return Sale{}, err
	}
	after := *e
	after.items = slices.Clone(e.items)
	for i := range states {
		c, r := &states[i], &after.items[i]
		if !c.Loaded {
			*c = stock.CellState{Cell: c.Cell, Loaded: true, Settings: e.plan.settings()}
		}
		r.moving = units(*r, *c)
		c.Avail += r.moving
		c.Total += r.moving
	}
	return saleOf(after.resumed(), states, nowMS), nil
}

func (d *Desk) moveAll(ctx context.Context, e *entry, units func(itemRow, stock.CellState) int64) error {
	var broken faults
	for part := range slices.Chunk(e.items, partMax) {
		states, nowMS, err := d.cells(ctx, e.plan.ID, part)
		if err != nil {
			return err
		}
		var rows []itemRow
		for i, r := range part {
			if r.moving = units(r, states[i]); r.moving != 0 {
				r.movingSinceMS = nowMS
				rows = append(rows, r)
			}
		}
		if err := d.beginMoves(ctx, e, rows); err != nil {
			return err
		}
		if err := d.transfer(ctx, e, rows, &broken); err != nil {
			return err
		}
	}
	return broken.err()
}

// transfer does the transfers that are under way by their rows, and writes which are done. It writes refused transfers as
// not done, and returns them among the broken. After any other error all of them can be resumed.
func (d *Desk) transfer(ctx context.Context, e *entry, rows []itemRow, broken *faults) error {
	requests := make([]stock.TransferRequest, len(rows))
	for i, r := range rows {
		requests[i] = transferOf(e.plan.ID, r)
	}
	var results []stock.Transferred
	_ = try(ctx, func() error { // every error is in results
		results = stock.Transfers(ctx, d.store, requests)
		return firstTrouble(results)
	})
	var done, refused []itemRow
	var trouble faults
	for i, r := range rows {
		switch result := results[i]; {
		case result.Err == nil:
			done = append(done, r)
		case errors.Is(result.Err, stock.ErrTransferRefused):
			refused = append(refused, r)
			broken.add(r.SKU, result.Err)
		default:
			trouble.add(r.SKU, result.Err)
		}
	}
	e.moved += len(done)
	err := errors.Join(d.endMoves(ctx, e.plan.ID, done), d.dropMoves(ctx, e.plan.ID, refused))
	if trouble := trouble.err(); trouble != nil || err != nil {
		return errors.Join(broken.err(), trouble, err)
	}
	return nil
}

// firstTrouble returns the first error that is not a refusal.
func firstTrouble(results []stock.Transferred) error {
	for _, r := range results {
		if r.Err != nil && !errors.Is(r.Err, stock.ErrTransferRefused) {
			return r.Err
		}
	}
	return nil
}

func transferOf(id uint32, r itemRow) stock.TransferRequest {
	t := stock.TransferRequest{
		From:  stock.Cell{SKU: r.SKU},
		To:    stock.Cell{SKU: r.SKU, Pool: id},
		Units: r.moving,
		Scope: stock.ScopeSaleMove,
		Key:   fmt.Sprintf("sale %d move %d", id, r.moves),
	}
	t.Reason = fmt.Sprintf("stock for sale %d", id)
	if r.moving < 0 {
		t.From, t.To, t.Units = t.To, t.From, -r.moving
		t.Reason = fmt.Sprintf("unsold stock of sale %d", id)
	}
	return t
}

// cells reads the sale's cells of some items, in their order, and Redis' time.
func (d *Desk) cells(ctx context.Context, id uint32, items []itemRow) (states []stock.CellState, nowMS int64, err error) {
	for part := range slices.Chunk(items, partMax) {
		cells := make([]stock.Cell, len(part))
		for i, r := range part {
			cells[i] = stock.Cell{SKU: r.SKU, Pool: id}
		}
		var some []stock.CellState
		var atMS int64
		err := try(ctx, func() (err error) {
			some, atMS, err = d.store.Cells(ctx, cells)
			return err
		})
		if errors.Is(err, stock.ErrShut) {
			err = d.shutError(ctx, id, items)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("read cells of sale %d: %w", id, err)
		}
		states = append(states, some...)
		if nowMS == 0 || atMS < nowMS {
			nowMS = atMS
		}
	}
	return states, nowMS, nil
}
