package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"sluice/core/db"
	"sluice/core/stock"
)

// LostCell is a cell that an edge has seen, and that Redis has lost.
type LostCell struct {
	Cell stock.Cell
	stock.Position
	stock.Balances       // as the edge saw them last
	TimeMS         int64 // when MySQL was told first
}

const (
	insertLost = "INSERT INTO lost_cells (sku_id, pool, bucket, epoch, seq, available_stock, reserved_stock, sold_stock) VALUES "
	lostRow    = "(?, ?, ?, ?, ?, ?, ?, ?)"
	// laterLost is true if the new row has the later sight. The columns of the position are set last, because MySQL sets columns in turn.
	laterLost = "VALUES(epoch) > epoch OR VALUES(epoch) = epoch AND VALUES(seq) > seq"
	keepLater = " ON DUPLICATE KEY UPDATE available_stock = IF(" + laterLost + ", VALUES(available_stock), available_stock), " +
		"reserved_stock = IF(" + laterLost + ", VALUES(reserved_stock), reserved_stock), sold_stock = IF(" + laterLost + ", VALUES(sold_stock), sold_stock), " +
		"seq = IF(" + laterLost + ", VALUES(seq), seq), epoch = GREATEST(epoch, VALUES(epoch))"
	selectLost = "SELECT l.sku_id, l.pool, l.bucket, l.epoch, l.seq, l.available_stock, l.reserved_stock, l.sold_stock, l.told_at FROM lost_cells l " +
		"LEFT JOIN product_inventories i ON i.sku_id = l.sku_id AND i.pool = l.pool AND i.bucket = l.bucket WHERE i.sku_id IS NULL LIMIT %d"
)

// Lose notes that Redis has lost cells. Of several sights of a cell the latest stays.
func (r *Reader) Lose(ctx context.Context, lost []LostCell) error {
	for some := range slices.Chunk(lost, keysAtOnce) {
		var values []any
		for i := range some {
			l := &some[i]
			values = append(values, l.Cell.SKU, l.Cell.Pool, l.Cell.Bucket, l.Epoch, l.Seq, l.Avail, l.Held, l.Sold)
		}
		rows := strings.TrimSuffix(strings.Repeat(lostRow+", ", len(some)), ", ")
		if _, err := r.db.ExecContext(ctx, insertLost+rows+keepLater, values...); err != nil {
			return db.WriteError("note lost cells", err)
		}
	}
	return nil
}

// LostCells reads cells that Redis has lost and that the stock table does not have either, at most limit.
func (s *Snapshot) LostCells(ctx context.Context, limit int, yield func(*LostCell)) error {
	return s.read(ctx, "lost cells", func(rows *sql.Rows) error {
		var l LostCell
		var told sql.NullTime
		err := rows.Scan(&l.Cell.SKU, &l.Cell.Pool, &l.Cell.Bucket, &l.Epoch, &l.Seq, &l.Avail, &l.Held, &l.Sold, &told)
		if err != nil {
			return err
		}
		l.Total, l.TimeMS = l.Avail+l.Held+l.Sold, int64(momentOf(told))
		yield(&l)
		return nil
	}, fmt.Appendf(nil, selectLost, limit))
}
