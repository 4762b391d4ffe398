package price

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/ids"
	"sluice/core/money"
)

// What becomes of each coupon is said, and why.
func TestCouponsAreExplained(t *testing.T) {
	t.Parallel()
	f := func(what string, change func(*Request), want ...Outcome) {
		t.Helper()
		r := requestOf(itemOf(1, 1, 1000), itemOf(2, 1, 500))
		r.Items[1].Seller = 2
		change(&r)
		for i := range want {
			want[i].Coupon, want[i].Batch, want[i].Used = ids.Coupon(i+1), int64(i+1), want[i].Reason == ""
			if !want[i].Used {
				want[i].Amount = eur(0)
			}
		}
		if diff := cmp.Diff(want, mustQuote(t, r).Coupons, amounts); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	used := func(minor int64) Outcome { return Outcome{Amount: eur(minor)} }
	not := func(r Reason) Outcome { return Outcome{Reason: r} }
	instead := func(other int) Outcome { return Outcome{Reason: NotTogether, Other: ids.Coupon(other)} }
	with := func(change func(c []Coupon), minors ...int64) func(*Request) {
		return func(r *Request) {
			for i, minor := range minors {
				r.Coupons = append(r.Coupons, couponOf(i+1, minor))
			}
			change(r.Coupons)
		}
	}
	same := func([]Coupon) {}
	f("one", with(same, 100), used(100))
	f("two", with(same, 100, 200), used(100), used(200))
	f("at most three, the best", with(same, 100, 200, 50, 300), used(100), used(200), not(NotTogether), used(300))
	f("not begun", with(func(c []Coupon) { c[0].From = day(1) }, 100), not(NotBegun))
	f("ended", with(func(c []Coupon) { c[0].From, c[0].To = day(-2), day(0) }, 100), not(Ended))
	f("another channel", with(func(c []Coupon) { c[0].Channels = []Channel{"app"} }, 100), not(OtherChannel))
	f("a level", with(func(c []Coupon) { c[0].Level = 1 }, 100), not(LevelTooLow))
	f("other goods", with(func(c []Coupon) { c[0].Scope.Brands = []ids.Brand{8} }, 100), not(NoGoods))
	f("of a seller", with(func(c []Coupon) { c[0].Seller, c[0].Funder = 2, Seller }, 700), used(500))
	f("of a seller who sells nothing here", with(func(c []Coupon) { c[0].Seller, c[0].Funder = 3, Seller }, 700), not(NoGoods))
	f("a minimum", with(func(c []Coupon) { c[0].Minimum = eur(1500) }, 100), used(100))
	f("a minimum that is not reached", with(func(c []Coupon) { c[0].Minimum = eur(1600) }, 100), Outcome{Reason: BelowMinimum, Lacks: eur(100)})
	f("a minimum of its goods", with(func(c []Coupon) { c[0].Minimum, c[0].Seller, c[0].Funder = eur(501), 2, Seller }, 100),
		Outcome{Reason: BelowMinimum, Lacks: eur(1)})
	f("other coupons lower no minimum", with(func(c []Coupon) { c[0].Minimum, c[1].Minimum = eur(1500), eur(1500) }, 100, 200), used(100), used(200))
	f("alone, and better", with(func(c []Coupon) { c[1].Alone = true }, 100, 300, 150), instead(2), used(300), instead(2))
	f("alone, and worse", with(func(c []Coupon) { c[1].Alone = true }, 100, 240, 150), used(100), not(NotTogether), used(150))
	f("alone, and the same", with(func(c []Coupon) { c[1].Alone = true }, 100, 250, 150), instead(2), used(250), instead(2)) // fewer
	f("of a group", with(func(c []Coupon) { c[0].Group, c[2].Group = "a", "a" }, 100, 200, 150), instead(3), used(200), used(150))
	f("more than all costs", with(same, 9999, 100), used(1500), not(NoGain))
	f("a part before an amount", func(r *Request) {
		r.Coupons = []Coupon{couponOf(1, 500), couponOf(2, 1)}
		r.Coupons[1].Off, r.Coupons[1].Part = money.Amount{}, 100_000
	}, used(500), used(150))
	f("a part, and at most so much", func(r *Request) {
		r.Coupons = []Coupon{couponOf(1, 1)}
		r.Coupons[0].Off, r.Coupons[0].Part, r.Coupons[0].OffMax = money.Amount{}, 100_000, eur(80)
	}, used(80))
	f("of the seller before that of the platform", func(r *Request) {
		r.Coupons = []Coupon{couponOf(1, 1), couponOf(2, 1)}
		for i := range r.Coupons {
			r.Coupons[i].Off, r.Coupons[i].Part = money.Amount{}, 500_000
		}
		r.Coupons[1].Seller, r.Coupons[1].Funder = 1, Seller
	}, used(500), used(500))
	f("promotions come first", func(r *Request) {
		r.Promotions = []Promotion{promotionOf(1, Percentage{100_000})}
		r.Coupons = []Coupon{couponOf(1, 100)}
		r.Coupons[0].Minimum = eur(1400)
	}, Outcome{Reason: BelowMinimum, Lacks: eur(50)})
}

// TestBestCombination compares what a quote finds with each set of coupons that may be used together, calculated by itself from the rules
// as docs/prices.md has them.
func TestBestCombination(t *testing.T) {
	t.Parallel()
	d := dice(t)
	several := 0
	for range rounds {
		r := d.request()
		r.Promotions = nil
		got := mustQuote(t, r)
		lowest := int64(money.MinorMax)
		for set := range 1 << len(r.Coupons) {
			var all []Coupon
			for i, c := range r.Coupons {
				if set>>i&1 == 1 {
					all = append(all, c)
				}
			}
			if len(all) > 3 || !allowed(&r, all) {
				continue
			}
			rest := ofLines(&r, all)
			total := taxIf(t, &r, rest)
			for _, minor := range rest {
				total += minor
			}
			lowest = min(lowest, total)
		}
		if got.Total.Minor != lowest {
			t.Fatalf("%v, and the lowest is %d: %+v", got.Total, lowest, r)
		}
		used := 0
		for _, c := range got.Coupons {
			if c.Used {
				used++
			}
		}
		if used > 1 {
			several++
		}
	}
	if several < rounds/20 {
		t.Errorf("only %d quotes use several coupons", several)
	}
}

func allowed(r *Request, all []Coupon) bool {
	for i, c := range all {
		if c.From.After(r.At) || !c.To.IsZero() && !r.At.Before(c.To) || r.Level < c.Level || len(c.Channels) > 0 && c.Channels[0] != r.Channel {
			return false
		}
		var goods int64
		for _, item := range r.Items {
			if c.fit(&item) {
				goods += item.Quantity * item.Unit.Price.Minor
			}
		}
		if goods < c.Minimum.Minor {
			return false
		}
		for _, other := range all[:i] {
			if c.Alone || other.Alone || c.Group != "" && c.Group == other.Group {
				return false
			}
		}
	}
	return true
}

// ofLines is what is left of each line after coupons, by SKU.
func ofLines(r *Request, all []Coupon) map[int64]int64 {
	rest := map[int64]int64{}
	for _, item := range r.Items {
		rest[item.SKU] = item.Quantity * item.Unit.Price.Minor
	}
	for turn := range 4 { // parts of sellers, amounts of sellers, parts of the platform, amounts of the platform
		for _, c := range all { // by their ids
			if (c.Seller == 0) != (turn >= 2) || (c.Part == 0) != (turn%2 == 1) {
				continue
			}
			var goods int64
			var weights []int64
			var skus []int64
			for product := 1; product <= 5; product++ {
				for _, item := range r.Items {
					if item.SKU == skuOf(product) && c.fit(&item) {
						goods += rest[item.SKU]
						weights, skus = append(weights, rest[item.SKU]), append(skus, item.SKU)
					}
				}
			}
			off := min(c.Off.Minor, goods)
			if c.Part > 0 {
				part, _ := eur(goods).Part(int64(c.Part), 1_000_000, r.Market.Regime.Rounding)
				off = part.Minor
				if c.OffMax.Minor > 0 {
					off = min(off, c.OffMax.Minor)
				}
			}
			if off > 0 {
				shares, _ := eur(off).Allocate(weights...)
				for i, share := range shares {
					rest[skus[i]] -= share.Minor
				}
			}
		}
	}
	return rest
}

// taxIf is the tax that comes on top.
func taxIf(t *testing.T, r *Request, rest map[int64]int64) (tax int64) {
	t.Helper()
	if r.Market.Regime.Inclusive {
		return 0
	}
	sums := map[taxed]int64{}
	for _, item := range r.Items {
		sums[taxed{item.Seller, item.TaxCategory}] += rest[item.SKU]
	}
	for of, sum := range sums {
		part, err := eur(sum).Part(int64(r.Market.Regime.Rates[of.category]), 1_000_000, r.Market.Regime.Rounding)
		if err != nil {
			t.Fatal(err)
		}
		tax += part.Minor
	}
	return tax
}

// As many coupons as anybody may offer are looked at in a bounded time.
func TestWorkIsBounded(t *testing.T) {
	t.Parallel()
	r := requestOf()
	for i := range itemsMax {
		r.Items = append(r.Items, itemOf(i+1, 1, int64(1000+i)))
		r.Items[i].Seller = ids.Seller(1 + i%10)
	}
	r.Market = marketOf(false)
	for id := range couponsMax {
		r.Coupons = append(r.Coupons, couponOf(id+1, int64(100+id)))
	}
	for id := range promotionsMax {
		r.Promotions = append(r.Promotions, promotionOf(id+1, BuyPay{2 + int64(id%50), 1}))
	}
	began := time.Now()
	q := mustQuote(t, r)
	took := time.Since(began)
	sealed, err := mustSealer(t, 1).Seal(&q)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d items, %d coupons and %d promotions take %v and %d bytes", len(r.Items), len(r.Coupons), len(r.Promotions), took, len(sealed))
	used := 0
	for _, c := range q.Coupons {
		if c.Used {
			used++
		}
	}
	if used != couponsUsedMax {
		t.Errorf("%d coupons are used", used)
	}
}
