package repair

import (
	"context"
	"errors"
	"fmt"

	"sluice/core/ledger"
	"sluice/core/reconcile"
	"sluice/core/sale"
	"sluice/core/stock"
)

// transfer ends a cut-off transfer. The row of a sale has the destination of its units; of any other transfer the first
// half has it.
func (d *Desk) transfer(ctx context.Context, step *reconcile.RepairStep, e *reconcile.TransferEnd) (string, error) {
	out, err := stock.ParseReservationID(e.Out)
	if err != nil {
		return "", refusal(err.Error())
	}
	if e.To != nil {
		return d.arrive(ctx, step, out, e)
	}
	known, err := d.Sales.Finish(ctx, int64(step.SKU), out)
	switch {
	case errors.Is(err, sale.ErrStaleMove):
		return "", refusal(err.Error() + ": Redis may have forgotten that the units arrived; count the SKU, and restock it")
	case errors.Is(err, stock.ErrTransferRefused), errors.Is(err, sale.ErrOverlap):
		return "", refusal(err.Error())
	case err == nil && !known:
		return "", d.whoMoved(ctx, step, e)
	}
	return "the units have arrived", err
}

// arrive brings in the units of a transfer whose first half tells where they were to go.
func (d *Desk) arrive(ctx context.Context, step *reconcile.RepairStep, out stock.ReservationID, e *reconcile.TransferEnd) (string, error) {
	left, err := d.left(ctx, step, e)
	if err != nil {
		return "", err
	}
	to := destination(step)
	if left == nil || left.Reservation != out {
		return "", refusal("the ledger does not have the event by which they left any more")
	}
	records, nowMS, err := d.Store.Reservations(ctx, []stock.ReservationID{out})
	if err != nil {
		return "", err
	}
	half := reconcile.Transit{
		Departure: left.Departure(), SinceMS: left.TimeMS, Retention: d.Store.Retention(), Forgotten: records[0].State == stock.StateNone,
	}
	if !half.Remembered(nowMS) {
		return "", refusal("Redis may have forgotten that the units arrived; count the SKU, and restock it")
	}
	if err := half.Arrive(ctx, d.Store, to); err != nil {
		if errors.Is(err, stock.ErrArrivalRefused) {
			return "", refusal(err.Error())
		}
		return "", arrivalError{err}
	}
	return fmt.Sprintf("the units have arrived in %v", to), nil
}

// destination is the cell where the units of a transfer arrive, if its first half tells.
func destination(step *reconcile.RepairStep) stock.Cell {
	to := step.Act.Transfer.To
	return stock.Cell{SKU: int64(step.SKU), Pool: to.Pool, Bucket: to.Bucket}
}

// left returns the event of a transfer's units leaving a cell, or nil if the ledger does not have it.
func (d *Desk) left(ctx context.Context, step *reconcile.RepairStep, e *reconcile.TransferEnd) (left *ledger.Recorded, err error) {
	at := ledger.Place{Cell: step.Cell(), At: stock.Position{Epoch: e.Epoch, Seq: e.Seq}}
	err = d.Books.Moments().EventsOf(ctx, []ledger.Place{at}, func(r *ledger.Recorded) {
		found := *r
		left = &found
	})
	return left, err
}

// whoMoved says who can finish a transfer that an earlier version of the program has begun for no sale. Its first half
// does not tell the destination, and only the caller has the key.
func (d *Desk) whoMoved(ctx context.Context, step *reconcile.RepairStep, e *reconcile.TransferEnd) error {
	left, err := d.left(ctx, step, e)
	if err != nil {
		return err
	}
	who := "somebody"
	if left != nil {
		who = fmt.Sprintf("admin %d (%s)", left.User, left.Change.Reason)
	}
	return refusal(fmt.Sprintf("no sale has this transfer under way: %s has to repeat the call of POST /admin/v1/transfers that began it, with its Idempotency-Key; "+
		"without the key nobody knows where the units were to go: then sluice stock adjust %d --delta=%d --reason lost, and never repeat the call",
		who, step.SKU, step.Units))
}
