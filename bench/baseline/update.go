package baseline

import "context"

var updateWay = Way{
	Name: "mysql-update", Title: "MySQL UPDATE of one row",
	Does:   "INSERT of the order, then UPDATE ... SET avail = avail - 1 WHERE sku = ? AND avail >= 1, in one transaction. The UPDATE is last, so that the row is locked for the shortest time.",
	Buyers: []int{4, 16, 64},
	Open: func(ctx context.Context, p *Place) (Shop, error) {
		s, err := openMySQL(ctx, p, "one_row", `CREATE TABLE stock (sku BIGINT PRIMARY KEY, avail BIGINT NOT NULL)`)
		if err != nil {
			return nil, err
		}
		return &updateShop{s}, nil
	},
}

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
	b, err := s.buyer(insertOrder, `UPDATE stock SET avail = avail - 1 WHERE sku = ? AND avail >= 1`)
	if err != nil {
		return nil, err
	}
	return updateBuyer{b}, nil
}

type updateBuyer struct{ *mysqlBuyer }

// Buy implements Buyer.
func (b updateBuyer) Buy(ctx context.Context, o Order) (bool, error) {
	ctx = context.WithoutCancel(ctx)
	insert, update := b.prepared[0], b.prepared[1]
	return b.transact(ctx, func() (bool, error) {
		if _, err := insert.ExecContext(ctx, o.Number, o.SKU, o.User); err != nil {
			return false, err
		}
		result, err := update.ExecContext(ctx, o.SKU)
		if err != nil {
			return false, err
		}
		changed, err := result.RowsAffected()
		return changed == 1, err
	})
}
