package baseline

import (
	"context"
	"fmt"
	"math/rand/v2"
)

var skipLockedWay = Way{
	Name: "mysql-skip-locked", Title: "MySQL SKIP LOCKED, a row per unit",
	Does:   "One call of a procedure: SELECT ... LIMIT 1 FOR UPDATE SKIP LOCKED finds a free unit behind the last one of this buyer, who began anywhere, UPDATE gives it to the order, INSERT of the order, in one transaction at READ COMMITTED.",
	Buyers: []int{4, 16, 64},
	Rows:   true,
	Open: func(ctx context.Context, p *Place) (Shop, error) {
		s, err := openMySQL(ctx, p, "row_per_unit",
			`CREATE TABLE units (id BIGINT AUTO_INCREMENT PRIMARY KEY, sku BIGINT NOT NULL, order_id BIGINT NULL)`, skipLockedProcedure)
		if err != nil {
			return nil, err
		}
		return &skipLockedShop{mysqlShop: s}, nil
	},
}

// A buyer begins anywhere, and goes on behind the unit that it got last: whoever begins at the front reads all that was sold,
// and what others are about to get. Where nothing is left behind it, it looks at the whole once more.
const skipLockedProcedure = `CREATE PROCEDURE buy (new_order BIGINT, of_sku BIGINT, by_user BIGINT, beyond BIGINT) MODIFIES SQL DATA
BEGIN
	DECLARE unit BIGINT DEFAULT NULL;
	START TRANSACTION;
	SET unit = (SELECT id FROM units FORCE INDEX (PRIMARY)
		WHERE id > beyond AND sku = of_sku AND order_id IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED);
	IF unit IS NULL AND beyond > 0 THEN
		SET unit = (SELECT id FROM units WHERE sku = of_sku AND order_id IS NULL LIMIT 1 FOR UPDATE SKIP LOCKED);
	END IF;
	IF unit IS NOT NULL THEN
		UPDATE units SET order_id = new_order WHERE id = unit;
		INSERT INTO orders (id, sku, user) VALUES (new_order, of_sku, by_user);
	END IF;
	COMMIT;
	SELECT COALESCE(unit, 0);
END`

type skipLockedShop struct {
	*mysqlShop

	units int64 // on sale, with ids from 1 on
}

// Stock implements Shop.
func (s *skipLockedShop) Stock(ctx context.Context, sku, units int64) error {
	s.units = units
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
	b, err := s.buyer(`CALL buy(?, ?, ?, ?)`)
	if err != nil {
		return nil, err
	}
	return &skipLockedBuyer{b, rand.Int64N(s.units)}, nil
}

type skipLockedBuyer struct {
	*mysqlBuyer

	last int64 // unit that it got, or where it begins
}

// Buy implements Buyer.
func (b *skipLockedBuyer) Buy(ctx context.Context, o Order) (bool, error) {
	var unit int64
	err := b.call.QueryRowContext(context.WithoutCancel(ctx), o.Number, o.SKU, o.User, b.last).Scan(&unit)
	if err != nil || unit == 0 {
		return false, err
	}
	b.last = unit
	return true, nil
}
