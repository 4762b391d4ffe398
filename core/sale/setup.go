package sale

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"sluice/core/stock"
)

// Create makes a sale: its rows, a cell per SKU that does not sell yet, and the stock in them, taken
// from the SKUs' normal stock. It can be repeated with the same plan until it succeeds, and then changes
// nothing more: the plan is its key.
func (d *Desk) Create(ctx context.Context, p Plan) (Sale, error) {
	if err := p.Validate(); err != nil {
		return Sale{}, err
	}
	p.Items = slices.SortedFunc(slices.Values(p.Items), func(a, b Allotment) int { return cmp.Compare(a.SKU, b.SKU) })

	e, err := d.load(ctx, p.ID)
	if errors.Is(err, ErrNotFound) {
		if err := d.checkStock(ctx, p); err != nil {
			return Sale{}, err
		}
		if err := d.register(ctx, p); err != nil {
			return Sale{}, err
		}
		e, err = d.load(ctx, p.ID)
	}
	if err != nil {
		return Sale{}, err
	}
	if !reflect.DeepEqual(e.plan, p) {
		return Sale{}, fmt.Errorf("sale %d: %w", p.ID, ErrOtherPlan)
	}
	done := !slices.ContainsFunc(e.items, func(r itemRow) bool { return !r.given() || r.moving != 0 })
	if err := d.createCells(ctx, p); err != nil {
		return Sale{}, err
	}
	if e, err = d.settle(ctx, e); err != nil {
		return Sale{}, err
	}
	err = d.moveAll(ctx, e, func(r itemRow, _ stock.CellState) int64 {
		if r.given() {
			return 0
		}
		return r.Quantity
	})
	if err != nil {
		return Sale{}, err
	}
	s, err := d.Show(ctx, p.ID)
	s.Replayed = done
	return s, err
}

// checkStock names every SKU whose normal stock cannot give what the plan wants, before anything is
// written. It only spares a sale that cannot be set up; the transfers decide.
func (d *Desk) checkStock(ctx context.Context, p Plan) error {
	cells := make([]stock.Cell, len(p.Items))
	for i, item := range p.Items {
		cells[i] = stock.Cell{SKU: item.SKU}
	}
	states, _, err := d.store.Cells(ctx, cells)
	if err != nil {
		return fmt.Errorf("read stock: %w", err)
	}
	var faults []error
	for i, c := range states {
		switch {
		case !c.Loaded:
			faults = append(faults, fmt.Errorf("%w: SKU %d is not loaded", ErrNotLoaded, c.Cell.SKU))
		case c.Avail < p.Items[i].Quantity:
			faults = append(faults, fmt.Errorf("%w: SKU %d has %d units available, not %d", ErrShort, c.Cell.SKU, c.Avail, p.Items[i].Quantity))
		}
	}
	return errors.Join(faults...)
}

func (d *Desk) createCells(ctx context.Context, p Plan) error {
	return d.adjust(ctx, p, "sale create", &stock.Adjustment{
		Kind:   stock.AdjustPlain,
		Create: true,
		Settings: stock.Settings{
			Limit: p.Limit, Hold: p.Hold, Ack: p.Ack, ShopperDeducts: p.ShopperDeducts, OpensAtMS: NotScheduled,
		},
		Reason: fmt.Sprintf("create sale %d", p.ID),
	})
}

// adjust changes every cell of a sale in the same way, once per key.
func (d *Desk) adjust(ctx context.Context, p Plan, key string, a *stock.Adjustment) error {
	requests := make([]stock.Request, len(p.Items))
	for i, item := range p.Items {
		cell := p.cell(item.SKU)
		requests[i] = stock.Request{
			ID:          stock.Identity{Route: stock.OpAdjust, Cell: cell, Key: key}.ID(d.store.Partitions()),
			Cell:        cell,
			Fingerprint: a.Fingerprint(),
			Adjustment:  a,
		}
	}
	var faults []error
	for i, decision := range stock.DoAll(ctx, d.store, stock.OpAdjust, requests) {
		switch {
		case decision.Err != nil:
			faults = append(faults, fmt.Errorf("%v: %w", requests[i].Cell, decision.Err))
		case decision.Verdict == stock.VerdictOK || decision.Verdict == stock.VerdictReplayed:
		case decision.Verdict == stock.VerdictWrongState && a.Create: // it exists
		default:
			faults = append(faults, fmt.Errorf("%v: %w: %v", requests[i].Cell, ErrCellRefuse, decision.Verdict))
		}
	}
	return errors.Join(faults...)
}
