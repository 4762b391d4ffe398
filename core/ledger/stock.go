package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"math"

	"sluice/core/show"
)

// Stock is the stock of one cell after the events that MySQL has.
type Stock struct {
	SKU         show.ID     `json:"sku_id"`
	Sale        show.ID     `json:"sale_id,omitzero"` // 0: normal stock
	Bucket      uint16      `json:"bucket,omitzero"`
	Total       int64       `json:"total"`
	Avail       int64       `json:"avail"`
	Held        int64       `json:"held"`
	Sold        int64       `json:"sold"`
	SafeStock   int64       `json:"safe_stock"`
	WarehouseID int64       `json:"warehouse_id"`
	Epoch       uint32      `json:"epoch"`
	Seq         uint64      `json:"seq"`
	UpdatedAt   show.Moment `json:"updated_at"` // Redis time of that event
}

// StockFilter says which stock to list.
type StockFilter struct {
	Sale     uint32 // 0: normal stock
	AvailMax *int64 // only cells with so many units available, or fewer; nil: any number
}

type stockKey struct {
	SKU    show.ID
	Bucket uint16
}

// Stock lists the stock of a sale, or the normal one, by SKU.
func (r *Reader) Stock(ctx context.Context, f StockFilter, p Page) (List[Stock], error) {
	limit, err := p.limit()
	if err != nil {
		return List[Stock]{}, err
	}
	availMax := int64(math.MaxInt64)
	if f.AvailMax != nil {
		if availMax = *f.AvailMax; availMax < 0 {
			return List[Stock]{}, fmt.Errorf("%w: avail_max %d: want 0 or more", ErrFilter, availMax)
		}
	}
	in := scope("stock", [2]int64{int64(f.Sale), availMax})
	after, err := keyOf[stockKey](in, p.Cursor)
	if err != nil {
		return List[Stock]{}, err
	}
	until, now := r.persisted(ctx)
	const from = ` FROM product_inventories FORCE INDEX (product_inventories_pool) WHERE pool = ? AND (sku_id > ? OR sku_id = ? AND bucket > ?)`
	const order = ` ORDER BY pool, sku_id, bucket`
	where, values := from, []any{f.Sale, after.SKU, after.SKU, after.Bucket}
	var end *stockKey
	if f.AvailMax != nil {
		end, err = examined(ctx, r, "stock", func(rows *sql.Rows, k *stockKey) error {
			return rows.Scan(&k.SKU, &k.Bucket)
		}, "SELECT sku_id, bucket"+from+order, values...)
		if err != nil {
			return List[Stock]{}, err
		}
		where, values = where+" AND available_stock <= ?", append(values, availMax)
	}
	if end != nil {
		where, values = where+" AND (sku_id < ? OR sku_id = ? AND bucket <= ?)", append(values, end.SKU, end.SKU, end.Bucket)
	}
	found := make([]Stock, 0, limit+1)
	err = r.read(ctx, "stock", func(rows *sql.Rows) error {
		var s Stock
		var updated sql.NullTime
		err := rows.Scan(&s.SKU, &s.Sale, &s.Bucket, &s.Total, &s.Avail, &s.Held, &s.Sold, &s.SafeStock, &s.WarehouseID,
			&s.Epoch, &s.Seq, &updated)
		s.UpdatedAt = momentOf(updated)
		found = append(found, s)
		return err
	}, `SELECT sku_id, pool, bucket, total_stock, available_stock, reserved_stock, sold_stock, safe_stock, warehouse_id,
		epoch, seq, last_updated`+where+order+" LIMIT ?", append(values, limit+1)...)
	list := listOf(found, limit, in, func(s *Stock) stockKey { return stockKey{s.SKU, s.Bucket} }, end)
	list.AsOf, list.Behind = show.Moment(until), until < now
	return list, err
}
