package ledger

import (
	"context"
	"database/sql"

	"sluice/core/show"
)

// Pool says what a pool is: the stock of a sale, or of none, in one warehouse or in all.
type Pool struct {
	ID        uint32
	Sale      show.ID // 0: the stock of no sale
	Warehouse int64   // 0: all warehouses
}

// Pools returns the pools from one on, at most so many, in their order. Pool 0 is the normal stock of all warehouses.
func (r *Reader) Pools(ctx context.Context, from uint32, limit int) (pools []Pool, err error) {
	err = r.read(ctx, "pools", func(rows *sql.Rows) error {
		var p Pool
		var sale sql.NullInt64
		err := rows.Scan(&p.ID, &sale, &p.Warehouse)
		p.Sale = show.ID(sale.Int64)
		pools = append(pools, p)
		return err
	}, "SELECT pool, sale_id, warehouse_id FROM pools WHERE pool >= ? ORDER BY pool LIMIT ?", from, limit)
	return pools, err
}
