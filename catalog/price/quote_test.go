package price

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/ids"
	"sluice/core/money"
)

// amounts lets amounts be compared.
var amounts = cmp.AllowUnexported(money.Currency{})

const rounds = 1000

// TestQuotesAddUp makes quotes at random. Whatever promotions, coupons and taxes come together, the lines add up to the total to the last
// minor unit, and nothing is below 0.
func TestQuotesAddUp(t *testing.T) {
	t.Parallel()
	d := dice(t)
	seen := map[string]int{}
	for range rounds {
		r := d.request()
		q := mustQuote(t, r)
		var lines, discount int64
		for _, l := range q.Lines {
			lines += l.Total.Minor
			if l.Total.Minor < 0 || l.Tax.Minor < 0 {
				t.Fatalf("a line is below 0: %+v", l)
			}
			for _, a := range l.Adjustments {
				discount += a.Amount.Minor
				seen[string(a.Kind)+" "+a.Strategy]++
			}
		}
		net := q.Goods.Minor + discount
		if !q.Inclusive {
			net += q.Tax.Minor
		}
		if lines != q.Total.Minor || net != q.Total.Minor || discount != q.Discount.Minor {
			t.Fatalf("%+v", q)
		}
		var byCoupons, byOutcomes int64
		for _, l := range q.Lines {
			for _, a := range l.Adjustments {
				if a.Kind == ByCoupon {
					byCoupons -= a.Amount.Minor
				}
			}
		}
		for _, c := range q.Coupons {
			byOutcomes += c.Amount.Minor
			seen[string(c.Reason)]++
			if c.Used == (c.Reason != "") || c.Used != (c.Amount.Minor > 0) {
				t.Fatalf("what becomes of a coupon: %+v", c)
			}
		}
		if byCoupons != byOutcomes || len(q.Coupons) != len(r.Coupons) {
			t.Fatalf("coupons take %d off lines, and say %d: %+v", byCoupons, byOutcomes, q)
		}
	}
	for _, what := range []string{
		"promotion percentage", "promotion amount", "promotion tiers", "promotion buy_pay", "promotion bundle", "coupon percentage", "coupon amount", "",
		string(Ended), string(OtherChannel), string(LevelTooLow), string(NoGoods), string(BelowMinimum), string(NotTogether), string(NoGain),
	} {
		if seen[what] == 0 {
			t.Errorf("no quote has %q", what)
		}
	}
}

// The order in which items, promotions and coupons are given means nothing.
func TestOrderMeansNothing(t *testing.T) {
	t.Parallel()
	d := dice(t)
	for range rounds {
		r := d.request()
		want := mustQuote(t, r)
		other := r
		other.Items, other.Promotions, other.Coupons = slices.Clone(r.Items), slices.Clone(r.Promotions), slices.Clone(r.Coupons)
		d.Shuffle(len(other.Items), func(i, j int) { other.Items[i], other.Items[j] = other.Items[j], other.Items[i] })
		d.Shuffle(len(other.Promotions), func(i, j int) {
			other.Promotions[i], other.Promotions[j] = other.Promotions[j], other.Promotions[i]
		})
		d.Shuffle(len(other.Coupons), func(i, j int) { other.Coupons[i], other.Coupons[j] = other.Coupons[j], other.Coupons[i] })
		if diff := cmp.Diff(want, mustQuote(t, other), amounts); diff != "" {
			t.Fatalf("in another order (-want +got):\n%s", diff)
		}
	}
}

// Another coupon never makes it dearer, nor do all sets and promotions together.
func TestNothingAddedCostsMore(t *testing.T) {
	t.Parallel()
	d := dice(t)
	for range rounds {
		r := d.request()
		plain := r
		plain.Promotions, plain.Coupons = nil, nil
		before := mustQuote(t, plain).Total.Minor
		plain.Promotions = r.Promotions
		if after := mustQuote(t, plain).Total.Minor; after > before {
			t.Fatalf("%d with promotions, %d without", after, before)
		}
		for n := range len(r.Coupons) + 1 {
			plain.Coupons = r.Coupons[:n]
			after := mustQuote(t, plain).Total.Minor
			if after > before {
				t.Fatalf("%d with %d coupons, %d with one less: %+v", after, n, before, r)
			}
			before = after
		}
	}
}

// A promotion without sets never makes it dearer.
func TestNoPromotionOfLinesCostsMore(t *testing.T) {
	t.Parallel()
	d := dice(t)
	for range rounds {
		r := d.request()
		r.Coupons = nil
		r.Promotions = slices.DeleteFunc(r.Promotions, func(p Promotion) bool { _, ok := p.Strategy.(ofSet); return ok })
		before := int64(money.MinorMax)
		for n := range len(r.Promotions) + 1 {
			with := r
			with.Promotions = r.Promotions[:n]
			after := mustQuote(t, with).Total.Minor
			if after > before {
				t.Fatalf("%d with %d promotions, %d with one less", after, n, before)
			}
			before = after
		}
	}
}

// What cannot be quoted is refused, and says where.
func TestWhatIsNotQuoted(t *testing.T) {
	t.Parallel()
	f := func(what, code string, change func(*Request)) {
		t.Helper()
		r := requestOf(itemOf(1, 2, 1000))
		change(&r)
		if q, err := NewQuote(r); codeOf(err) != code {
			t.Errorf("%s: %+v, %v, want %s", what, q, err, code)
		}
	}
	f("no items", "malformed", func(r *Request) { r.Items = nil })
	f("too many items", "malformed", func(r *Request) { r.Items = make([]Item, itemsMax+1) })
	f("a SKU twice", "malformed", func(r *Request) { r.Items = append(r.Items, r.Items[0]) })
	f("the cell of a batch", "malformed", func(r *Request) { r.Items[0].SKU, _ = ids.BatchSKU(4) })
	f("no units", "malformed", func(r *Request) { r.Items[0].Quantity = 0 })
	f("units below 0", "malformed", func(r *Request) { r.Items[0].Quantity = -1 })
	f("too many units", "malformed", func(r *Request) { r.Items[0].Quantity = quantityMax + 1 })
	f("nobody's", "malformed", func(r *Request) { r.Items[0].Seller = 0 })
	f("a level beyond all", "malformed", func(r *Request) { r.Level = LevelMax + 1 })
	f("no price", "no_price", func(r *Request) { r.Items[0].Unit = Unit{} })
	f("a price in another currency", "no_price", func(r *Request) { r.Items[0].Unit.Price.Currency = mustIn("USD") })
	f("a price below 0", "no_price", func(r *Request) { r.Items[0].Unit.Price.Minor = -1 })
	f("a price beyond the market", "no_price", func(r *Request) { r.Market.PriceMax = 999 })
	f("no tax", "no_price", func(r *Request) { r.Items[0].TaxCategory = "books" })
	f("a promotion that is none", "malformed", func(r *Request) { r.Promotions = []Promotion{promotionOf(1, BuyPay{})} })
	f("a coupon twice", "malformed", func(r *Request) { r.Coupons = []Coupon{couponOf(1, 5), couponOf(1, 5)} })
	f("a coupon in another currency", "malformed", func(r *Request) {
		r.Coupons = []Coupon{couponOf(1, 5)}
		r.Coupons[0].Off.Currency = mustIn("USD")
	})
	f("a coupon below 0", "malformed", func(r *Request) { r.Coupons = []Coupon{couponOf(1, -5)} })
	f("too many coupons", "malformed", func(r *Request) {
		for id := range couponsMax + 1 {
			r.Coupons = append(r.Coupons, couponOf(id+1, 5))
		}
	})
	f("a line beyond all amounts", "amount_too_large", func(r *Request) {
		r.Items[0].Unit.Price, r.Items[0].Quantity = eur(money.MinorMax), 2
	})
	f("a sum beyond all amounts", "amount_too_large", func(r *Request) {
		r.Items = []Item{itemOf(1, 1, money.MinorMax), itemOf(2, 1, 1)}
	})
	f("tax beyond all amounts", "amount_too_large", func(r *Request) {
		r.Market = marketOf(false)
		r.Items = []Item{itemOf(1, 1, money.MinorMax)}
	})
	q := mustQuote(t, requestOf(itemOf(1, 1, money.MinorMax)))
	if q.Total.Minor != money.MinorMax {
		t.Errorf("the largest amount is %v", q.Total)
	}
}

// Tax is rounded once for each seller and category. What remains goes to the largest line.
func TestTaxIsOfTheWholeOrder(t *testing.T) {
	t.Parallel()
	r := requestOf(itemOf(1, 1, 103), itemOf(2, 1, 103), itemOf(3, 1, 104))
	r.Market = marketOf(false)
	q := mustQuote(t, r)
	if got := []int64{q.Lines[0].Tax.Minor, q.Lines[1].Tax.Minor, q.Lines[2].Tax.Minor, q.Tax.Minor}; !slices.Equal(got, []int64{20, 19, 20, 59}) {
		t.Errorf("19%% of 1.03, 1.03 and 1.04 are %v", got) // 58.9 together, and 60 if each line were rounded
	}
	r.Items[2].Seller = 2
	if q := mustQuote(t, r); q.Tax.Minor != 39+20 {
		t.Errorf("two orders have the tax %v", q.Tax)
	}
	r.Market = marketOf(true)
	if q := mustQuote(t, r); q.Total.Minor != 310 || q.Tax.Minor != 33+17 {
		t.Errorf("%v, with the tax %v in it", q.Total, q.Tax)
	}
}

// Who sells nothing for money has no tax on it, and no line.
func TestFreeGoods(t *testing.T) {
	t.Parallel()
	r := requestOf(itemOf(1, 3, 0), itemOf(2, 1, 500))
	r.Coupons = []Coupon{couponOf(1, 10_000)}
	q := mustQuote(t, r)
	if q.Total.Minor != 0 || q.Discount.Minor != -500 || q.Coupons[0].Amount.Minor != 500 {
		t.Errorf("%+v", q)
	}
}
