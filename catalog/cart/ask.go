package cart

import (
	"context"

	"sluice/catalog/product"
	"sluice/core/ids"
	"sluice/core/money"
)

// Products is what carts ask of products. *product.Products is one.
type Products interface {
	// Buyable tells of up to LinesMax SKUs what they are. It leaves out those that shoppers cannot buy.
	Buyable(ctx context.Context, skus []int64) (map[int64]product.Buyable, error)
}

// Prices is what carts ask of prices.
type Prices interface {
	// Units tells what a unit of each of up to LinesMax SKUs costs a user now, or a guest, who is user 0. It leaves out those without a price.
	Units(ctx context.Context, user ids.User, skus []int64) (map[int64]money.Amount, error)
}

// Stock is what carts ask of the edge.
type Stock interface {
	// Free tells how many units of up to LinesMax SKUs are free. It leaves out those that are not known there. It is a hint: another one may
	// take them first.
	Free(ctx context.Context, skus []int64) (map[int64]int64, error)
}
