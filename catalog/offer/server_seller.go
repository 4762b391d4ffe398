package offer

import (
	"context"
	"strconv"
	"time"

	"sluice/catalog/internal/web"
	"sluice/catalog/offer/internal/api"
	"sluice/core/ids"
	"sluice/core/money"
)

// ListOffersOfSeller implements api.StrictServerInterface.
func (s server) ListOffersOfSeller(ctx context.Context, r api.ListOffersOfSellerRequestObject) (api.ListOffersOfSellerResponseObject, error) {
	page, more, err := s.List(ctx, reader(ctx), r.SellerID, r.Params.Cursor, r.Params.Limit.Or(pageLimit))
	if err != nil {
		return nil, err
	}
	list := api.ListOffersOfSeller200JSONResponse{Data: []api.OfferOfSeller{}}
	for i := range page {
		list.Data = append(list.Data, forSeller(&page[i]))
	}
	if more {
		text := page[len(page)-1].ID.String()
		list.NextCursor = &text
	}
	return list, nil
}

// MakeOffer implements api.StrictServerInterface.
func (s server) MakeOffer(ctx context.Context, r api.MakeOfferRequestObject) (api.MakeOfferResponseObject, error) {
	content, err := sent(r.Body)
	if err != nil {
		return nil, err
	}
	of, err := s.Make(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, content)
	if err != nil {
		return nil, err
	}
	return api.MakeOffer201JSONResponse{Body: s.wrote(ctx, &of), Headers: api.MakeOffer201ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// ShowOfferOfSeller implements api.StrictServerInterface.
func (s server) ShowOfferOfSeller(ctx context.Context, r api.ShowOfferOfSellerRequestObject) (api.ShowOfferOfSellerResponseObject, error) {
	of, err := s.OfSeller(ctx, reader(ctx), r.SellerID, r.OfferID)
	if err != nil {
		return nil, err
	}
	return api.ShowOfferOfSeller200JSONResponse{Body: forSeller(&of), Headers: api.ShowOfferOfSeller200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// ChangeOffer implements api.StrictServerInterface.
func (s server) ChangeOffer(ctx context.Context, r api.ChangeOfferRequestObject) (api.ChangeOfferResponseObject, error) {
	content, err := sent(r.Body)
	if err != nil {
		return nil, err
	}
	of, err := s.Change(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.OfferID, r.Params.IfMatch, content)
	if err != nil {
		return nil, err
	}
	return api.ChangeOffer200JSONResponse{Body: s.wrote(ctx, &of), Headers: api.ChangeOffer200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// MoveOffer implements api.StrictServerInterface.
func (s server) MoveOffer(ctx context.Context, r api.MoveOfferRequestObject) (api.MoveOfferResponseObject, error) {
	to := Stage(r.Body.Stage)
	if to != StageDraft && to != StageInReview && to != StageWithdrawn {
		return nil, malformed("/stage", "want draft, in_review or withdrawn")
	}
	of, err := s.Move(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.OfferID, r.Params.IfMatch, to)
	if err != nil {
		return nil, err
	}
	return api.MoveOffer200JSONResponse{Body: s.wrote(ctx, &of), Headers: api.MoveOffer200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// ListOfferMoves implements api.StrictServerInterface.
func (s server) ListOfferMoves(ctx context.Context, r api.ListOfferMovesRequestObject) (api.ListOfferMovesResponseObject, error) {
	all, err := s.Moves(ctx, reader(ctx), r.SellerID, r.OfferID)
	if err != nil {
		return nil, err
	}
	list := api.ListOfferMoves200JSONResponse{Data: []api.MadeMove{}}
	for _, m := range all {
		line := api.MadeMove{Version: int(m.Version), From: api.OfferStage(m.From), To: api.OfferStage(m.To), At: m.At.UTC(), Actor: m.Actor}
		if m.Reason != "" {
			line.Reason = &m.Reason
		}
		list.Data = append(list.Data, line)
	}
	return list, nil
}

// sent is content as it was sent. What Go's types do not say, Content.check looks at.
func sent(c *api.OfferContent) (of Content, err error) {
	of = Content{Market: c.Market, Texts: map[string]Text{}, Rules: Rules{HoldS: int64(c.Rules.HoldSeconds)}}
	if of.Currency, err = money.In(c.Currency); err != nil {
		return Content{}, malformed("/currency", "%v", err)
	}
	for _, at := range []struct {
		pointer, text string
		into          *time.Time
	}{{"/opens_at", c.OpensAt, &of.OpensAt}, {"/closes_at", c.ClosesAt, &of.ClosesAt}} {
		if *at.into, err = time.Parse(momentForm, at.text); err != nil {
			return Content{}, malformed(at.pointer, "want a moment in UTC such as 2026-11-11T20:00:00Z")
		}
	}
	for locale, t := range c.Texts {
		text := Text{Title: t.Title}
		if t.Description != nil {
			text.Description = *t.Description
		}
		of.Texts[locale] = text
	}
	for i, item := range c.Items {
		sku, ok := ids.Parse(item.SkuID)
		if !ok {
			return Content{}, malformed("/items/"+strconv.Itoa(i)+"/sku_id", "want an integer from 1 to 9223372036854775807")
		}
		of.Items = append(of.Items, Item{sku, int64(item.Units), int64(item.Price)})
	}
	if c.Rules.Limit != nil {
		if of.Rules.Limit = int64(*c.Rules.Limit); of.Rules.Limit < 1 {
			return Content{}, malformed("/rules/limit", "want 1 to %d units", limitMax)
		}
	}
	of.Rules.Registered = c.Rules.RegisteredOnly != nil && *c.Rules.RegisteredOnly
	return of, nil
}

// momentForm is how times are written.
const momentForm = "2006-01-02T15:04:05.999Z"

// forSeller is an offer as the API shows it to its seller.
func forSeller(o *Offer) api.OfferOfSeller {
	c := shownContent(&o.Content)
	return api.OfferOfSeller{
		OfferID: o.ID, SellerID: o.Seller, Stage: api.OfferStage(o.Stage), Version: int(o.Version), MadeAt: o.MadeAt.UTC(),
		Market: c.Market, Currency: c.Currency, Texts: c.Texts, Items: c.Items, OpensAt: c.OpensAt, ClosesAt: c.ClosesAt, Rules: c.Rules,
	}
}

// shownContent is content as the API shows it.
func shownContent(c *Content) api.OfferContent {
	of := api.OfferContent{
		Market: c.Market, Currency: c.Currency.String(), Texts: api.OfferTexts{}, Items: api.OfferItems{},
		OpensAt: c.OpensAt.UTC().Format(momentForm), ClosesAt: c.ClosesAt.UTC().Format(momentForm),
		Rules: api.OfferRules{HoldSeconds: int(c.Rules.HoldS), RegisteredOnly: &c.Rules.Registered},
	}
	for locale, t := range c.Texts {
		text := api.OfferText{Title: t.Title}
		if t.Description != "" {
			text.Description = &t.Description
		}
		of.Texts[locale] = text
	}
	for _, item := range c.Items {
		of.Items = append(of.Items, api.OfferItem{SkuID: strconv.FormatInt(item.SKU, 10), Units: int(item.Units), Price: int(item.Price)})
	}
	if c.Rules.Limit > 0 {
		limit := int(c.Rules.Limit)
		of.Rules.Limit = &limit
	}
	return of
}
