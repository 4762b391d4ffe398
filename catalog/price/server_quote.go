package price

import (
	"context"

	"sluice/catalog/internal/web"
	"sluice/catalog/price/internal/api"
	"sluice/core/ids"
)

// MakeQuote implements api.StrictServerInterface.
func (s server) MakeQuote(ctx context.Context, r api.MakeQuoteRequestObject) (api.MakeQuoteResponseObject, error) {
	ask := Ask{User: ids.User(web.Who(ctx).Subject), Market: r.Body.Market}
	if r.Body.Channel != nil {
		if ask.Channel = Channel(*r.Body.Channel); ask.Channel == "" {
			return nil, malformed("/channel", wordWanted)
		}
	}
	for i, item := range r.Body.Items {
		sku, ok := ids.Parse(item.SkuID)
		if !ok {
			return nil, malformed(itemPointer(i)+"/sku_id", "want an integer from 1 to 9223372036854775807, in digits")
		}
		ask.Items = append(ask.Items, Want{sku, item.Quantity})
	}
	of, err := s.Quote(ctx, ask)
	if err != nil {
		return nil, err
	}
	return api.MakeQuote200JSONResponse{Quote: of.Quote, Sealed: of.Sealed}, nil
}
