package ledger

import (
	"context"
	"database/sql"

	"sluice/core/stock"
)

// Cell is the stock of one cell after the events that MySQL has. A member is nil if MySQL has nothing for it.
func (r *Reader) Cell(ctx context.Context, cell stock.Cell) (found *Stock, err error) {
	err = r.read(ctx, "stock", func(rows *sql.Rows) error {
		found = new(Stock)
		var updated sql.NullTime
		err := rows.Scan(&found.SKU, &found.Sale, &found.Bucket, &found.Total, &found.Avail, &found.Held, &found.Sold,
			&found.SafeStock, &found.WarehouseID, &found.Epoch, &found.Seq, &updated)
		found.UpdatedAt = momentOf(updated)
		return err
	}, `SELECT sku_id, pool, bucket, total_stock, available_stock, reserved_stock, sold_stock, safe_stock, warehouse_id,
		epoch, seq, last_updated FROM product_inventories WHERE sku_id = ? AND pool = ? AND bucket = ?`,
		cell.SKU, cell.Pool, cell.Bucket)
	return found, err
}

// Position returns the last event that is in the stock.
func (s *Stock) Position() stock.Position { return stock.Position{Epoch: s.Epoch, Seq: s.Seq} }
