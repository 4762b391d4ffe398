package price

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"sluice/core/ids"
	"sluice/core/money"
)

// exampleOf is the cart of the page.
func exampleOf(t *testing.T) (r Request, names map[int64]string) {
	t.Helper()
	at := day(9)
	machine := Prices{
		{ID: 1, Kind: KindList, Price: eur(19_900), Span: Span{From: day(0)}},
		{ID: 2, Kind: KindPromotion, Price: eur(17_900), Span: Span{From: day(7), To: day(14)}},
		{ID: 3, Kind: KindMember, Level: 3, Price: eur(16_900), Span: Span{From: day(0)}},
	}
	coffee := Prices{{ID: 4, Kind: KindList, Price: eur(1299), Span: Span{From: day(0)}}}
	cups := Prices{{ID: 5, Kind: KindList, Price: eur(795), Span: Span{From: day(0)}}}
	r = Request{Market: marketOf(true), User: 42, Channel: "app", Level: 2, At: at}
	for i, of := range []struct {
		prices   Prices
		quantity int64
		seller   ids.Seller
		tax      string
	}{{machine, 1, 1, "standard"}, {cups, 4, 1, "standard"}, {coffee, 4, 2, "reduced"}} {
		if err := of.prices.Check(r.Market); err != nil {
			t.Fatal(err)
		}
		u, ok := of.prices.At(at, r.Channel, r.Level)
		if !ok {
			t.Fatal("no price")
		}
		r.Items = append(r.Items, Item{SKU: skuOf(i + 1), Quantity: of.quantity, Seller: of.seller, TaxCategory: of.tax, Unit: u})
	}
	span := Span{From: day(0)}
	r.Promotions = []Promotion{
		{ID: 1, Terms: Terms{Seller: 2, Funder: Seller, Span: span}, Strategy: BuyPay{3, 2}},
		{ID: 2, Terms: Terms{Funder: Platform, Span: span}, Strategy: Percentage{50_000}},
		{ID: 3, Terms: Terms{Seller: 1, Funder: Seller, Span: span, Scope: Scope{SKUs: []int64{skuOf(2)}}}, Strategy: Tiers{{1, 80_000}, {2, 120_000}}},
	}
	r.Coupons = []Coupon{
		{ID: 1, Batch: 1, Terms: Terms{Funder: Platform, Span: span}, Off: eur(2000), Minimum: eur(15_000), Group: "welcome"},
		{ID: 2, Batch: 2, Terms: Terms{Seller: 1, Funder: Seller, Span: span}, Part: 100_000, OffMax: eur(1500)},
		{ID: 3, Batch: 3, Terms: Terms{Seller: 2, Funder: Seller, Span: span}, Off: eur(500), Minimum: eur(5000)},
		{ID: 4, Batch: 4, Terms: Terms{Funder: Platform, Span: span}, Part: 80_000, Group: "welcome"},
	}
	return r, map[int64]string{skuOf(1): "machine", skuOf(2): "cups", skuOf(3): "coffee"}
}

// The example of the page is what the rules make of it.
func TestWorkedExample(t *testing.T) {
	t.Parallel()
	r, names := exampleOf(t)
	q := mustQuote(t, r)
	var out strings.Builder
	row := func(what, why string, a money.Amount) {
		number, _, _ := strings.Cut(a.String(), " ")
		fmt.Fprintf(&out, "%-10s%-42s%8s\n", what, why, number)
	}
	for _, l := range q.Lines {
		price, _, _ := strings.Cut(l.Unit.Price.String(), " ")
		row(names[l.SKU], fmt.Sprintf("%d at the %s price %s", l.Quantity, l.Unit.Kind, price), l.Goods)
		for _, a := range l.Adjustments {
			source := int64(a.Promotion)
			if a.Kind == ByCoupon {
				source = int64(a.Coupon)
			}
			row("", fmt.Sprintf("%s %d, %s, by the %s", a.Kind, source, a.Strategy, a.Funder), a.Amount)
		}
		row("", fmt.Sprintf("total, with %v tax of %s", l.TaxRate, strings.TrimSuffix(l.Tax.String(), " EUR")), l.Total)
	}
	row("total", "with tax of "+strings.TrimSuffix(q.Tax.String(), " EUR"), q.Total)
	for _, c := range q.Coupons {
		why := "used"
		if !c.Used {
			why = string(c.Reason)
		}
		if c.Other > 0 {
			why += fmt.Sprintf(" with coupon %d", int64(c.Other))
		}
		if c.Lacks != (money.Amount{}) {
			why += ": " + strings.TrimSuffix(c.Lacks.String(), " EUR") + " more"
		}
		fmt.Fprintf(&out, "coupon %d  %s\n", int64(c.Coupon), why)
	}
	page, err := os.ReadFile("../../docs/prices.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```text\n"+out.String()+"```\n") {
		t.Errorf("docs/prices.md has another example than this:\n%s", out.String())
	}
}
