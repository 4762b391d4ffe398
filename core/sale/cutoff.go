package sale

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"sluice/core/stock"
)

// Finish ends a transfer of a SKU whose first half is done, and brings its units in. out is the id of the first half.
// Finish returns false if no sale has such a transfer under way. If the transfer was cut off too long ago, the error
// is ErrStaleMove.
func (d *Desk) Finish(ctx context.Context, sku int64, out stock.ReservationID) (bool, error) {
	ids, err := d.moving(ctx, sku)
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		e, err := d.load(ctx, id)
		if err != nil {
			return false, err
		}
		for _, r := range e.items {
			if r.SKU != sku || r.moving == 0 {
				continue
			}
			if half, _ := transferOf(id, r).IDs(d.store.Partitions()); half == out {
				return true, d.finish(ctx, e, r)
			}
		}
	}
	return false, nil
}

// moving returns the sales that have a transfer of a SKU under way.
func (d *Desk) moving(ctx context.Context, sku int64) (ids []uint32, err error) {
	err = d.readItems(ctx, func(rows *sql.Rows) error {
		var id uint32
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, "SELECT sale_id FROM sale_items WHERE sku_id = ? AND moving_units <> 0", sku)
	return ids, err
}

// finish ends one transfer that was cut off.
func (d *Desk) finish(ctx context.Context, e *entry, r itemRow) error {
	_, nowMS, err := d.cells(ctx, e.plan.ID, []itemRow{r})
	if err != nil {
		return err
	}
	if since := time.Duration(nowMS-r.movingSinceMS) * time.Millisecond; since > d.resumable {
		return fmt.Errorf("%w: %v ago", ErrStaleMove, since)
	}
	var broken faults
	if err := d.transfer(ctx, e, []itemRow{r}, &broken); err != nil {
		return err
	}
	return broken.err()
}
