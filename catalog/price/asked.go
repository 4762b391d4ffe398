package price

import (
	"context"

	"sluice/catalog/product"
	"sluice/catalog/seller"
	"sluice/core/ids"
	"sluice/core/problem"
)

// Sellers is what prices ask of sellers. *seller.Sellers is one.
type Sellers interface {
	// Admit tells the state of a seller to its people and its systems. For others it has a problem: there is no such seller.
	Admit(ctx context.Context, by seller.Reader, id ids.Seller) (seller.State, error)
}

// Products is what prices ask of products. *product.Products is one.
type Products interface {
	// GoodsOf tells what products are. One that is not there is left out.
	GoodsOf(ctx context.Context, of ...ids.Product) (map[ids.Product]product.Goods, error)
}

// sells refuses whoever may not change prices of a seller. A seller that is suspended in this moment may be asked an instant before:
// what its prices mean to shoppers, its event says.
func (p *Pricing) sells(ctx context.Context, by Caller, id ids.Seller) error {
	state, err := p.sellers.Admit(ctx, seller.Reader{User: by.User}, id)
	if err == nil && !seller.Means(state).Listed {
		err = &problem.Problem{Kind: problem.WrongState, Detail: "the seller is " + string(state)}
	}
	return err
}

// own tells what a seller's product is. It refuses SKUs that the product does not have.
func (p *Pricing) own(ctx context.Context, of ids.Seller, id ids.Product, sku int64) (product.Goods, error) {
	goods, err := p.products.GoodsOf(ctx, id)
	if err != nil {
		return product.Goods{}, err
	}
	g, ok := goods[id]
	if !ok || g.Seller != of {
		return product.Goods{}, &problem.Problem{Kind: unknownProduct}
	}
	if product, n, ok := ids.ProductOf(sku); !ok || product != id || n >= len(g.SKUs) {
		return g, &problem.Problem{Kind: unknownSKU}
	}
	return g, nil
}
