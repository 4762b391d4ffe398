package price

import (
	"fmt"
	"time"

	"sluice/core/ids"
	"sluice/core/money"
	"sluice/core/problem"
)

// QuoteLife is how long a quote counts.
const QuoteLife = 15 * time.Minute

const (
	itemsMax      = 100
	quantityMax   = 1_000_000
	categoriesMax = 20
	promotionsMax = 1000
)

// Request is what is to be quoted, and all that may count for it.
type Request struct {
	Market     *Market
	User       ids.User // 0: a guest
	Channel    Channel
	Level      Level
	At         time.Time
	Items      []Item
	Promotions []Promotion
	Coupons    []Coupon
}

// Item is so many units of a SKU, with what is known of its goods.
type Item struct {
	SKU         int64
	Quantity    int64
	Seller      ids.Seller
	Brand       ids.Brand      // 0: none
	Categories  []ids.Category // its own, and those above it
	TaxCategory string
	Unit        Unit // without a price: the SKU is not for sale in this market
}

// Quote pins what goods cost, until it ends. What changes meanwhile does not change it.
type Quote struct {
	Market    string         `json:"market"`
	Currency  money.Currency `json:"currency"`
	User      ids.User       `json:"user_id,omitzero"`
	Channel   Channel        `json:"channel"`
	Level     Level          `json:"level"`
	At        time.Time      `json:"at"`
	Ends      time.Time      `json:"ends_at"`
	Inclusive bool           `json:"tax_inclusive"`
	Lines     []Line         `json:"lines"`
	Coupons   []Outcome      `json:"coupons,omitempty"`
	Goods     money.Amount   `json:"goods"`    // before discounts
	Discount  money.Amount   `json:"discount"` // 0, or below 0
	Tax       money.Amount   `json:"tax"`      // in the total
	Total     money.Amount   `json:"total"`    // to pay
}

// Line is what units of a SKU cost, and how that came about.
type Line struct {
	SKU         int64        `json:"sku_id,string"`
	Seller      ids.Seller   `json:"seller_id"`
	Quantity    int64        `json:"quantity"`
	Unit        Unit         `json:"unit"`
	Goods       money.Amount `json:"goods"` // the price of all units
	Adjustments []Adjustment `json:"adjustments,omitempty"`
	TaxCategory string       `json:"tax_category"`
	TaxRate     Rate         `json:"tax_rate"`
	Tax         money.Amount `json:"tax"`
	Total       money.Amount `json:"total"` // with the tax, in either regime
}

// AdjustmentKind is what lowers a line.
type AdjustmentKind string

// The kinds of adjustments.
const (
	ByPromotion AdjustmentKind = "promotion"
	ByCoupon    AdjustmentKind = "coupon"
)

// Adjustment is a discount of a line.
type Adjustment struct {
	Kind      AdjustmentKind `json:"kind"`
	Promotion ids.Promotion  `json:"promotion_id,omitzero"`
	Coupon    ids.Coupon     `json:"coupon_id,omitzero"`
	Strategy  string         `json:"strategy"` // percentage, amount, tiers, buy_pay, bundle
	Funder    Funder         `json:"funder"`
	Amount    money.Amount   `json:"amount"` // below 0
}

func itemPointer(i int) string { return fmt.Sprintf("/items/%d", i) }

func (r *Request) check() *problem.Problem {
	switch {
	case len(r.Items) == 0 || len(r.Items) > itemsMax:
		return malformed("/items", "want 1 to %d", itemsMax)
	case len(r.Coupons) > couponsMax:
		return malformed("/coupons", "want at most %d", couponsMax)
	case len(r.Promotions) > promotionsMax:
		return malformed("/promotions", "want at most %d", promotionsMax)
	case r.Level < 0 || r.Level > LevelMax:
		return malformed("/level", "want 0 to %d", LevelMax)
	}
	skus := map[int64]bool{}
	for i := range r.Items {
		of := &r.Items[i]
		pointer := itemPointer(i)
		_, _, ok := ids.ProductOf(of.SKU)
		switch {
		case !ok || skus[of.SKU]:
			return malformed(pointer+"/sku_id", "want SKUs of products, each once")
		case of.Quantity < 1 || of.Quantity > quantityMax:
			return malformed(pointer+"/quantity", "want 1 to %d", quantityMax)
		case of.Seller < 1:
			return malformed(pointer+"/seller_id", "want a seller")
		case len(of.Categories) > categoriesMax:
			return malformed(pointer+"/category_ids", "want at most %d", categoriesMax)
		case of.Unit == Unit{} || !r.Market.taxes(of.TaxCategory):
			return &problem.Problem{Kind: noPrice, Pointer: pointer + "/sku_id"}
		}
		if p := of.Unit.check(r.Market); p != nil {
			return &problem.Problem{Kind: noPrice, Pointer: pointer + "/sku_id", Detail: p.Detail}
		}
		skus[of.SKU] = true
	}
	for i := range r.Promotions {
		if p := at(fmt.Sprintf("/promotions/%d", i), r.Promotions[i].check(r.Market)); p != nil {
			return p
		}
	}
	coupons := map[ids.Coupon]bool{}
	for i := range r.Coupons {
		of := &r.Coupons[i]
		pointer := fmt.Sprintf("/coupons/%d", i)
		if of.ID < 1 || coupons[of.ID] {
			return malformed(pointer, "want each coupon once")
		}
		coupons[of.ID] = true
		if p := at(pointer, of.check(r.Market)); p != nil {
			return p
		}
	}
	return nil
}

// NewQuote says what goods cost. First comes the price of each unit, then promotions, then the best combination of the coupons, then tax.
// The order in which items, promotions and coupons are given means nothing.
func NewQuote(r Request) (Quote, error) {
	if p := r.check(); p != nil {
		return Quote{}, p
	}
	lines, err := linesOf(&r)
	if err != nil {
		return Quote{}, err
	}
	q, err := quote(&r, lines)
	if err != nil {
		return Quote{}, tooLarge("/items", err)
	}
	return q, nil
}

func quote(r *Request, lines []line) (q Quote, err error) {
	if err := promote(r, lines); err != nil {
		return q, err
	}
	can, not, err := usable(r, lines)
	if err != nil {
		return q, err
	}
	best, err := bestOf(r, lines, can)
	if err != nil {
		return q, err
	}
	for n, c := range best.coupons {
		for i := range lines {
			if err := lines[i].lower(c.adjustment(best.cuts[n][i])); err != nil {
				return q, err
			}
		}
	}
	q = Quote{
		Market: r.Market.Code, Currency: r.Market.Currency, User: r.User, Channel: r.Channel, Level: r.Level,
		At: r.At.UTC().Truncate(time.Millisecond), Inclusive: r.Market.Regime.Inclusive,
	}
	q.none()
	q.Ends = q.At.Add(QuoteLife)
	if q.Coupons, err = best.outcomes(r, can, not); err != nil {
		return q, err
	}
	tax, err := taxOf(r, lines, best.rest)
	if err != nil {
		return q, err
	}
	for i := range lines {
		if err := q.add(r, &lines[i], tax[i]); err != nil {
			return q, err
		}
	}
	return q, nil
}

// add adds a line, and what it costs to the sums.
func (q *Quote) add(r *Request, l *line, tax money.Amount) (err error) {
	of := Line{
		SKU: l.SKU, Seller: l.Seller, Quantity: l.Quantity, Unit: l.Unit, Goods: l.goods, Adjustments: l.adjustments,
		TaxCategory: l.TaxCategory, TaxRate: r.Market.Regime.Rates[l.TaxCategory], Tax: tax, Total: l.rest,
	}
	if !q.Inclusive {
		if of.Total, err = l.rest.Add(tax); err != nil {
			return err
		}
	}
	q.Lines = append(q.Lines, of)
	var all sums
	all.line(q, &of)
	return all.err
}

// adjustment is what a line says of a discount by a coupon.
func (c *Coupon) adjustment(off money.Amount) Adjustment {
	a := Adjustment{Kind: ByCoupon, Coupon: c.ID, Strategy: "amount", Funder: c.Funder, Amount: off.Negative()}
	if c.Part != 0 {
		a.Strategy = "percentage"
	}
	return a
}
