package event

import (
	"fmt"

	"sluice/core/stock"
)

// Check fails for an event that no script can have made, though its bytes are well-formed: balances or a quantity are out
// of range, or the balances lack the units that the event moved. The error wraps ErrMalformed.
func (e *Event) Check() error {
	if fault := e.fault(); fault != "" {
		return fmt.Errorf("%w: %v at epoch %d seq %d of %v: %s", ErrMalformed, e.Kind, e.Epoch, e.Seq, e.Cell, fault)
	}
	return nil
}

func (e *Event) fault() string {
	if min(e.Avail, e.Held, e.Sold) < 0 || e.Total() > stock.UnitsMax {
		return fmt.Sprintf("balances %d, %d, %d out of range", e.Avail, e.Held, e.Sold)
	}
	if e.Kind.Adjusts() {
		switch {
		case e.Quantity != 0:
			return "an adjustment with a quantity"
		case e.Kind == KindRebase:
			return e.rebaseFault()
		case e.Change.Delta < -stock.UnitsMax || e.Change.Delta > e.Avail:
			return fmt.Sprintf("delta %d, but %d avail after it", e.Change.Delta, e.Avail)
		}
		return ""
	}
	if e.Quantity < 1 || e.Quantity > stock.QuantityMax {
		return fmt.Sprintf("quantity %d out of range", e.Quantity)
	}
	arrived := e.Avail
	switch e.Kind {
	case KindReserve, KindExtend:
		arrived = e.Held
	case KindConfirm, KindDeduct:
		arrived = e.Sold
	case KindRelease, KindExpire, KindRevoke, KindReturn, KindAdjust, KindTransferOut, KindTransferIn, KindRebase:
	}
	if arrived < e.Quantity {
		return fmt.Sprintf("%d units moved, but %d are there after it", e.Quantity, arrived)
	}
	return ""
}

// rebaseFault says what is wrong with a rebase; it is empty if nothing is. A rebase is the first event of its epoch,
// and its seq goes on from the epoch before. So a record in Redis, which has no epoch, still tells its place in the
// history of its cell.
func (e *Event) rebaseFault() string {
	switch {
	case e.Change.From.Epoch+1 != e.Epoch || e.Change.From.Seq == 0 || e.Change.From.Seq+1 != e.Seq:
		return fmt.Sprintf("a rebase that goes on from epoch %d seq %d", e.Change.From.Epoch, e.Change.From.Seq)
	case e.Change.Delta != 0:
		return fmt.Sprintf("a rebase with delta %d", e.Change.Delta)
	}
	return ""
}

// Follows reports whether the event comes next in the history of its cell after a position.
func (e *Event) Follows(last stock.Position) bool {
	if e.Kind == KindRebase {
		return e.Change.From == last
	}
	return e.Epoch == last.Epoch && e.Seq == last.Seq+1
}

// Corrects reports whether the event is the rebase of a repair: it corrects balances that did not follow from the event
// before. A rebase by a vetting is different: it brings lost events back, and nobody has asked for it.
func (e *Event) Corrects() bool {
	return e.Kind == KindRebase && e.Reservation != stock.ReservationID{}
}

// Before returns the balances of the cell before the event, computed from those after it. For a rebase it returns
// those after it, because a rebase states balances, whatever they were before.
func (e *Event) Before() (avail, held, sold int64) {
	avail, held, sold = e.Avail, e.Held, e.Sold
	switch e.Kind {
	case KindReserve:
		return avail + e.Quantity, held - e.Quantity, sold
	case KindConfirm:
		return avail, held + e.Quantity, sold - e.Quantity
	case KindRelease, KindExpire, KindRevoke:
		return avail - e.Quantity, held + e.Quantity, sold
	case KindDeduct:
		return avail + e.Quantity, held, sold - e.Quantity
	case KindReturn:
		return avail - e.Quantity, held, sold + e.Quantity
	case KindAdjust, KindTransferOut, KindTransferIn:
		return avail - e.Change.Delta, held, sold
	case KindExtend, KindRebase:
	}
	return avail, held, sold
}
