package product

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/shard"
)

const selectOwn = "SELECT s.product_id, s.n FROM product_skus__ AS s JOIN products__ AS p ON p.product_id = s.product_id WHERE p.seller_id = ? AND (s.product_id, s.n) IN "

// Foreign returns a SKU of a list that is none of a seller, or 0: for packages that have something about SKUs. All of the list are of products in
// one place.
func (p *Products) Foreign(ctx context.Context, of ids.Seller, skus []int64) (int64, error) {
	if len(skus) == 0 {
		return 0, nil
	}
	values, left := []any{of}, slices.Clone(skus)
	for _, sku := range skus {
		product, n, ok := ids.ProductOf(sku)
		if !ok {
			return sku, nil
		}
		values = append(values, int64(product), n)
	}
	first, _, _ := ids.ProductOf(skus[0])
	at := p.databases.At(shard.OfProduct(first))
	err := db.Rows(ctx, at.In(at.Writer()), func(row *sql.Rows) error {
		var product ids.Product
		var n int
		if err := row.Scan(&product, &n); err != nil {
			return err
		}
		sku, _ := ids.SKU(product, n)
		left = slices.DeleteFunc(left, func(one int64) bool { return one == sku })
		return nil
	}, selectOwn+"("+strings.TrimSuffix(strings.Repeat("(?, ?), ", len(skus)), ", ")+")", values...)
	if err != nil {
		return 0, readError(at, "product_skus", err)
	}
	if len(left) > 0 {
		return left[0], nil
	}
	return 0, nil
}

// ShownSKUs are the active SKUs of a product that shoppers see. Of others nobody is told.
func (p *Products) ShownSKUs(ctx context.Context, id ids.Product) (all []int64, err error) {
	w, err := p.Shown(ctx, id)
	for _, s := range w.SKUs {
		if s.State == StateActive {
			sku, _ := ids.SKU(id, s.N) // the schema has no other numbers
			all = append(all, sku)
		}
	}
	return all, err
}
