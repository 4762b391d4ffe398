package ledger

import (
	"context"
	"database/sql"

	"sluice/core/stock"
)

// eventsMax bounds the events of one reservation; it has two in an ordinary life.
const eventsMax = 20

// Event is an event of a reservation as the ledger has it.
type Event struct {
	Kind    string `json:"kind"`
	Epoch   uint32 `json:"epoch"`
	Seq     uint64 `json:"seq"`
	RedisMS int64  `json:"redis_ms"`
	Avail   int64  `json:"avail"` // of the cell, after the event
	Held    int64  `json:"held"`
	Sold    int64  `json:"sold"`
	Delta   *int64 `json:"delta,omitempty"` // of an adjustment or of half a transfer
	Reason  string `json:"reason,omitempty"`
}

// Reservation is a reservation or deduction as the events left it that MySQL has; nil where MySQL does not know it. A held
// one whose deadline has passed is held until MySQL has the sweep's event.
func (r *Reader) Reservation(ctx context.Context, id stock.ReservationID) (found *stock.Reservation, err error) {
	err = r.read(ctx, "reservation", func(rows *sql.Rows) error {
		found = &stock.Reservation{ID: id}
		return rows.Scan(&found.State, &found.Cell.SKU, &found.Cell.Pool, &found.Cell.Bucket, &found.User, &found.Quantity,
			&found.Seq, &found.DeadlineMS)
	}, `SELECT state + 0, sku_id, pool, bucket, user_id, quantity, seq, deadline_ms FROM reservations WHERE reservation_id = ?`, id[:])
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Events are the first events of a reservation in the ledger of its cell, in order. No index names reservations there: the
// ledger is written far more often than anybody asks this, and the events of one cell lie together.
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
