package price_test

import (
	"testing"
	"time"

	"sluice/catalog/price"
)

// TestQuotesOfTheShop quotes SKUs of products in all places as of one moment, and reads the sealed text again.
func TestQuotesOfTheShop(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	ctx := t.Context()
	ask := price.Ask{User: 7, Market: "de"}
	for n := range 4 {
		id := productIn(uint16(n*256), 1)
		s.mustSet(id, 1, list(int64(1000*(n+1))), price.Wish{Kind: price.KindList, Channel: "app", Price: eur(500)})
		ask.Items = append(ask.Items, price.Want{SKU: skuOf(id, 0), Quantity: int64(n + 1)})
	}
	of, err := s.Quote(ctx, ask)
	if err != nil || of.Quote.Total != eur(1000+4000+9000+16000) || len(of.Quote.Lines) != 4 || of.Quote.Tax.Minor == 0 {
		t.Fatalf("the quote is %+v, %v", of.Quote, err)
	}
	if err := of.Quote.Check(); err != nil {
		t.Error(err)
	}
	if life := of.Quote.Ends.Sub(s.now(productIn(0, 1))); life > price.QuoteLife || life < price.QuoteLife-time.Minute {
		t.Errorf("the quote lives %v", life)
	}
	ask.Channel = "app"
	if of, err := s.Quote(ctx, ask); err != nil || of.Quote.Total != eur(500*(1+2+3+4)) {
		t.Errorf("in the app the quote is %+v, %v", of.Quote, err)
	}
	ask.Channel = ""

	pinned, err := s.Pinned(ctx, of.Sealed, 7)
	if err != nil || pinned.Total != of.Quote.Total || len(pinned.Lines) != 4 {
		t.Errorf("the text says %+v, %v", pinned, err)
	}
	if _, err := s.Pinned(ctx, of.Sealed, 8); codeOf(err) != "quote_invalid" {
		t.Errorf("somebody else's quote: %v", err)
	}
	if _, err := s.Pinned(ctx, of.Sealed[1:], 7); codeOf(err) != "quote_invalid" {
		t.Errorf("a text that was changed: %v", err)
	}

	refused := func(want string, edit func(*price.Ask)) {
		t.Helper()
		other := ask
		other.Items = append([]price.Want(nil), ask.Items...)
		edit(&other)
		if _, err := s.Quote(ctx, other); codeOf(err) != want {
			t.Errorf("%+v: %v, want %s", other, err, want)
		}
	}
	first := &ask.Items[0]
	product := productIn(0, 1)
	refused("unknown_market", func(a *price.Ask) { a.Market = "xx" })
	refused("malformed", func(a *price.Ask) { a.Market = "DE" })
	refused("malformed", func(a *price.Ask) { a.Channel = "App" })
	refused("malformed", func(a *price.Ask) { a.Items = nil })
	refused("malformed", func(a *price.Ask) { a.Items = make([]price.Want, 101) })
	refused("malformed", func(a *price.Ask) { a.Items[1] = *first })
	refused("malformed", func(a *price.Ask) { a.Items[0].Quantity = 0 })
	refused("malformed", func(a *price.Ask) { a.Items[0].Quantity = 1_000_001 })
	refused("no_price", func(a *price.Ask) { a.Market = "cn" })
	refused("no_price", func(a *price.Ask) { a.Items[0].SKU = skuOf(product, 1) }) // it has no price
	refused("no_price", func(a *price.Ask) { a.Items[0].SKU = skuOf(product, 3) }) // it is archived
	refused("no_price", func(a *price.Ask) { a.Items[0].SKU = skuOf(product, 4) }) // there is none
	refused("no_price", func(a *price.Ask) { a.Items[0].SKU = skuOf(998, 0) })     // it is not listed
	refused("no_price", func(a *price.Ask) { a.Items[0].SKU = skuOf(999, 0) })     // there is no product
	refused("no_price", func(a *price.Ask) { a.Items[0].SKU = 1<<62 + 1 })         // of a batch of coupons
}
