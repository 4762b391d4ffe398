package sale

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"sluice/core/stock"
)

// Create makes a sale: its rows, a cell per SKU that does not sell yet, and the stock of the cells, which comes from
// the SKUs' normal stock. The plan is its key: Create can be repeated with the same plan until it succeeds, and then
// it changes nothing more. It does not fill what somebody has emptied since.
func (d *Desk) Create(ctx context.Context, p Plan) (Sale, error) {
	if err := p.Validate(); err != nil {
		return Sale{}, err
	}
	p.Items = slices.SortedFunc(slices.Values(p.Items), func(a, b Allotment) int { return cmp.Compare(a.SKU, b.SKU) })

	e, err := d.load(ctx, p.ID)
	if errors.Is(err, ErrNotFound) {
		e, err = d.begin(ctx, p)
	}
	if err != nil {
		return Sale{}, err
	}
	if differ := p.differs(&e.plan); len(differ) > 0 {
		return Sale{}, fmt.Errorf("sale %d: %w:\n%w", p.ID, ErrOtherPlan, differ)
	}
	if err := d.checkOpen(ctx, e); err != nil {
		return Sale{}, e.partly(p.ID, err)
	}
	done := !slices.ContainsFunc(e.items, func(r itemRow) bool { return !r.given() || r.moving != 0 })
	s, err := d.give(ctx, e, func(r itemRow, _ stock.CellState) int64 {
		if r.given() {
			return 0
		}
		return r.Quantity
	})
	if err == nil && !done && p.RegisteredOnly && d.bring != nil && !d.rehearsing { // who is not registered is told so at once
		err = d.bring(ctx, p.ID)
	}
	s.Replayed, s.Changed = done, e.changed()
	return s, e.partly(p.ID, err)
}

// begin writes a new sale into MySQL.
func (d *Desk) begin(ctx context.Context, p Plan) (*entry, error) {
	e := newEntry(p)
	if err := d.checkOpen(ctx, e); err != nil {
		return nil, err
	}
	if err := d.checkStock(ctx, e, func(r itemRow) int64 { return r.Quantity }); err != nil {
		return nil, err
	}
	if d.rehearsing {
		return e, nil
	}
	if err := d.register(ctx, p); err != nil {
		return nil, err
	}
	written := progress{written: "the sale"}
	e, err := d.load(ctx, p.ID)
	if err != nil {
		return nil, written.partly(p.ID, err)
	}
	e.progress = written
	return e, nil
}

// give moves units into a sale. It makes the cells that are missing.
func (d *Desk) give(ctx context.Context, e *entry, units func(itemRow, stock.CellState) int64) (Sale, error) {
	if !d.rehearsing && slices.ContainsFunc(e.items, func(r itemRow) bool { return !r.given() }) {
		if err := d.createCells(ctx, e); err != nil {
			return Sale{}, err
		}
	}
	if err := d.resume(ctx, e); err != nil {
		return Sale{}, err
	}
	return d.move(ctx, e, units)
}

// checkStock fails if the normal stock of a SKU has too little for a sale, and names every such SKU. It runs before
// anything is written, and only saves work: the transfers decide.
func (d *Desk) checkStock(ctx context.Context, e *entry, units func(itemRow) int64) error {
	states, _, err := d.cells(ctx, 0, e.items)
	if err != nil {
		return err
	}
	var lacking faults
	for i, c := range states {
		switch wanted := units(e.items[i]); {
		case wanted <= 0:
		case !c.Loaded:
			lacking.add(c.Cell.SKU, ErrNotLoaded)
		case c.Avail < wanted:
			lacking.add(c.Cell.SKU, fmt.Errorf("%w: %d units are available in normal stock, not %d", ErrShort, c.Avail, wanted))
		}
	}
	return lacking.err()
}

func (d *Desk) createCells(ctx context.Context, e *entry) error {
	return d.adjust(ctx, e, "create", &stock.Adjustment{
		Kind:     stock.AdjustPlain,
		Create:   true,
		Settings: e.plan.settings(),
		Reason:   fmt.Sprintf("create sale %d", e.plan.ID),
	})
}

// settings returns the settings of a new cell of the sale.
func (p Plan) settings() stock.Settings {
	return stock.Settings{
		Limit: p.Limit, Hold: p.Hold, Ack: p.Ack, ShopperDeducts: p.ShopperDeducts, RegisteredOnly: p.RegisteredOnly,
		ExtendMax: p.ExtendMax, OpensAtMS: NotScheduled,
	}
}

// adjust changes every cell of a sale in the same way, once per key.
func (d *Desk) adjust(ctx context.Context, e *entry, key string, a *stock.Adjustment) error {
	var broken faults
	for part := range slices.Chunk(e.items, partMax) {
		requests := make([]stock.Request, len(part))
		for i, r := range part {
			cell := stock.Cell{SKU: r.SKU, Pool: e.plan.ID}
			requests[i] = stock.Request{
				ID:          stock.Identity{Route: stock.OpAdjust, Cell: cell, Scope: stock.ScopeSale, Key: key}.ID(d.store.Partitions()),
				Cell:        cell,
				Fingerprint: a.Fingerprint(),
				Adjustment:  a,
			}
		}
		var decisions []stock.Decision
		trouble := try(ctx, func() error {
			decisions = stock.DoAll(ctx, d.store, stock.OpAdjust, requests)
			// A cell that is shut stays as it is. The others need not wait for it.
			i := slices.IndexFunc(decisions, func(d stock.Decision) bool { return d.Err != nil && !errors.Is(d.Err, stock.ErrShut) })
			if i < 0 {
				return nil
			}
			return decisions[i].Err
		})
		for i, decision := range decisions {
			switch {
			case decision.Err != nil:
				broken.add(part[i].SKU, decision.Err)
			case decision.Verdict == stock.VerdictOK:
				e.cells++
			case decision.Verdict == stock.VerdictReplayed:
			case decision.Verdict == stock.VerdictWrongState && a.Create: // it exists
			default:
				broken.add(part[i].SKU, fmt.Errorf("%w: %v", ErrCellRefuse, decision.Verdict))
			}
		}
		if trouble != nil {
			break // the rest would fail in the same way now
		}
	}
	return broken.err()
}
