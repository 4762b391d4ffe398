package baseline

import "context"

var updateWay = Way{
	Name: "mysql-update", Title: "MySQL UPDATE of one row",
	Does:   "One call of a procedure: INSERT of the order, then UPDATE ... SET avail = avail - 1 WHERE sku = ? AND avail >= 1, in one transaction. The UPDATE is last, so that the row is locked for the shortest time.",
	Buyers: []int{4, 16, 64},
	Open: func(ctx context.Context, p *Place) (Shop, error) {
		s, err := openMySQL(ctx, p, "one_row", `CREATE TABLE stock (sku BIGINT PRIMARY KEY, avail BIGINT NOT NULL)`, updateProcedure)
		if err != nil {
			return nil, err
		}
		return &updateShop{s}, nil
	},
}

const updateProcedure = `CREATE PROCEDURE buy (new_order BIGINT, of_sku BIGINT, by_user BIGINT) MODIFIES SQL DATA
BEGIN
	START TRANSACTION;
	INSERT INTO orders (id, sku, user) VALUES (new_order, of_sku, by_user);
	UPDATE stock SET avail = avail - 1 WHERE sku = of_sku AND avail >= 1;
	IF ROW_COUNT() = 1 THEN
		COMMIT;
		SELECT 1;
	ELSE
		ROLLBACK;
		SELECT 0;
	END IF;
END`

type updateShop struct{ *mysqlShop }

// Stock implements Shop.
func (s *updateShop) Stock(ctx context.Context, sku, units int64) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO stock (sku, avail) VALUES (?, ?)`, sku, units)
	return err
}

// Count implements Shop.
func (s *updateShop) Count(ctx context.Context, sku int64) ([]Count, error) {
	return s.count(ctx, sku, `SELECT avail FROM stock WHERE sku = ?`)
}

// Clear implements Shop.
func (s *updateShop) Clear(ctx context.Context, _ int64) error { return s.clear(ctx, "stock") }

// Buyer implements Shop.
func (s *updateShop) Buyer() (Buyer, error) {
	b, err := s.buyer(`CALL buy(?, ?, ?)`)
	if err != nil {
		return nil, err
	}
	return updateBuyer{b}, nil
}

type updateBuyer struct{ *mysqlBuyer }

// Buy implements Buyer.
func (b updateBuyer) Buy(ctx context.Context, o Order) (bool, error) {
	var sold int
	err := b.call.QueryRowContext(context.WithoutCancel(ctx), o.Number, o.SKU, o.User).Scan(&sold)
	return sold == 1, err
}
