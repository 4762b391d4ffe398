package offer

import (
	"context"
	"fmt"

	"sluice/catalog/product"
	"sluice/catalog/seller"
	"sluice/core/ids"
	"sluice/core/problem"
)

// Sellers is what offers ask of sellers. *seller.Sellers is one.
type Sellers interface {
	// Admit tells the state of a seller to its people and its systems. For others it has a problem: there is no such seller.
	Admit(ctx context.Context, by seller.Reader, id ids.Seller) (seller.State, error)
	// StateOf is the state of a seller that has opened. Of others it has a problem.
	StateOf(ctx context.Context, id ids.Seller) (seller.State, error)
	// Selling are those of some sellers whose products shoppers see.
	Selling(ctx context.Context, some []ids.Seller) (map[ids.Seller]bool, error)
}

// Goods is what offers ask of products. *product.Products is one.
type Goods interface {
	// Sold tells of SKUs whose they are, and whether shoppers see them. It leaves out those that there are not.
	Sold(ctx context.Context, skus []int64) (map[int64]product.Sold, error)
}

// sells refuses whoever may not change offers of a seller. A seller that is suspended in this moment may be asked an instant before.
func (o *Offers) sells(ctx context.Context, by Caller, id ids.Seller) error {
	state, err := o.sellers.Admit(ctx, seller.Reader{User: by.User}, id)
	if err == nil && !seller.Means(state).Listed {
		err = &problem.Problem{Kind: problem.WrongState, Detail: "the seller is " + string(state)}
	}
	return err
}

// owned refuses SKUs that the seller does not have. Nobody is told whether somebody else has them.
func (o *Offers) owned(ctx context.Context, of ids.Seller, c *Content) error {
	goods, err := o.goods.Sold(ctx, c.skus())
	if err != nil {
		return err
	}
	for i, item := range c.Items {
		if good, ok := goods[item.SKU]; !ok || good.Seller != of {
			return &problem.Problem{Kind: unknownSKU, Pointer: fmt.Sprintf("/items/%d/sku_id", i)}
		}
	}
	return nil
}

// lacks says which SKU shoppers do not see. The empty text is none.
func (o *Offers) lacks(ctx context.Context, of ids.Seller, c *Content) (string, error) {
	goods, err := o.goods.Sold(ctx, c.skus())
	if err != nil {
		return "", err
	}
	for _, item := range c.Items {
		if good := goods[item.SKU]; good.Seller != of || !good.Listed {
			return fmt.Sprintf("SKU %d is not listed", item.SKU), nil
		}
	}
	return "", nil
}
