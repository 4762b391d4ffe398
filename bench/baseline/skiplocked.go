package baseline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

var skipLockedWay = Way{
	Name: "mysql-skip-locked", Title: "MySQL SKIP LOCKED, a row per unit",
	Does:   "SELECT ... LIMIT 1 FOR UPDATE SKIP LOCKED finds a free unit, UPDATE gives it to the order, INSERT of the order, in one transaction at READ COMMITTED.",
	Buyers: []int{4, 16, 64},
	Rows:   true,
	Open: func(ctx context.Context, p *Place) (Shop, error) {
		s, err := openMySQL(ctx, p, "row_per_unit",
			`CREATE TABLE units (id BIGINT AUTO_INCREMENT PRIMARY KEY, sku BIGINT NOT NULL, order_id BIGINT NULL, KEY free (sku, order_id))`)
		if err != nil {
			return nil, err
		}
		return &skipLockedShop{s}, nil
	},
}

type skipLockedShop struct{ *mysqlShop }

// Stock implements Shop.
func (s *skipLockedShop) Stock(ctx context.Context, sku, units int64) error {
	_, err := s.db.ExecContext(ctx, fmt.Sprintf(`INSERT INTO units (sku) SELECT ? FROM seq_1_to_%d`, units), sku)
	return err
}

// Count implements Shop.
func (s *skipLockedShop) Count(ctx context.Context, sku int64) ([]Count, error) {
	return s.count(ctx, sku, `SELECT COUNT(*) FROM units WHERE sku = ? AND order_id IS NULL`)
}

// Clear implements Shop.
func (s *skipLockedShop) Clear(ctx context.Context, _ int64) error { return s.clear(ctx, "units") }

// Buyer implements Shop.
func (s *skipLockedShop) Buyer() (Buyer, error) {
	b, err := s.buyer(
		`SELECT id FROM units WHERE sku = ? AND order_id IS NULL LIMIT 1 FOR UPDATE SKIP LOCKED`,
		`UPDATE units SET order_id = ? WHERE id = ?`, insertOrder)
	if err != nil {
		return nil, err
	}
	return skipLockedBuyer{b}, nil
}

type skipLockedBuyer struct{ *mysqlBuyer }

// Buy implements Buyer.
func (b skipLockedBuyer) Buy(ctx context.Context, o Order) (bool, error) {
	ctx = context.WithoutCancel(ctx)
	find, take, insert := b.prepared[0], b.prepared[1], b.prepared[2]
	return b.transact(ctx, func() (bool, error) {
		var unit int64
		err := find.QueryRowContext(ctx, o.SKU).Scan(&unit)
		if errors.Is(err, sql.ErrNoRows) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if _, err := take.ExecContext(ctx, o.Number, unit); err != nil {
			return false, err
		}
		_, err = insert.ExecContext(ctx, o.Number, o.SKU, o.User)
		return err == nil, err
	})
}
