package cart

import (
	"context"

	"sluice/catalog/cart/internal/api"
	"sluice/catalog/internal/web"
)

// ShowCart implements api.StrictServerInterface.
func (s server) ShowCart(ctx context.Context, _ api.ShowCartRequestObject) (api.ShowCartResponseObject, error) {
	c, err := s.Read(ctx, s.OfUser(me(ctx)))
	if err != nil {
		return nil, err
	}
	body, err := s.whole(ctx, me(ctx), c)
	return api.ShowCart200JSONResponse{Body: body, Headers: api.ShowCart200ResponseHeaders{ETag: web.Version(c.Version)}}, err
}

// EmptyCart implements api.StrictServerInterface.
func (s server) EmptyCart(ctx context.Context, r api.EmptyCartRequestObject) (api.EmptyCartResponseObject, error) {
	c, err := s.Empty(ctx, s.OfUser(me(ctx)), r.Params.IfMatch)
	return api.EmptyCart200JSONResponse{Body: shown(c), Headers: api.EmptyCart200ResponseHeaders{ETag: web.Version(c.Version)}}, err
}

// PutLine implements api.StrictServerInterface.
func (s server) PutLine(ctx context.Context, r api.PutLineRequestObject) (api.PutLineResponseObject, error) {
	l, err := lineOf(r.SkuID, r.Body)
	if err != nil {
		return nil, err
	}
	c, err := s.Put(ctx, s.OfUser(me(ctx)), r.Params.IfMatch, l)
	return api.PutLine200JSONResponse{Body: shown(c), Headers: api.PutLine200ResponseHeaders{ETag: web.Version(c.Version)}}, err
}

// RemoveLine implements api.StrictServerInterface.
func (s server) RemoveLine(ctx context.Context, r api.RemoveLineRequestObject) (api.RemoveLineResponseObject, error) {
	sku, err := skuOf(r.SkuID)
	if err != nil {
		return nil, err
	}
	c, err := s.Remove(ctx, s.OfUser(me(ctx)), r.Params.IfMatch, sku)
	return api.RemoveLine200JSONResponse{Body: shown(c), Headers: api.RemoveLine200ResponseHeaders{ETag: web.Version(c.Version)}}, err
}

// MergeCart implements api.StrictServerInterface.
func (s server) MergeCart(ctx context.Context, r api.MergeCartRequestObject) (api.MergeCartResponseObject, error) {
	c, left, err := s.Merge(ctx, me(ctx), GuestToken(r.Body.CartToken))
	if err != nil {
		return nil, err
	}
	body := api.MergedCart{Lines: shownLines(c), LeftOut: make([]api.SKUID, 0, len(left))}
	for _, sku := range left {
		body.LeftOut = append(body.LeftOut, text(sku))
	}
	return api.MergeCart200JSONResponse{Body: body, Headers: api.MergeCart200ResponseHeaders{ETag: web.Version(c.Version)}}, nil
}
