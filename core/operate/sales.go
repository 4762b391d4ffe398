package operate

import (
	"context"
	"errors"
	"time"

	"sluice/core/sale"
	"sluice/core/stock"
)

// SaleDesk is where sales are changed: a *sale.Desk.
type SaleDesk interface {
	Create(ctx context.Context, p sale.Plan) (sale.Sale, error)
	Show(ctx context.Context, id uint32) (sale.Sale, error)
	Open(ctx context.Context, id uint32, by sale.Call, o sale.Opening) (sale.Sale, error)
	Close(ctx context.Context, id uint32, by sale.Call, at time.Time) (sale.Sale, error)
	Fill(ctx context.Context, id uint32, by sale.Call) (sale.Sale, error)
	Empty(ctx context.Context, id uint32, by sale.Call) (sale.Sale, error)
}

// SaleChange is a change of one sale.
type SaleChange struct {
	Sale    uint32
	Ack     stock.Ack // that it gives to the sale's cells
	Creates bool      // it may make cells

	makesEnd bool // it does what it can where some stock of the sale is shut
	do       func(context.Context, SaleDesk) (sale.Sale, error)
}

// CreateSale makes a sale and gives it its stock. A plan without a hold time gets the default. The plan is the key of the
// call: it can be repeated until it succeeds.
func CreateSale(p sale.Plan) *SaleChange {
	if p.Hold == 0 {
		p.Hold = stock.HoldDefault
	}
	return &SaleChange{
		Sale: p.ID, Ack: p.Ack, Creates: true,
		do: func(ctx context.Context, d SaleDesk) (sale.Sale, error) { return d.Create(ctx, p) },
	}
}

// OpenSale says when a sale sells.
func OpenSale(id uint32, o sale.Opening, by sale.Call) *SaleChange {
	return &SaleChange{Sale: id, do: func(ctx context.Context, d SaleDesk) (sale.Sale, error) {
		return d.Open(ctx, id, by, o)
	}}
}

// CloseSale ends a sale at a time; zero: now.
func CloseSale(id uint32, at time.Time, by sale.Call) *SaleChange {
	return &SaleChange{Sale: id, makesEnd: true, do: func(ctx context.Context, d SaleDesk) (sale.Sale, error) {
		return d.Close(ctx, id, by, at)
	}}
}

// FillSale gives a sale the units that it lacks of its plan.
func FillSale(id uint32, by sale.Call) *SaleChange {
	return &SaleChange{Sale: id, Creates: true, do: func(ctx context.Context, d SaleDesk) (sale.Sale, error) {
		return d.Fill(ctx, id, by)
	}}
}

// EmptySale brings the units of a closed sale that were not sold back to normal stock.
func EmptySale(id uint32, by sale.Call) *SaleChange {
	return &SaleChange{Sale: id, do: func(ctx context.Context, d SaleDesk) (sale.Sale, error) {
		return d.Empty(ctx, id, by)
	}}
}

// Do makes the change. SaleFaultOf says what an error means.
func (c *SaleChange) Do(ctx context.Context, d SaleDesk) (sale.Sale, error) { return c.do(ctx, d) }

// ForeseenSale is the effect that a change would have on a sale.
type ForeseenSale struct {
	New           bool // it would be made
	Before, After sale.Sale
	Given, Back   int64 // units that come from normal stock, and that go back to it
	SKUs          int64 // that give or get units
	Lacking       int64 // SKUs that lack the sale's window, and get it
	// Shut names the stock that the change leaves out, because it is shut; nil if there is none. Then nothing else is
	// known but that the change does something.
	Shut error
}

// Foresee returns the effect that a change would have on a sale. It changes nothing.
func (c *SaleChange) Foresee(ctx context.Context, desk *sale.Desk) (f ForeseenSale, err error) {
	if f.Before, err = desk.Show(ctx, c.Sale); errors.Is(err, sale.ErrNotFound) {
		f.New, err = true, nil
	}
	if err == nil {
		f.After, err = c.do(ctx, desk.Rehearsal())
	}
	if c.makesEnd && errors.Is(err, sale.ErrShut) {
		f.Shut, f.After.Changed = err, true
		return f, nil
	}
	if err != nil {
		return f, err
	}
	f.compare()
	return f, nil
}

// compare counts what differs between the sale before and after.
func (f *ForeseenSale) compare() {
	for i := range f.After.Stock {
		moved := f.After.Stock[i].Moved
		if !f.New {
			moved -= f.Before.Stock[i].Moved
			if f.After.Stock[i].WindowSet && !f.Before.Stock[i].WindowSet {
				f.Lacking++
			}
		}
		switch {
		case moved > 0:
			f.Given, f.SKUs = f.Given+moved, f.SKUs+1
		case moved < 0:
			f.Back, f.SKUs = f.Back-moved, f.SKUs+1
		}
	}
	f.After.Changed = f.New || f.Before.Window != f.After.Window || f.SKUs+f.Lacking > 0
}

// Unsold counts the units of a closed sale that can go back to normal stock.
func Unsold(s *sale.Sale) (units int64) {
	if s.Phase(s.NowMS) != sale.PhaseClosed {
		return 0
	}
	for _, item := range s.Stock {
		units += item.Cell.Avail
	}
	return units
}
