package price

import (
	"context"
	"strconv"
	"time"

	"sluice/catalog/internal/web"
	"sluice/catalog/price/internal/api"
	"sluice/core/ids"
)

// changesLimit is how many changes a page has if nobody says.
const changesLimit = 20

// skuOfPath reads the SKU of a path.
func skuOfPath(text string) (int64, error) {
	sku, ok := ids.Parse(text)
	if !ok {
		return 0, malformed("", "the sku_id of the path: want an integer from 1 to 9223372036854775807")
	}
	return sku, nil
}

// ShowPrices implements api.StrictServerInterface.
func (s server) ShowPrices(ctx context.Context, r api.ShowPricesRequestObject) (api.ShowPricesResponseObject, error) {
	sku, err := skuOfPath(r.SkuID)
	if err != nil {
		return nil, err
	}
	of, err := s.OfSeller(ctx, reader(ctx), r.SellerID, r.ProductID, sku, r.Market)
	if err != nil {
		return nil, err
	}
	return api.ShowPrices200JSONResponse{Body: shownSet(&of), Headers: api.ShowPrices200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// SetPrices implements api.StrictServerInterface.
func (s server) SetPrices(ctx context.Context, r api.SetPricesRequestObject) (api.SetPricesResponseObject, error) {
	sku, err := skuOfPath(r.SkuID)
	if err != nil {
		return nil, err
	}
	wishes, err := wishesOf(r.Body.Prices)
	if err != nil {
		return nil, err
	}
	of, err := s.Pricing.SetPrices(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.ProductID, sku, r.Market, r.Params.IfMatch, wishes)
	if err != nil {
		return nil, err
	}
	web.Wrote(ctx, s.databases.At(shardOf(sku)).Position(ctx))
	return api.SetPrices200JSONResponse{Body: shownSet(&of), Headers: api.SetPrices200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// ListPriceChanges implements api.StrictServerInterface.
func (s server) ListPriceChanges(ctx context.Context, r api.ListPriceChangesRequestObject) (api.ListPriceChangesResponseObject, error) {
	sku, err := skuOfPath(r.SkuID)
	if err != nil {
		return nil, err
	}
	var before int64
	if r.Params.Cursor != "" {
		if before, err = strconv.ParseInt(r.Params.Cursor, 10, 64); err != nil || before < 1 || strconv.FormatInt(before, 10) != r.Params.Cursor {
			return nil, malformed("", "the cursor is not one of this list")
		}
	}
	page, more, err := s.Changes(ctx, reader(ctx), r.SellerID, r.ProductID, sku, r.Market, before, r.Params.Limit.Or(changesLimit))
	if err != nil {
		return nil, err
	}
	list := api.ListPriceChanges200JSONResponse{Data: []api.PriceChange{}}
	for _, c := range page {
		list.Data = append(list.Data, api.PriceChange{Version: int(c.Version), At: c.At.UTC(), Actor: c.Actor, Prices: shownRanges(c.Prices)})
	}
	if more {
		text := strconv.FormatInt(page[len(page)-1].Version, 10)
		list.NextCursor = &text
	}
	return list, nil
}

// ShowPricesOfProduct implements api.StrictServerInterface.
func (s server) ShowPricesOfProduct(ctx context.Context, r api.ShowPricesOfProductRequestObject) (api.ShowPricesOfProductResponseObject, error) {
	of, err := s.OfProduct(ctx, r.ProductID, r.Params.Market, Channel(r.Params.Channel))
	if err != nil {
		return nil, err
	}
	list := api.ShowPricesOfProduct200JSONResponse{
		ProductID: r.ProductID, Market: of.Market.Code, Currency: of.Market.Currency.String(), TaxInclusive: of.Market.Regime.Inclusive, At: of.At.UTC(),
		Data: []api.ShownPrice{},
	}
	for i := range of.Shown {
		list.Data = append(list.Data, shownPrice(&of.Shown[i]))
	}
	return list, nil
}

// shownPrice is what a unit costs, as the API shows it.
func shownPrice(s *Shown) api.ShownPrice {
	to := api.ShownPrice{
		SkuID: strconv.FormatInt(s.SKU, 10), List: s.Unit.List.Minor, Price: s.Unit.Price.Minor, Kind: api.PriceKind(s.Unit.Kind), Until: moment(s.Until),
	}
	if s.Lowest != nil {
		to.Lowest30Days, to.ReducedSince = &s.Lowest.Price.Minor, moment(s.Lowest.Began)
	}
	if len(s.Members) > 0 {
		members := make([]api.MemberPrice, len(s.Members))
		for i, m := range s.Members {
			members[i] = api.MemberPrice{Level: int(m.Level), Price: m.Price.Minor}
		}
		to.Members = &members
	}
	return to
}

// wishesOf are prices as they were sent.
func wishesOf(sent []api.PriceWish) ([]Wish, error) {
	wishes := make([]Wish, len(sent))
	for i, s := range sent {
		w := Wish{Kind: Kind(s.Kind), Price: s.Price, From: s.From.Time, To: s.To.Time}
		pointer := "/prices/" + strconv.Itoa(i)
		if s.PriceID != nil {
			w.ID = *s.PriceID
		}
		if s.Channel != nil {
			if w.Channel = Channel(*s.Channel); w.Channel == "" {
				return nil, malformed(pointer+"/channel", wordWanted)
			}
		}
		if s.Level != nil {
			if w.Level = Level(*s.Level); w.Level < 1 {
				return nil, malformed(pointer+"/level", "want 1 to %d for members", LevelMax)
			}
		}
		wishes[i] = w
	}
	return wishes, nil
}

// shownSet are prices as the API shows them to their seller.
func shownSet(of *Set) api.PricesOfSKU {
	return api.PricesOfSKU{SkuID: strconv.FormatInt(of.SKU, 10), Market: of.Market, Version: int(of.Version), Prices: shownRanges(of.Prices)}
}

func shownRanges(p Prices) []api.PriceOfSKU {
	all := make([]api.PriceOfSKU, len(p))
	for i := range p {
		r := &p[i]
		all[i] = api.PriceOfSKU{PriceID: r.ID, Kind: api.PriceKind(r.Kind), Price: r.Price, From: r.From.UTC(), To: moment(r.To)}
		if r.Channel != "" {
			channel := string(r.Channel)
			all[i].Channel = &channel
		}
		if r.Level != 0 {
			level := int(r.Level)
			all[i].Level = &level
		}
	}
	return all
}

// moment is a moment, if it is one.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
