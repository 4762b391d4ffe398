package seller

import (
	"context"

	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/web"
	"sluice/catalog/seller/internal/api"
	"sluice/core/ids"
)

// pageLimit is how many sellers a page has if nobody says.
const pageLimit = 50

// ListReviews implements api.StrictServerInterface.
func (s server) ListReviews(ctx context.Context, r api.ListReviewsRequestObject) (api.ListReviewsResponseObject, error) {
	after, err := queue.ParseCursor(r.Params.Cursor)
	if err != nil {
		return nil, web.Malformed("", "%v", err)
	}
	all, next, err := s.Queue(ctx, after, r.Params.Limit.Or(pageLimit))
	if err != nil {
		return nil, err
	}
	list := api.ListReviews200JSONResponse{Data: []api.ReviewItem{}}
	for _, w := range all {
		list.Data = append(list.Data, api.ReviewItem{
			SellerID: w.ID, State: api.SellerState(w.State), AppliedAt: shown(w.AppliedAt), Version: int(w.Version), Approvals: append([]ids.User{}, w.Approvals...),
		})
	}
	list.NextCursor = next.Next()
	return list, nil
}

// ShowReview implements api.StrictServerInterface.
func (s server) ShowReview(ctx context.Context, r api.ShowReviewRequestObject) (api.ShowReviewResponseObject, error) {
	of, err := s.Review(ctx, r.SellerID)
	if err != nil {
		return nil, err
	}
	body := api.Review{
		SellerID: of.ID, State: api.SellerState(of.State), AppliedAt: shown(of.AppliedAt), Version: int(of.Version),
		Approvals: append([]ids.User{}, of.Approvals...), History: []api.Move{}, Application: shownApplication(of.Application),
	}
	if of.ClaimedBy != 0 {
		ends := shown(of.ClaimEndsAt)
		body.ClaimedBy, body.ClaimEndsAt = &of.ClaimedBy, &ends
	}
	for _, m := range of.History {
		line := api.Move{At: shown(m.At), To: api.SellerState(m.To), Actor: m.Actor}
		if m.From != "" {
			from := api.SellerState(m.From)
			line.From = &from
		}
		if m.Reason != "" {
			line.Reason = &m.Reason
		}
		body.History = append(body.History, line)
	}
	return api.ShowReview200JSONResponse{Body: body, Headers: api.ShowReview200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// ClaimReview implements api.StrictServerInterface.
func (s server) ClaimReview(ctx context.Context, r api.ClaimReviewRequestObject) (api.ClaimReviewResponseObject, error) {
	of, err := s.Claim(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID)
	if err != nil {
		return nil, err
	}
	return api.ClaimReview200JSONResponse{Body: s.wrote(ctx, of), Headers: api.ClaimReview200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// DecideReview implements api.StrictServerInterface.
func (s server) DecideReview(ctx context.Context, r api.DecideReviewRequestObject) (api.DecideReviewResponseObject, error) {
	of, err := s.Decide(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.Params.IfMatch, Decision{r.Body.Approve, r.Body.Reason})
	if err != nil {
		return nil, err
	}
	return api.DecideReview200JSONResponse{Body: s.wrote(ctx, of), Headers: api.DecideReview200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// MoveSeller implements api.StrictServerInterface.
func (s server) MoveSeller(ctx context.Context, r api.MoveSellerRequestObject) (api.MoveSellerResponseObject, error) {
	to := State(r.Body.State)
	switch to {
	case StateOpen, StateSuspended, StateClosing, StateClosed:
	case StateApplied, StateInReview, StateRejected:
		return nil, malformed("/state", "want open, suspended, closing or closed")
	default:
		return nil, malformed("/state", "want open, suspended, closing or closed")
	}
	of, err := s.Move(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.Params.IfMatch, to, r.Body.Reason)
	if err != nil {
		return nil, err
	}
	return api.MoveSeller200JSONResponse{Body: s.wrote(ctx, of), Headers: api.MoveSeller200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}
