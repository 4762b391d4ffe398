package product

import (
	"context"

	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/web"
	"sluice/catalog/product/internal/api"
)

// ListProductReviews implements api.StrictServerInterface.
func (s server) ListProductReviews(ctx context.Context, r api.ListProductReviewsRequestObject) (api.ListProductReviewsResponseObject, error) {
	after, err := queue.ParseCursor(r.Params.Cursor)
	if err != nil {
		return nil, malformed("", "%v", err)
	}
	page, next, err := s.Queue(ctx, after, r.Params.Limit.Or(pageLimit))
	if err != nil {
		return nil, err
	}
	list := api.ListProductReviews200JSONResponse{Data: []api.ProductReviewItem{}}
	for _, w := range page {
		list.Data = append(list.Data, api.ProductReviewItem{ProductID: w.ID, SellerID: w.Seller, Version: int(w.Version), SubmittedAt: w.SubmittedAt.UTC()})
	}
	list.NextCursor = next.Next()
	return list, nil
}

// ShowProductReview implements api.StrictServerInterface.
func (s server) ShowProductReview(ctx context.Context, r api.ShowProductReviewRequestObject) (api.ShowProductReviewResponseObject, error) {
	w, err := s.Reviewed(ctx, r.ProductID)
	if err != nil {
		return nil, err
	}
	body, err := s.shownWhole(ctx, &w)
	if err != nil {
		return nil, err
	}
	return api.ShowProductReview200JSONResponse{Body: body, Headers: api.ShowProductReview200ResponseHeaders{ETag: web.Version(w.Version)}}, nil
}

// ClaimProduct implements api.StrictServerInterface.
func (s server) ClaimProduct(ctx context.Context, r api.ClaimProductRequestObject) (api.ClaimProductResponseObject, error) {
	of, err := s.Claim(ctx, caller(ctx, r.Params.IdempotencyKey), r.ProductID)
	if err != nil {
		return nil, err
	}
	return api.ClaimProduct200JSONResponse{Body: s.wroteProduct(ctx, &of), Headers: api.ClaimProduct200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// DecideProduct implements api.StrictServerInterface.
func (s server) DecideProduct(ctx context.Context, r api.DecideProductRequestObject) (api.DecideProductResponseObject, error) {
	of, err := s.Decide(ctx, caller(ctx, r.Params.IdempotencyKey), r.ProductID, r.Params.IfMatch, Decision{r.Body.Approve, r.Body.Reason})
	if err != nil {
		return nil, err
	}
	return api.DecideProduct200JSONResponse{Body: s.wroteProduct(ctx, &of), Headers: api.DecideProduct200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// OverruleProduct implements api.StrictServerInterface.
func (s server) OverruleProduct(ctx context.Context, r api.OverruleProductRequestObject) (api.OverruleProductResponseObject, error) {
	to := Stage(r.Body.Stage)
	if to != StageDelisted && to != StageArchived {
		return nil, malformed("/stage", "want delisted or archived")
	}
	of, err := s.Products.OverruleProduct(ctx, caller(ctx, r.Params.IdempotencyKey), r.ProductID, r.Params.IfMatch, to, r.Body.Reason)
	if err != nil {
		return nil, err
	}
	return api.OverruleProduct200JSONResponse{Body: s.wroteProduct(ctx, &of), Headers: api.OverruleProduct200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}
