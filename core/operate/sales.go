package operate

import (
	"context"
	"errors"

	"sluice/core/sale"
)

// ForeseenSale is the effect that a call would have on a sale.
type ForeseenSale struct {
	New           bool // it would be made
	Before, After sale.Sale
	Given, Back   int64 // units that come from normal stock, and that go back to it
	SKUs          int64 // that give or get units
	Lacking       int64 // SKUs that lack the sale's window, and get it
}

// ForeseeSale returns the effect that a call of a desk would have on a sale. It changes nothing.
func ForeseeSale(ctx context.Context, desk *sale.Desk, id uint32, call func(*sale.Desk) (sale.Sale, error)) (f ForeseenSale, err error) {
	if f.Before, err = desk.Show(ctx, id); errors.Is(err, sale.ErrNotFound) {
		f.New = true
	} else if err != nil {
		return f, err
	}
	if f.After, err = call(desk.Rehearsal()); err != nil {
		return f, err
	}
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
	return f, nil
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
