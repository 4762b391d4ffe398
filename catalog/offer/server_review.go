package offer

import (
	"context"

	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/web"
	"sluice/catalog/offer/internal/api"
)

// ListOfferReviews implements api.StrictServerInterface.
func (s server) ListOfferReviews(ctx context.Context, r api.ListOfferReviewsRequestObject) (api.ListOfferReviewsResponseObject, error) {
	after, err := queue.ParseCursor(r.Params.Cursor)
	if err != nil {
		return nil, malformed("", "%v", err)
	}
	page, next, err := s.Queue(ctx, after, r.Params.Limit.Or(pageLimit))
	if err != nil {
		return nil, err
	}
	list := api.ListOfferReviews200JSONResponse{Data: []api.OfferReviewItem{}, NextCursor: next.Next()}
	for _, w := range page {
		list.Data = append(list.Data, api.OfferReviewItem{OfferID: w.ID, SellerID: w.Seller, Version: int(w.Version), SubmittedAt: w.SubmittedAt.UTC()})
	}
	return list, nil
}

// ShowOfferReview implements api.StrictServerInterface.
func (s server) ShowOfferReview(ctx context.Context, r api.ShowOfferReviewRequestObject) (api.ShowOfferReviewResponseObject, error) {
	of, err := s.Reviewed(ctx, r.OfferID)
	if err != nil {
		return nil, err
	}
	return api.ShowOfferReview200JSONResponse{Body: forSeller(&of), Headers: api.ShowOfferReview200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// ClaimOffer implements api.StrictServerInterface.
func (s server) ClaimOffer(ctx context.Context, r api.ClaimOfferRequestObject) (api.ClaimOfferResponseObject, error) {
	of, err := s.Claim(ctx, caller(ctx, r.Params.IdempotencyKey), r.OfferID)
	if err != nil {
		return nil, err
	}
	return api.ClaimOffer200JSONResponse{Body: s.wrote(ctx, &of), Headers: api.ClaimOffer200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// DecideOffer implements api.StrictServerInterface.
func (s server) DecideOffer(ctx context.Context, r api.DecideOfferRequestObject) (api.DecideOfferResponseObject, error) {
	of, err := s.Decide(ctx, caller(ctx, r.Params.IdempotencyKey), r.OfferID, r.Params.IfMatch, Decision{r.Body.Approve, r.Body.Reason})
	if err != nil {
		return nil, err
	}
	return api.DecideOffer200JSONResponse{Body: s.wrote(ctx, &of), Headers: api.DecideOffer200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// OverruleOffer implements api.StrictServerInterface.
func (s server) OverruleOffer(ctx context.Context, r api.OverruleOfferRequestObject) (api.OverruleOfferResponseObject, error) {
	to := Stage(r.Body.Stage)
	if to != StageWithdrawn {
		return nil, malformed("/stage", "want withdrawn")
	}
	of, err := s.Overrule(ctx, caller(ctx, r.Params.IdempotencyKey), r.OfferID, r.Params.IfMatch, to, r.Body.Reason)
	if err != nil {
		return nil, err
	}
	return api.OverruleOffer200JSONResponse{Body: s.wrote(ctx, &of), Headers: api.OverruleOffer200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}
