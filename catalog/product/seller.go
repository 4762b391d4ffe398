package product

import (
	"context"

	"sluice/catalog/seller"
	"sluice/core/ids"
	"sluice/core/problem"
)

// Sellers is what products ask of sellers. *seller.Sellers is one.
type Sellers interface {
	// Admit tells the state of a seller to its people and its systems. For others it has a problem: there is no such seller.
	Admit(ctx context.Context, by seller.Reader, id ids.Seller) (seller.State, error)
	// StateOf is the state of a seller that has opened. Of others it has a problem.
	StateOf(ctx context.Context, id ids.Seller) (seller.State, error)
	// Selling are those of some sellers whose products shoppers see.
	Selling(ctx context.Context, some []ids.Seller) (map[ids.Seller]bool, error)
}

// sells refuses whoever may not change products of a seller. A seller that is suspended in this moment may be asked an instant before:
// what its products mean to shoppers, its event says.
func (p *Products) sells(ctx context.Context, by Caller, id ids.Seller) error {
	state, err := p.sellers.Admit(ctx, seller.Reader{User: by.User}, id)
	if err == nil && !seller.Means(state).Listed {
		err = &problem.Problem{Kind: problem.WrongState, Detail: "the seller is " + string(state)}
	}
	return err
}
