package operate

import (
	"errors"

	"sluice/core/sale"
	"sluice/core/stock"
)

// SaleFault says how far a failed change of a sale has come.
type SaleFault uint8

// The faults, each with what it leaves behind.
const (
	SaleFaultOther     SaleFault = iota // trouble that has nothing to do with sales
	SaleFaultInTransit                  // units have left and not arrived: the repeated call brings them in
	SaleFaultUnknown                    // it may be done in part: the repeated call does the rest
	SaleFaultPartly                     // some is done, and the repeated call does the rest once nothing is in its way
	SaleFaultTransfer                   // nothing is done, and of all faults below neither: the stock refuses to move units
	SaleFaultShut                       // stock of the sale is shut
	SaleFaultNotFound                   // no such sale
	SaleFaultValues                     // the plan or the window is not in order
	SaleFaultNotLoaded                  // no such SKU
	SaleFaultShort                      // normal stock has too little
	SaleFaultOverlap                    // somebody else is at work on the sale
	SaleFaultPlan                       // the sale exists, with another plan
	SaleFaultCall                       // the key was used for another call
	SaleFaultNotFilled                  // the sale lacks stock
	SaleFaultNotClosed                  // the sale has not closed
	SaleFaultStale                      // a transfer was cut off too long ago to be resumed
	SaleFaultCell                       // a cell refuses the change
)

// saleFaults are in the order of their weight: what may have happened comes before what certainly has not.
var saleFaults = []struct {
	err   error
	fault SaleFault
}{
	{stock.ErrInTransit, SaleFaultInTransit},
	{stock.ErrUnknown, SaleFaultUnknown}, // of one SKU, whatever is known of the others
	{sale.ErrPartly, SaleFaultPartly},
	{stock.ErrTransferRefused, SaleFaultTransfer},
	{sale.ErrShut, SaleFaultShut},
	{stock.ErrNotApplied, SaleFaultOther},
	{sale.ErrNotFound, SaleFaultNotFound},
	{sale.ErrPlan, SaleFaultValues},
	{sale.ErrWindow, SaleFaultValues},
	{sale.ErrNotLoaded, SaleFaultNotLoaded},
	{sale.ErrShort, SaleFaultShort},
	{sale.ErrOverlap, SaleFaultOverlap},
	{sale.ErrOtherPlan, SaleFaultPlan},
	{sale.ErrOtherCall, SaleFaultCall},
	{sale.ErrNotFilled, SaleFaultNotFilled},
	{sale.ErrNotClosed, SaleFaultNotClosed},
	{sale.ErrStaleMove, SaleFaultStale},
	{sale.ErrCellRefuse, SaleFaultCell},
}

// SaleFaultOf sorts the error of a change of a sale.
func SaleFaultOf(err error) SaleFault {
	for _, f := range saleFaults {
		if errors.Is(err, f.err) {
			return f.fault
		}
	}
	return SaleFaultOther
}
