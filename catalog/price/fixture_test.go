package price

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"sluice/core/ids"
	"sluice/core/money"
	"sluice/core/problem"
)

// start is when what tests make begins.
var start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func day(n int) time.Time { return start.AddDate(0, 0, n) }

// codeOf is the code of a refusal.
func codeOf(err error) string {
	if p := new(problem.Problem); errors.As(err, &p) {
		return p.Kind.Code
	}
	return ""
}

func mustIn(code string) money.Currency {
	c, err := money.In(code)
	if err != nil {
		panic(err)
	}
	return c
}

func eur(minor int64) money.Amount { return money.Amount{Minor: minor, Currency: mustIn("EUR")} }

// marketOf is a market whose prices have the tax in them, or not.
func marketOf(inclusive bool) *Market {
	return &Market{
		Code: "de", Currency: mustIn("EUR"), Locale: "de", PriceMax: money.MinorMax,
		Regime: Regime{Inclusive: inclusive, Rounding: money.HalfUp, Rates: map[string]Rate{"standard": 190_000, "reduced": 70_000, "none": 0}},
	}
}

// skuOf is the first SKU of a product.
func skuOf(product int) int64 {
	sku, _ := ids.SKU(ids.Product(product), 0)
	return sku
}

// itemOf is units of the first SKU of a product at a price.
func itemOf(product int, quantity, minor int64) Item {
	return Item{
		SKU: skuOf(product), Quantity: quantity, Seller: 1, TaxCategory: "standard",
		Unit: Unit{List: eur(minor), Price: eur(minor), Kind: KindList, Source: ids.Price(product)},
	}
}

func requestOf(items ...Item) Request {
	return Request{Market: marketOf(true), User: 7, Channel: "web", At: day(0), Items: items}
}

// promotionOf is one of the platform for all goods.
func promotionOf(id int, s Strategy) Promotion {
	return Promotion{ID: ids.Promotion(id), Terms: Terms{Funder: Platform, Span: Span{From: start}}, Strategy: s}
}

// couponOf takes an amount off all goods.
func couponOf(id int, minor int64) Coupon {
	return Coupon{ID: ids.Coupon(id), Batch: int64(id), Terms: Terms{Funder: Platform, Span: Span{From: start}}, Off: eur(minor)}
}

func mustQuote(t *testing.T, r Request) Quote {
	t.Helper()
	q, err := NewQuote(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Check(); err != nil {
		t.Fatalf("%v: %+v", err, q)
	}
	return q
}

// diced makes requests by a seed that is printed.
type diced struct{ *rand.Rand }

func dice(t *testing.T) diced {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return diced{rand.New(rand.NewPCG(seed, 0))}
}

func (d diced) terms() Terms {
	terms := Terms{Funder: Platform, Span: Span{From: start}}
	switch d.IntN(4) {
	case 0:
		terms.Seller, terms.Funder = ids.Seller(1+d.IntN(2)), Seller
	case 1:
		terms.Funder = Seller
	}
	switch d.IntN(4) {
	case 0:
		terms.Scope.SKUs = []int64{skuOf(1 + d.IntN(5)), skuOf(1 + d.IntN(5))}
	case 1:
		terms.Scope.Categories = []ids.Category{ids.Category(1 + d.IntN(3))}
	}
	if d.IntN(6) == 0 {
		terms.Channels = []Channel{"app"}
	}
	if d.IntN(6) == 0 {
		terms.Level = Level(d.IntN(4))
	}
	if d.IntN(8) == 0 {
		terms.To = day(d.IntN(2)).Add(time.Hour)
	}
	return terms
}

func (d diced) rate() Rate { return Rate(1 + d.Int64N(int64(Whole))) }

func (d diced) strategy() Strategy {
	switch d.IntN(5) {
	case 0:
		return Percentage{d.rate()}
	case 1:
		return AmountOff{eur(1 + d.Int64N(3000))}
	case 2:
		low := 1 + d.Int64N(400_000)
		return Tiers{{1, Rate(low)}, {3, Rate(low + d.Int64N(500_000))}}
	case 3:
		buy := 2 + d.Int64N(5)
		return BuyPay{buy, 1 + d.Int64N(buy-1)}
	}
	b := Bundle{Price: eur(d.Int64N(6000))}
	for _, product := range d.Perm(5)[:1+d.IntN(3)] {
		b.Parts = append(b.Parts, Part{skuOf(1 + product), 1 + d.Int64N(3)})
	}
	return b
}

func (d diced) coupon(id int) Coupon {
	c := Coupon{ID: ids.Coupon(id), Batch: int64(id), Terms: d.terms()}
	if d.IntN(2) == 0 {
		c.Off = eur(1 + d.Int64N(4000))
	} else {
		c.Part = d.rate()
		if d.IntN(2) == 0 {
			c.OffMax = eur(1 + d.Int64N(2000))
		}
	}
	if d.IntN(3) == 0 {
		c.Minimum = eur(1 + d.Int64N(8000))
	}
	if d.IntN(3) == 0 {
		c.Group = []string{"a", "b"}[d.IntN(2)]
	}
	c.Alone = d.IntN(6) == 0
	return c
}

// request is one with up to five items of two sellers, eight promotions and six coupons.
func (d diced) request() Request {
	r := requestOf()
	r.Market = marketOf(d.IntN(2) == 0)
	r.Market.Regime.Rounding = money.Rounding(d.IntN(4))
	r.Level, r.Channel, r.At = Level(d.IntN(5)), []Channel{"web", "app"}[d.IntN(2)], day(d.IntN(2))
	for _, product := range d.Perm(5)[:1+d.IntN(5)] {
		i := itemOf(1+product, 1+d.Int64N(9), d.Int64N(3000))
		i.Seller = ids.Seller(1 + product%2)
		i.Categories = []ids.Category{ids.Category(1 + product%3)}
		i.TaxCategory = []string{"standard", "reduced", "none"}[d.IntN(3)]
		r.Items = append(r.Items, i)
	}
	for id := range d.IntN(9) {
		p := Promotion{ID: ids.Promotion(id + 1), Rank: d.IntN(3), Terms: d.terms(), Strategy: d.strategy()}
		r.Promotions = append(r.Promotions, p)
	}
	for id := range d.IntN(7) {
		r.Coupons = append(r.Coupons, d.coupon(id+1))
	}
	return r
}
