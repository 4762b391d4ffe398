package product

import (
	"context"
	"database/sql"
	"slices"

	"github.com/go-json-experiment/json"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
)

const (
	selectGoods = "SELECT product_id, seller_id, stage, content FROM products__ WHERE product_id IN "
	selectOpen  = "SELECT product_id, n, state FROM product_skus__ WHERE product_id IN "
)

// Goods is what other packages need to know of a product.
type Goods struct {
	Seller     ids.Seller
	Shown      bool // shoppers see it
	Brand      ids.Brand
	Categories []ids.Category // its own, and those above it
	Tax        string         // its tax category
	SKUs       []State        // by their numbers, which have no gaps
}

// GoodsOf tells what products are. One that is not there is left out.
func (p *Products) GoodsOf(ctx context.Context, of ...ids.Product) (map[ids.Product]Goods, error) {
	tree, err := p.Tree(ctx, 0)
	if err != nil {
		return nil, err
	}
	places, in := map[string]place.Place{}, map[string][]any{}
	for _, id := range of {
		at := p.atProduct(id)
		places[at.Name], in[at.Name] = at, append(in[at.Name], int64(id))
	}
	all := map[ids.Product]Goods{}
	for name, at := range places {
		if err := readGoods(ctx, at, in[name], tree, all); err != nil {
			return nil, err
		}
	}
	return all, p.hide(ctx, all)
}

// readGoods reads what products of a place are.
func readGoods(ctx context.Context, at place.Place, some []any, tree *Tree, all map[ids.Product]Goods) error {
	err := among(ctx, at.In(at.Writer()), selectGoods, some, func(row *sql.Rows) error {
		var id ids.Product
		var g Goods
		var stage Stage
		var content Content
		var text []byte
		if err := row.Scan(&id, &g.Seller, &stage, &text); err != nil {
			return err
		}
		if err := json.Unmarshal(text, &content); err != nil {
			return err
		}
		g.Shown, g.Brand, g.Tax = stage == StageListed, content.Brand, content.Tax
		for _, c := range tree.Path(content.Category) {
			g.Categories = append(g.Categories, c.ID)
		}
		all[id] = g
		return nil
	})
	if err != nil {
		return readError(at, "products", err)
	}
	err = among(ctx, at.In(at.Writer()), selectOpen, some, func(row *sql.Rows) error {
		var id ids.Product
		var n int
		var state State
		err := row.Scan(&id, &n, &state)
		if g, ok := all[id]; ok {
			for len(g.SKUs) <= n {
				g.SKUs = append(g.SKUs, "")
			}
			g.SKUs[n] = state
			all[id] = g
		}
		return err
	})
	if err != nil {
		return readError(at, "product_skus", err)
	}
	return nil
}

// hide hides the products of sellers whose products shoppers do not see.
func (p *Products) hide(ctx context.Context, all map[ids.Product]Goods) error {
	var of []ids.Seller
	for _, g := range all {
		if g.Shown && !slices.Contains(of, g.Seller) {
			of = append(of, g.Seller)
		}
	}
	if len(of) == 0 {
		return nil
	}
	selling, err := p.sellers.Selling(ctx, of)
	if err != nil {
		return err
	}
	for id, g := range all {
		g.Shown = g.Shown && selling[g.Seller]
		all[id] = g
	}
	return nil
}

// Active reports whether a SKU of the product is sold.
func (g *Goods) Active(n int) bool { return n < len(g.SKUs) && g.SKUs[n] == StateActive }

// among reads rows with ids, if there are ids.
func among(ctx context.Context, in db.Queryer, query string, all []any, scan func(*sql.Rows) error) error {
	if len(all) == 0 {
		return nil
	}
	return db.Rows(ctx, in, scan, query+rowsOf(1, len(all)), all...)
}
