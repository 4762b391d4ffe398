package cart

import (
	"context"

	"sluice/catalog/cart/internal/api"
	"sluice/catalog/internal/web"
)

// MakeGuestCart implements api.StrictServerInterface.
func (s server) MakeGuestCart(context.Context, api.MakeGuestCartRequestObject) (api.MakeGuestCartResponseObject, error) {
	return api.MakeGuestCart201JSONResponse{CartToken: string(s.NewGuest())}, nil
}

// ShowGuestCart implements api.StrictServerInterface.
func (s server) ShowGuestCart(ctx context.Context, r api.ShowGuestCartRequestObject) (api.ShowGuestCartResponseObject, error) {
	of, err := s.OfGuest(GuestToken(r.Params.CartToken))
	if err != nil {
		return nil, err
	}
	c, err := s.Read(ctx, of)
	if err != nil {
		return nil, err
	}
	body, err := s.whole(ctx, 0, c)
	return api.ShowGuestCart200JSONResponse{Body: body, Headers: api.ShowGuestCart200ResponseHeaders{ETag: web.Version(c.Version)}}, err
}

// EmptyGuestCart implements api.StrictServerInterface.
func (s server) EmptyGuestCart(ctx context.Context, r api.EmptyGuestCartRequestObject) (api.EmptyGuestCartResponseObject, error) {
	of, err := s.OfGuest(GuestToken(r.Params.CartToken))
	if err != nil {
		return nil, err
	}
	c, err := s.Empty(ctx, of, r.Params.IfMatch)
	return api.EmptyGuestCart200JSONResponse{Body: shown(c), Headers: api.EmptyGuestCart200ResponseHeaders{ETag: web.Version(c.Version)}}, err
}

// PutGuestLine implements api.StrictServerInterface.
func (s server) PutGuestLine(ctx context.Context, r api.PutGuestLineRequestObject) (api.PutGuestLineResponseObject, error) {
	of, err := s.OfGuest(GuestToken(r.Params.CartToken))
	if err != nil {
		return nil, err
	}
	l, err := lineOf(r.SkuID, r.Body)
	if err != nil {
		return nil, err
	}
	c, err := s.Put(ctx, of, r.Params.IfMatch, l)
	return api.PutGuestLine200JSONResponse{Body: shown(c), Headers: api.PutGuestLine200ResponseHeaders{ETag: web.Version(c.Version)}}, err
}

// RemoveGuestLine implements api.StrictServerInterface.
func (s server) RemoveGuestLine(ctx context.Context, r api.RemoveGuestLineRequestObject) (api.RemoveGuestLineResponseObject, error) {
	of, err := s.OfGuest(GuestToken(r.Params.CartToken))
	if err != nil {
		return nil, err
	}
	sku, err := skuOf(r.SkuID)
	if err != nil {
		return nil, err
	}
	c, err := s.Remove(ctx, of, r.Params.IfMatch, sku)
	return api.RemoveGuestLine200JSONResponse{Body: shown(c), Headers: api.RemoveGuestLine200ResponseHeaders{ETag: web.Version(c.Version)}}, err
}
