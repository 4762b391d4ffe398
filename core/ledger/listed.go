package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"sluice/core/stock"
)

// The statements of this file read rows of many cells at once. They join a list of keys, which the server looks up one
// by one. With the keys as a condition it would read whole tables.

// list appends a table of n rows to a query. row appends the columns of one of them.
func list(query []byte, n int, row func(query []byte, i int) []byte) []byte {
	sep := "(SELECT "
	for i := range n {
		query = row(append(query, sep...), i)
		sep = " UNION ALL SELECT "
	}
	return append(query, ") AS asked "...)
}

// Place is where an event is in the history of a cell.
type Place struct {
	Cell stock.Cell
	At   stock.Position
}

// EventsOf reads the events at places of any cells, in no order.
func (s *Snapshot) EventsOf(ctx context.Context, at []Place, yield func(*Recorded)) error {
	for len(at) > 0 {
		some := at[:min(len(at), keysAtOnce)]
		at = at[len(some):]
		query := list([]byte("SELECT "+EventColumns+" FROM "), len(some), func(query []byte, i int) []byte {
			c, p := some[i].Cell, some[i].At
			return fmt.Appendf(query, "%d AS at_sku, %d AS at_pool, %d AS at_bucket, %d AS at_epoch, %d AS at_seq", c.SKU, c.Pool, c.Bucket, p.Epoch, p.Seq)
		})
		query = append(query, "STRAIGHT_JOIN ledger ON sku_id = at_sku AND pool = at_pool AND bucket = at_bucket AND epoch = at_epoch AND seq = at_seq"...)
		if err := s.events(ctx, query, yield); err != nil {
			return err
		}
	}
	return nil
}

// Taken has the units of a user in a cell.
type Taken struct {
	Units    int64 // held or bought, also by reservations whose rows have left for files
	Returned int64 // brought back, which Units still contain
}

// Taken reads the units of users in cells, in the order asked for.
func (s *Snapshot) Taken(ctx context.Context, of []stock.BuyerCount) ([]Taken, error) {
	found := make([]Taken, len(of))
	for from := 0; from < len(of); from += keysAtOnce {
		some := of[from:min(len(of), from+keysAtOnce)]
		query := list([]byte(`SELECT n, COALESCE(SUM(IF(r.state = 'returned', 0, r.quantity)), 0) + COALESCE(MAX(b.units), 0),
			COALESCE(SUM(IF(r.state = 'returned' AND (c.epoch IS NULL OR c.epoch < r.epoch OR c.epoch = r.epoch AND c.seq < r.seq), r.quantity, 0)), 0)
			FROM `), len(some), func(query []byte, i int) []byte {
			c := some[i].Cell
			return fmt.Appendf(query, "%d AS n, %d AS at_sku, %d AS at_pool, %d AS at_bucket, %d AS at_user", from+i, c.SKU, c.Pool, c.Bucket, some[i].User)
		})
		query = append(query, `LEFT JOIN reservations r FORCE INDEX (reservations_user) ON r.user_id = at_user AND r.sku_id = at_sku AND r.pool = at_pool
			AND r.bucket = at_bucket AND r.state IN ('held', 'confirmed', 'returned')
			LEFT JOIN archived_buyers b ON b.sku_id = at_sku AND b.pool = at_pool AND b.bucket = at_bucket AND b.user_id = at_user
			LEFT JOIN checkpoints c ON c.sku_id = at_sku AND c.pool = at_pool AND c.bucket = at_bucket
			GROUP BY n`...)
		err := s.read(ctx, "what users have", func(rows *sql.Rows) error {
			var n int
			var t Taken
			err := rows.Scan(&n, &t.Units, &t.Returned)
			if err == nil {
				found[n] = t
			}
			return err
		}, query)
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}
