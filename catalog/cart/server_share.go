package cart

import (
	"context"

	"sluice/catalog/cart/internal/api"
)

// ListShares implements api.StrictServerInterface.
func (s server) ListShares(ctx context.Context, _ api.ListSharesRequestObject) (api.ListSharesResponseObject, error) {
	all, err := s.Shares(ctx, me(ctx))
	list := api.ListShares200JSONResponse{Data: make([]api.Share, 0, len(all))}
	for _, one := range all {
		list.Data = append(list.Data, api.Share{ShareToken: string(one.Token), MadeAt: one.MadeAt, EndsAt: one.EndsAt})
	}
	return list, err
}

// ShareCart implements api.StrictServerInterface.
func (s server) ShareCart(ctx context.Context, r api.ShareCartRequestObject) (api.ShareCartResponseObject, error) {
	days := ShareDays
	if r.Body.Days != nil {
		days = *r.Body.Days
	}
	made, err := s.Share(ctx, me(ctx), r.Params.IdempotencyKey, days)
	return api.ShareCart201JSONResponse{ShareToken: string(made.Token), MadeAt: made.MadeAt, EndsAt: made.EndsAt}, err
}

// EndShare implements api.StrictServerInterface.
func (s server) EndShare(ctx context.Context, r api.EndShareRequestObject) (api.EndShareResponseObject, error) {
	return api.EndShare204Response{}, s.Carts.EndShare(ctx, me(ctx), ShareToken(r.ShareToken))
}

// ShowSharedCart implements api.StrictServerInterface.
func (s server) ShowSharedCart(ctx context.Context, r api.ShowSharedCartRequestObject) (api.ShowSharedCartResponseObject, error) {
	lines, ends, err := s.Shared(ctx, ShareToken(r.ShareToken))
	if err != nil {
		return nil, err
	}
	all, err := s.Show(ctx, 0, lines)
	body := api.ShowSharedCart200JSONResponse{EndsAt: ends, Lines: make([]api.SharedCartLine, 0, len(all))}
	for _, l := range all {
		one := api.SharedCartLine{
			SkuID: text(l.SKU), Quantity: l.Quantity, Available: l.Sold != nil, Price: amount(l.Price), Stock: api.SharedCartLineStock(l.Hint),
		}
		if l.Sold != nil {
			one.ProductID, one.SellerID, one.Titles, one.Options = &l.Sold.Product, &l.Sold.Seller, l.Sold.Titles, options(l.Sold.Options)
		}
		body.Lines = append(body.Lines, one)
	}
	return body, err
}
