package ledger

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"sluice/core/stock"
)

// eventsMax bounds the events of one reservation. Most reservations have two.
const eventsMax = 20

// Event is an event of a reservation as the ledger has it.
type Event struct {
	Kind    string `json:"kind"`
	Epoch   uint32 `json:"epoch"`
	Seq     uint64 `json:"seq"`
	RedisMS int64  `json:"redis_ms"`
	Avail   int64  `json:"avail"` // avail of the cell after the event
	Held    int64  `json:"held"`
	Sold    int64  `json:"sold"`
	Delta   *int64 `json:"delta,omitempty"` // for an adjustment, or one half of a transfer
	Reason  string `json:"reason,omitempty"`
}

// Reservation is a reservation or deduction after the events that MySQL has. A member is nil if MySQL knows nothing
// of it. A held one whose deadline has passed shows as held until MySQL has the event of its expiry.
func (r *Reader) Reservation(ctx context.Context, id stock.ReservationID) (found *stock.Reservation, err error) {
	err = r.read(ctx, "reservation", func(rows *sql.Rows) error {
		found = &stock.Reservation{ID: id}
		return rows.Scan(&found.State, &found.Cell.SKU, &found.Cell.Pool, &found.Cell.Bucket, &found.User, &found.Quantity,
			&found.Seq, &found.DeadlineMS)
	}, `SELECT CAST(state AS UNSIGNED), sku_id, pool, bucket, user_id, quantity, seq, deadline_ms FROM reservations WHERE reservation_id = ?`, id[:])
	if err != nil {
		return nil, err
	}
	return found, nil
}

// ErrMayBeLetter means that MySQL has no row of the return, and a dead letter may have its event.
var ErrMayBeLetter = errors.New("the return may be in a dead letter: replay the letter, or resolve it (sluice deadletter list)")

// Return is a return after the events that MySQL has, nil if it has none of that id. behind is how old the oldest event is that
// MySQL may lack, negative if nobody knows. Return fails with ErrMayBeLetter while a letter that may have the return is
// unresolved.
func (r *Reader) Return(ctx context.Context, id stock.ReservationID) (found *stock.Reservation, behind time.Duration, err error) {
	// Read before the row, so that the row has every event up to this time, and also those of a letter that is replayed
	// meanwhile.
	untilMS, nowMS := r.persisted(ctx)
	behind = time.Duration(nowMS-untilMS) * time.Millisecond
	if nowMS == 0 {
		behind = -1
	}
	found, err = r.returned(ctx, id)
	letter := false
	if err == nil && found == nil { // only then the letters, which takes longer, and the row once more: one may have become it
		if letter, err = r.inLetter(ctx, id); err == nil {
			found, err = r.returned(ctx, id)
		}
	}
	switch {
	case err != nil:
		return nil, 0, err
	case found == nil && letter:
		return nil, 0, ErrMayBeLetter
	}
	return found, behind, nil
}

// returned is the row of a return, nil if MySQL has none of that id.
func (r *Reader) returned(ctx context.Context, id stock.ReservationID) (*stock.Reservation, error) {
	found, err := r.Reservation(ctx, id)
	if err != nil || found == nil || found.State != stock.StateReturned {
		return nil, err
	}
	return found, nil
}

// inLetter reports whether an unresolved dead letter may have the event of an id: it has the id, or nobody can read it.
func (r *Reader) inLetter(ctx context.Context, id stock.ReservationID) (may bool, err error) {
	err = r.read(ctx, "dead letters", func(*sql.Rows) error {
		may = true
		return nil
	}, "SELECT 1 FROM dead_letters WHERE resolved_at IS NULL AND (sku_id IS NULL OR LOCATE(?, data) > 0) LIMIT 1", id[:])
	return may, err
}

// Events returns the first events of a reservation, in order, from the ledger of its cell. The ledger has no index of
// reservations, because writes to it are far more frequent than this question. The events of one cell lie together.
func (r *Reader) Events(ctx context.Context, cell stock.Cell, id stock.ReservationID) ([]Event, error) {
	events := []Event{}
	err := r.read(ctx, "ledger", func(rows *sql.Rows) error {
		var e Event
		err := rows.Scan(&e.Kind, &e.Epoch, &e.Seq, &e.RedisMS, &e.Avail, &e.Held, &e.Sold, &e.Delta, &e.Reason)
		events = append(events, e)
		return err
	}, `SELECT kind, epoch, seq, redis_ms, available_stock, reserved_stock, sold_stock, delta, COALESCE(reason, '')
		FROM ledger WHERE sku_id = ? AND pool = ? AND bucket = ? AND reservation_id = ? ORDER BY epoch, seq LIMIT ?`,
		cell.SKU, cell.Pool, cell.Bucket, id[:], eventsMax)
	return events, err
}
