package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"sluice/core/stock"
)

// heldAtOnce is about how many held rows of reservations one statement adds up. Each costs the server a look-up, and a statement
// that takes longer than the timeout of a read fails.
const heldAtOnce = 20_000

// heldOf has the cells of a SKU in a pool, and their held units.
type heldOf struct {
	sku   int64
	pool  uint32
	units int64
}

// heldRows is what the held rows of a cell come to.
type heldRows struct {
	HeldSum

	last uint64 // the highest of their seqs
}

func (r *heldRows) add(o heldRows) {
	r.Units += o.Units
	r.Checks += o.Checks
	r.Seqs += o.Seqs
	r.last = max(r.last, o.last)
}

// heldRows condenses the rows of reservations that are held, for the cells of a page, which is in the order of the table of
// stock, of a pool alone, or of all (nil). A reservation has at least one unit. So the table of stock says how many rows there
// are at most, unless it is wrong.
func (s *Snapshot) heldRows(ctx context.Context, page []Brief, pool *uint32) (map[stock.Cell]heldRows, error) {
	var all []heldOf
	for i := range page {
		c, n := page[i].Cell, len(all)
		if n == 0 || all[n-1].sku != c.SKU || all[n-1].pool != c.Pool {
			all = append(all, heldOf{sku: c.SKU, pool: c.Pool})
		}
		all[len(all)-1].units += page[i].Held
	}
	held := map[stock.Cell]heldRows{}
	for len(all) > 0 {
		n, units := 1, all[0].units
		for n < len(all) && units+all[n].units <= heldAtOnce {
			units += all[n].units
			n++
		}
		read := s.heldOfMany
		if units > heldAtOnce {
			read = s.heldOfOne
		}
		if err := read(ctx, all[:n], pool, held); err != nil {
			return nil, err
		}
		all = all[n:]
	}
	return held, nil
}

// heldOfMany reads all between the first and the last in one statement.
func (s *Snapshot) heldOfMany(ctx context.Context, some []heldOf, pool *uint32, held map[stock.Cell]heldRows) error {
	first, last := some[0], some[len(some)-1]
	where := fmt.Sprintf("(sku_id > %[1]d OR sku_id = %[1]d AND pool >= %[2]d) AND (sku_id < %[3]d OR sku_id = %[3]d AND pool <= %[4]d)",
		first.sku, first.pool, last.sku, last.pool)
	if pool != nil {
		where += fmt.Sprintf(" AND pool = %d", *pool)
	}
	return s.read(ctx, "reservations", func(rows *sql.Rows) error {
		var c stock.Cell
		var of heldRows
		err := rows.Scan(&c.SKU, &c.Pool, &c.Bucket, &of.Units, &of.Checks, &of.Seqs, &of.last)
		held[c] = of
		return err
	}, []byte(`SELECT r.sku_id, r.pool, r.bucket, `+heldSum+`
		FROM (SELECT DISTINCT sku_id, pool FROM product_inventories WHERE `+where+`) AS i
		STRAIGHT_JOIN reservations r FORCE INDEX (reservations_cell) ON r.sku_id = i.sku_id AND r.pool = i.pool AND r.state = 'held'
		GROUP BY r.sku_id, r.pool, r.bucket`))
}

// heldOfOne reads the first in the order of its reservations' ids, a part in each statement.
func (s *Snapshot) heldOfOne(ctx context.Context, some []heldOf, _ *uint32, held map[stock.Cell]heldRows) error {
	of, after := some[0], make([]byte, stock.ReservationBytes)
	for n := heldAtOnce; n == heldAtOnce; {
		n = 0
		next := after
		err := s.read(ctx, "reservations", func(rows *sql.Rows) error {
			c := stock.Cell{SKU: of.sku, Pool: of.pool}
			var some heldRows
			var counted int
			var last []byte
			err := rows.Scan(&c.Bucket, &some.Units, &some.Checks, &some.Seqs, &some.last, &counted, &last)
			some.add(held[c])
			held[c] = some
			n += counted
			if string(last) > string(next) {
				next = last
			}
			return err
		}, fmt.Appendf(nil, `SELECT bucket, `+heldSum+`, COUNT(*), MAX(reservation_id)
			FROM (SELECT bucket, quantity, user_id, seq, reservation_id FROM reservations FORCE INDEX (reservations_cell)
				WHERE sku_id = %d AND pool = %d AND state = 'held' AND reservation_id > x'%x' ORDER BY reservation_id LIMIT %d) AS r
			GROUP BY bucket`, of.sku, of.pool, after, heldAtOnce))
		if err != nil {
			return err
		}
		after = next
	}
	return nil
}
