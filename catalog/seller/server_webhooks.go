package seller

import (
	"context"
	"strconv"

	"sluice/catalog/internal/web"
	"sluice/catalog/seller/internal/api"
	"sluice/core/ids"
)

// deliveriesLimit is how many deliveries a page has if nobody says.
const deliveriesLimit = 50

// ListWebhooks implements api.StrictServerInterface.
func (s server) ListWebhooks(ctx context.Context, r api.ListWebhooksRequestObject) (api.ListWebhooksResponseObject, error) {
	all, err := s.Webhooks(ctx, me(ctx), r.SellerID)
	if err != nil {
		return nil, err
	}
	list := api.ListWebhooks200JSONResponse{Data: []api.Webhook{}}
	for i := range all {
		list.Data = append(list.Data, shownWebhook(&all[i]))
	}
	return list, nil
}

// MakeWebhook implements api.StrictServerInterface.
func (s server) MakeWebhook(ctx context.Context, r api.MakeWebhookRequestObject) (api.MakeWebhookResponseObject, error) {
	types, err := kinds(r.Body.Types)
	if err != nil {
		return nil, err
	}
	secret, w, err := s.Sellers.MakeWebhook(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, WebhookWish{URL: r.Body.URL, Types: types})
	if err != nil {
		return nil, err
	}
	s.changed(ctx, r.SellerID)
	of := shownWebhook(&w)
	return api.MakeWebhook201JSONResponse{
		Body: api.NewWebhook{
			Secret: secret.Reveal(), WebhookID: of.WebhookID, URL: of.URL, Types: of.Types, State: of.State, DisabledFor: of.DisabledFor, FailingSince: of.FailingSince,
			SecretBeforeEndsAt: of.SecretBeforeEndsAt, MadeAt: of.MadeAt, Version: of.Version,
		},
		Headers: api.MakeWebhook201ResponseHeaders{ETag: web.Version(w.Version)},
	}, nil
}

// ShowWebhook implements api.StrictServerInterface.
func (s server) ShowWebhook(ctx context.Context, r api.ShowWebhookRequestObject) (api.ShowWebhookResponseObject, error) {
	w, err := s.Webhook(ctx, me(ctx), r.SellerID, r.WebhookID)
	if err != nil {
		return nil, err
	}
	return api.ShowWebhook200JSONResponse{Body: shownWebhook(&w), Headers: api.ShowWebhook200ResponseHeaders{ETag: web.Version(w.Version)}}, nil
}

// ChangeWebhook implements api.StrictServerInterface.
func (s server) ChangeWebhook(ctx context.Context, r api.ChangeWebhookRequestObject) (api.ChangeWebhookResponseObject, error) {
	types, err := kinds(r.Body.Types)
	if err != nil {
		return nil, err
	}
	wish := WebhookWish{URL: r.Body.URL, Types: types}
	switch r.Body.State {
	case webhookActive:
	case webhookDisabled:
		wish.Disabled = true
	default:
		return nil, malformed("/state", "want active or disabled")
	}
	w, err := s.Sellers.ChangeWebhook(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.WebhookID, r.Params.IfMatch, wish)
	if err != nil {
		return nil, err
	}
	s.changed(ctx, r.SellerID)
	return api.ChangeWebhook200JSONResponse{Body: shownWebhook(&w), Headers: api.ChangeWebhook200ResponseHeaders{ETag: web.Version(w.Version)}}, nil
}

// RemoveWebhook implements api.StrictServerInterface.
func (s server) RemoveWebhook(ctx context.Context, r api.RemoveWebhookRequestObject) (api.RemoveWebhookResponseObject, error) {
	if err := s.Sellers.RemoveWebhook(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.WebhookID); err != nil {
		return nil, err
	}
	s.changed(ctx, r.SellerID)
	return api.RemoveWebhook204Response{}, nil
}

// RotateWebhook implements api.StrictServerInterface.
func (s server) RotateWebhook(ctx context.Context, r api.RotateWebhookRequestObject) (api.RotateWebhookResponseObject, error) {
	secret, w, err := s.Sellers.RotateWebhook(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.WebhookID)
	if err != nil {
		return nil, err
	}
	s.changed(ctx, r.SellerID)
	return api.RotateWebhook200JSONResponse{Secret: secret.Reveal(), SecretBeforeEndsAt: shown(w.BeforeEndsAt)}, nil
}

// TestWebhook implements api.StrictServerInterface.
func (s server) TestWebhook(ctx context.Context, r api.TestWebhookRequestObject) (api.TestWebhookResponseObject, error) {
	d, err := s.Sellers.TestWebhook(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.WebhookID)
	if err != nil {
		return nil, err
	}
	s.changed(ctx, r.SellerID)
	return api.TestWebhook202JSONResponse(shownDelivery(&d)), nil
}

// ListDeliveries implements api.StrictServerInterface.
func (s server) ListDeliveries(ctx context.Context, r api.ListDeliveriesRequestObject) (api.ListDeliveriesResponseObject, error) {
	before := int64(0)
	if r.Params.Cursor != "" {
		n, ok := ids.Parse(r.Params.Cursor)
		if !ok {
			return nil, web.Malformed("", "the cursor is not one of this list")
		}
		before = n
	}
	all, next, err := s.Deliveries(ctx, me(ctx), r.SellerID, r.WebhookID, before, r.Params.Limit.Or(deliveriesLimit))
	if err != nil {
		return nil, err
	}
	list := api.ListDeliveries200JSONResponse{Data: []api.Delivery{}}
	for i := range all {
		list.Data = append(list.Data, shownDelivery(&all[i]))
	}
	if next != 0 {
		text := strconv.FormatInt(next, 10)
		list.NextCursor = &text
	}
	return list, nil
}

// Redeliver implements api.StrictServerInterface.
func (s server) Redeliver(ctx context.Context, r api.RedeliverRequestObject) (api.RedeliverResponseObject, error) {
	d, err := s.Sellers.Redeliver(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.WebhookID, r.EventID)
	if err != nil {
		return nil, err
	}
	s.changed(ctx, r.SellerID)
	return api.Redeliver202JSONResponse(shownDelivery(&d)), nil
}

// kinds are the types of events of a request; none if it names none.
func kinds(sent *[]api.WebhookType) (all []string, err error) {
	if sent == nil {
		return nil, nil
	}
	if len(*sent) == 0 {
		return nil, malformed("/types", "want one or more, or leave it out for all")
	}
	for _, kind := range *sent {
		all = append(all, string(kind))
	}
	return all, nil
}

func shownWebhook(w *Webhook) api.Webhook {
	of := api.Webhook{
		WebhookID: w.ID, URL: w.URL, State: api.WebhookState(w.State), FailingSince: unlessZero(w.FailingSince), SecretBeforeEndsAt: unlessZero(w.BeforeEndsAt),
		MadeAt: shown(w.MadeAt), Version: int(w.Version),
	}
	if w.DisabledFor != "" {
		why := api.WebhookDisabledFor(w.DisabledFor)
		of.DisabledFor = &why
	}
	if len(w.Types) > 0 {
		types := []api.WebhookType{}
		for _, kind := range w.Types {
			types = append(types, api.WebhookType(kind))
		}
		of.Types = &types
	}
	return of
}

func shownDelivery(d *Delivery) api.Delivery {
	of := api.Delivery{
		EventID: d.Event, Type: d.Type, At: shown(d.At), State: api.DeliveryState(d.State), Attempts: d.Attempts, TriedAt: unlessZero(d.TriedAt), DueAt: unlessZero(d.DueAt),
	}
	if d.Outcome != "" {
		outcome := api.DeliveryOutcome(d.Outcome)
		of.Outcome = &outcome
	}
	if d.Status != 0 {
		of.Status = &d.Status
	}
	return of
}
