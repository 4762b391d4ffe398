package repair

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"sluice/core/ledger"
	"sluice/core/reconcile"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// shift takes the difference that no event explains away from a cell's counters, and moves the cell into its next
// epoch. It resolves the dead letters about this difference, because the rebase declares the counters.
func (d *Desk) shift(ctx context.Context, step *reconcile.RepairStep, s *reconcile.Shift) (string, stock.Position, error) {
	id := stock.ReservationID(step.ID[:stock.ReservationBytes])
	binary.BigEndian.PutUint16(id[:], uint16(step.Cell().Partition(d.Store.Partitions())))
	became, at, made, err := d.Store.Shift(ctx, &redisstock.Shift{
		ID: id, Cell: step.Cell(), Epoch: s.Epoch, Avail: s.Avail, Held: s.Held, Sold: s.Sold, Reason: d.Decision.Reason,
	})
	if err != nil {
		return "", at, err
	}
	switch became {
	case redisstock.ShiftDone:
		d.publish(ctx, made)
	case redisstock.ShiftReplayed:
	case redisstock.ShiftNegative:
		return "", at, refusal("too many units are taken by now: restock the SKU, or release reservations, and plan again")
	case redisstock.ShiftRefused:
		return "", at, refusal(fmt.Sprintf("the cell is not in epoch %d any more, or is fenced", s.Epoch))
	}
	// Until the rebase is in the ledger, persisters make dead letters of events that do not follow.
	err = d.awaitEvents(ctx, step.Cell(), map[stock.Position]bool{at: true})
	if late := pending(""); err == nil || errors.As(err, &late) { // the next plan resolves what comes later
		err = d.resolveCorrected(ctx, step.Cell(), at)
	}
	if err != nil {
		return "", at, err
	}
	return fmt.Sprintf("the cell goes on at %d.%d", at.Epoch, at.Seq), at, nil
}

// publish brings an entry to Kafka, unless that is away. A relay would do it too, some seconds later, and does if this fails.
func (d *Desk) publish(ctx context.Context, e stock.Entry) {
	if d.away[kafka] != nil {
		return
	}
	within, cancel := context.WithTimeout(ctx, d.Wait)
	defer cancel()
	if err := d.Publish(within, []stock.Entry{e}); err != nil && ctx.Err() == nil && d.away != nil {
		d.away[kafka] = err
	}
}

// resolveCorrected resolves the dead letters of a cell about events that did not follow, before a rebase that put that right.
func (d *Desk) resolveCorrected(ctx context.Context, cell stock.Cell, rebased stock.Position) error {
	s, err := d.Books.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	var told []ledger.LetterID
	err = s.OpenLetters(ctx, []stock.Cell{cell}, lettersMax, func(l *ledger.OpenLetter) {
		if l.Reason == ledger.ReasonBroken && l.Less(rebased) {
			told = append(told, l.ID)
		}
	})
	for _, id := range told {
		if err == nil {
			_, _, err = d.Books.Resolve(ctx, id, d.Decision)
		}
	}
	return err
}

// lettersMax bounds the dead letters of a cell that are read.
const lettersMax = 10_000
