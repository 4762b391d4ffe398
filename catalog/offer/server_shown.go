package offer

import (
	"context"

	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/web"
	"sluice/catalog/offer/internal/api"
)

// ListOffers implements api.StrictServerInterface.
func (s server) ListOffers(ctx context.Context, r api.ListOffersRequestObject) (api.ListOffersResponseObject, error) {
	after, err := queue.ParseCursor(r.Params.Cursor)
	if err != nil {
		return nil, malformed("", "%v", err)
	}
	page, next, err := s.Coming(ctx, after, r.Params.Limit.Or(pageLimit))
	if err != nil {
		return nil, err
	}
	list := api.ListOffers200JSONResponse{Data: []api.ShownOffer{}, NextCursor: next.Next()}
	for i := range page {
		list.Data = append(list.Data, forShoppers(&page[i]))
	}
	return list, nil
}

// ReadOffer implements api.StrictServerInterface.
func (s server) ReadOffer(ctx context.Context, r api.ReadOfferRequestObject) (api.ReadOfferResponseObject, error) {
	of, err := s.Shown(ctx, r.OfferID)
	if err != nil {
		return nil, err
	}
	return api.ReadOffer200JSONResponse{Body: forShoppers(&of), Headers: api.ReadOffer200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// forShoppers is an offer as the API shows it to anybody.
func forShoppers(o *Offer) api.ShownOffer {
	c := shownContent(&o.Content)
	return api.ShownOffer{
		OfferID: o.ID, SellerID: o.Seller, State: api.ShownOfferState(stateOf(o.Stage)), Version: int(o.Version),
		Market: c.Market, Currency: c.Currency, Texts: c.Texts, Items: c.Items, OpensAt: c.OpensAt, ClosesAt: c.ClosesAt, Rules: c.Rules,
	}
}
