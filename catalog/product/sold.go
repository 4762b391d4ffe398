package product

import (
	"context"
	"database/sql"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
)

const selectSold = "SELECT s.product_id, s.n, p.seller_id, p.stage = 'listed' AND s.state = 'active' FROM product_skus__ AS s " +
	"JOIN products__ AS p ON p.product_id = s.product_id WHERE (s.product_id, s.n) IN "

// Sold is what other packages of the shop ask of a SKU.
type Sold struct {
	Seller ids.Seller
	Listed bool // its product is, and it is active
}

// Sold tells of SKUs whose they are, and whether shoppers see them while their seller sells. It leaves out those that there are not. Each
// place that has some is asked once.
func (p *Products) Sold(ctx context.Context, skus []int64) (map[int64]Sold, error) {
	asked := map[string][]any{}
	at := map[string]place.Place{}
	for _, sku := range skus {
		if id, n, ok := ids.ProductOf(sku); ok {
			here := p.databases.At(shard.OfProduct(id))
			at[here.Name], asked[here.Name] = here, append(asked[here.Name], id, n)
		}
	}
	all := map[int64]Sold{}
	for name, values := range asked {
		here := at[name]
		err := db.Rows(ctx, here.In(here.Writer()), func(row *sql.Rows) error {
			var id ids.Product
			var n int
			var s Sold
			err := row.Scan(&id, &n, &s.Seller, &s.Listed)
			if sku, ok := ids.SKU(id, n); ok {
				all[sku] = s
			}
			return err
		}, selectSold+"("+rowsOf(len(values)/2, 2)+")", values...)
		if err != nil {
			return nil, readError(here, "product_skus", err)
		}
	}
	return all, nil
}
