package persister

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/db"
	"sluice/core/ledger"
	"sluice/core/lifecycle"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

const (
	repairsAtMax = 20 // steps of one round

	// The transaction that ends the row also locks and reads it, so that only one of two persisters does it.
	lockRepair = "SELECT sku_id, pool, bucket, act FROM repairs WHERE step_id = ? AND round = ? AND ended_at IS NULL AND by_persister FOR UPDATE"
	lockStock  = "SELECT epoch, seq FROM product_inventories WHERE sku_id = ? AND pool = ? AND bucket = ? FOR UPDATE"
	lockRow    = "SELECT epoch, seq FROM reservations WHERE reservation_id = ? FOR UPDATE"
	endRepair  = "UPDATE repairs SET ended_at = NOW(3), outcome = ?, said = ? WHERE step_id = ? AND round = ?"

	rewriteStock = "UPDATE product_inventories SET total_stock = ?, available_stock = ?, reserved_stock = ?, sold_stock = ?, epoch = ?, seq = ?, " +
		"last_updated = ? WHERE sku_id = ? AND pool = ? AND bucket = ?"
	rewriteReservation = "UPDATE reservations SET sku_id = ?, pool = ?, bucket = ?, user_id = ?, quantity = ?, state = ?, deadline_ms = ?, " +
		"reserved_ms = GREATEST(reserved_ms, ?), epoch = ?, seq = ?, updated_ms = ? WHERE reservation_id = ?"
)

// mender rewrites rows of the projections that somebody has asked for: those that are not what the ledger says. It reads the
// ledger in the transaction that rewrites the row. It locks the row first, so that an event that arrives meanwhile moves
// the row on after it.
type mender struct {
	writer writer
	log    *slog.Logger
}

// run does steps until ctx ends.
func (m *mender) run(ctx context.Context) {
	lifecycle.Repeat(ctx, m.log, "repair projections", replaysEvery, func(ctx context.Context) error { return whileAsked(ctx, m.round) })
}

// round does some steps.
func (m *mender) round(ctx context.Context) (done int, err error) {
	asked, err := ledger.New(m.writer.db, nil).RepairsAsked(ctx, repairsAtMax)
	if err != nil {
		return 0, err
	}
	var failed []error
	for _, a := range asked {
		failed = append(failed, m.mend(ctx, a))
	}
	return len(asked), errors.Join(failed...)
}

// refusal is why a step is not done.
type refusal string

func (r refusal) Error() string { return string(r) }

// mend does one step, unless another persister has.
func (m *mender) mend(ctx context.Context, a ledger.AskedRepair) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	_, err := m.writer.transaction(ctx, func() ([]letter, error) { return nil, m.step(ctx, a) })
	if err != nil && db.FailureOf(err).Lasts() {
		_, err = m.writer.transaction(ctx, func() ([]letter, error) { return nil, m.end(ctx, a, "refused", err.Error()) })
	}
	if err != nil {
		return fmt.Errorf("repair step %x: %w", a.Step, err)
	}
	return nil
}

// step does the work of one transaction.
func (m *mender) step(ctx context.Context, a ledger.AskedRepair) error {
	var cell stock.Cell
	var data []byte
	err := m.writer.tx.QueryRowContext(ctx, lockRepair, a.Step[:], a.Round).Scan(&cell.SKU, &cell.Pool, &cell.Bucket, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // another persister has done it
	}
	if err != nil {
		return fmt.Errorf("read step: %w", err)
	}
	var act reconcile.Act
	if err := json.Unmarshal(data, &act); err != nil {
		return m.end(ctx, a, "refused", "this persister cannot read it: "+err.Error())
	}
	said := ""
	switch {
	case act.Stock != nil:
		said, err = m.stock(ctx, cell, act.Stock)
	case act.Row != nil:
		said, err = m.reservation(ctx, cell, act.Row)
	default:
		err = refusal("persisters do no such step")
	}
	var refused refusal
	if errors.As(err, &refused) {
		return m.end(ctx, a, "refused", refused.Error())
	}
	if err != nil {
		return err
	}
	m.log.Info("rewrote a row that was not what the ledger says", "cell", cell, "said", said)
	return m.end(ctx, a, "done", said)
}

func (m *mender) end(ctx context.Context, a ledger.AskedRepair, outcome, said string) error {
	if _, err := m.writer.tx.ExecContext(ctx, endRepair, outcome, brief(said), a.Step[:], a.Round); err != nil {
		return fmt.Errorf("end step: %w", err)
	}
	return nil
}

// stock rewrites the row of a cell.
func (m *mender) stock(ctx context.Context, cell stock.Cell, planned *reconcile.StockEdit) (said string, err error) {
	var was stock.Position
	err = m.writer.tx.QueryRowContext(ctx, lockStock, cell.SKU, cell.Pool, cell.Bucket).Scan(&was.Epoch, &was.Seq)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read product_inventories: %w", err)
	}
	last, err := m.event(ctx, "sku_id = ? AND pool = ? AND bucket = ? ORDER BY epoch DESC, seq DESC LIMIT 1", cell.SKU, cell.Pool, cell.Bucket)
	if err != nil {
		return "", err
	}
	if last == nil || last.Less(stock.Position{Epoch: planned.Epoch, Seq: planned.Seq}) {
		return "", refusal(fmt.Sprintf("the ledger has no event at %d.%d any more", planned.Epoch, planned.Seq))
	}
	if was.Seq == 0 {
		m.writer.values.begin(insertInventories)
		m.writer.values.inventory(last)
		m.writer.values.end(moveInventories)
		_, err = m.writer.exec(ctx, "product_inventories")
		return saidOf(last), err
	}
	_, err = m.writer.tx.ExecContext(ctx, rewriteStock, last.Total(), last.Avail, last.Held, last.Sold, last.Epoch, last.Seq,
		time.UnixMilli(last.timeMS).UTC(), cell.SKU, cell.Pool, cell.Bucket)
	if err != nil {
		return "", fmt.Errorf("rewrite product_inventories: %w", err)
	}
	return saidOf(last), nil
}

// reservation rewrites the row of a reservation.
func (m *mender) reservation(ctx context.Context, cell stock.Cell, planned *reconcile.RowEdit) (said string, err error) {
	id, err := stock.ParseReservationID(planned.Reservation)
	if err != nil {
		return "", refusal(err.Error())
	}
	var was stock.Position
	err = m.writer.tx.QueryRowContext(ctx, lockRow, id[:]).Scan(&was.Epoch, &was.Seq)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read reservations: %w", err)
	}
	if found := (stock.Position{Epoch: planned.FoundEpoch, Seq: planned.FoundSeq}); was != found {
		return "", refusal(fmt.Sprintf("the row was at %d.%d when this was planned, and is at %d.%d now", found.Epoch, found.Seq, was.Epoch, was.Seq))
	}
	e, err := m.event(ctx, "sku_id = ? AND pool = ? AND bucket = ? AND epoch = ? AND seq = ?", cell.SKU, cell.Pool, cell.Bucket, planned.Epoch, planned.Seq)
	if err != nil {
		return "", err
	}
	if e == nil || e.Reservation != id || e.Kind.Adjusts() {
		return "", refusal(fmt.Sprintf("the ledger has no event of this reservation at %d.%d", planned.Epoch, planned.Seq))
	}
	if was.Seq == 0 {
		rows := newestOfReservations([]*row{e})
		m.writer.values.begin(insertReservations)
		m.writer.values.reservation(&rows[0])
		m.writer.values.end(moveReservations)
		_, err = m.writer.exec(ctx, "reservations")
		return saidOf(e), err
	}
	reservedMS := newestOfReservations([]*row{e})[0].reservedMS
	_, err = m.writer.tx.ExecContext(ctx, rewriteReservation, e.Cell.SKU, e.Cell.Pool, e.Cell.Bucket, e.User, e.Quantity, uint8(e.Kind.State()),
		e.DeadlineMS, reservedMS, e.Epoch, e.Seq, e.timeMS, id[:])
	if err != nil {
		return "", fmt.Errorf("rewrite reservations: %w", err)
	}
	return saidOf(e), nil
}

func saidOf(e *row) string { return fmt.Sprintf("the row is what %v left", e) }

// event reads one event of the ledger, nil if there is none.
func (m *mender) event(ctx context.Context, where string, values ...any) (found *row, err error) {
	err = readLedger(ctx, m.writer.tx, func(r *row) {
		one := *r
		found = &one
	}, selectLedger+where, values...)
	if err == nil && found != nil && !found.fits() {
		return nil, refusal(fmt.Sprintf("%v has values that no event can have", found))
	}
	return found, err
}
