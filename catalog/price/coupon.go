package price

import (
	"cmp"
	"slices"

	"sluice/core/ids"
	"sluice/core/money"
	"sluice/core/problem"
)

// Coupon lowers what goods cost, once, for whoever has it. It takes an amount or a part off.
type Coupon struct {
	ID    ids.Coupon
	Batch int64 // whose SKU counts how many are held and used
	Terms
	Off     money.Amount // an amount, or
	Part    Rate         // a part,
	OffMax  money.Amount // and at most this. Without a currency: all of the part
	Minimum money.Amount // that its goods cost at least, after promotions. Without a currency: none
	Group   string       // coupons of one group are not used together. None: it is in no group
	Alone   bool         // it is used with no other one
}

// Check refuses what no coupon can be.
func (c *Coupon) Check(m *Market) error {
	if fault := c.check(m); fault != nil {
		return fault
	}
	return nil
}

func (c *Coupon) check(m *Market) *problem.Problem {
	if _, ok := ids.BatchSKU(c.Batch); !ok {
		return malformed("/batch", "want a batch")
	}
	if (c.Off.Currency == money.Currency{}) == (c.Part == 0) {
		return malformed("/off", "want either an amount or a part")
	}
	if c.Part != 0 {
		if p := checkOff(c.Part, "/part"); p != nil {
			return p
		}
	} else if p := m.discount(c.Off, "/off", 1); p != nil {
		return p
	}
	for pointer, a := range map[string]money.Amount{"/off_max": c.OffMax, "/minimum": c.Minimum} {
		if a.Currency == (money.Currency{}) {
			continue
		}
		if p := m.discount(a, pointer, 1); p != nil {
			return p
		}
	}
	if c.Group != "" && !wordForm.MatchString(c.Group) {
		return malformed("/group", wordWanted)
	}
	return c.Terms.check()
}

// Reason is why a coupon is not used.
type Reason string

// The reasons.
const (
	NotBegun     Reason = "not_begun"
	Ended        Reason = "ended"
	OtherChannel Reason = "other_channel"
	LevelTooLow  Reason = "level_too_low"
	NoGoods      Reason = "no_goods"      // nothing in the cart is what it is for
	BelowMinimum Reason = "below_minimum" // its goods cost too little
	NotTogether  Reason = "not_together"  // with the ones that are used, which take more off
	NoGain       Reason = "no_gain"       // with it nothing costs less
)

// Outcome is what becomes of a coupon that somebody wants to use.
type Outcome struct {
	Coupon ids.Coupon   `json:"coupon_id"`
	Batch  int64        `json:"batch,string"`
	Used   bool         `json:"used"`
	Amount money.Amount `json:"amount"`           // what it takes off: 0 of one that is not used
	Reason Reason       `json:"reason,omitempty"` // of one that is not used
	Other  ids.Coupon   `json:"other,omitzero"`   // of NotTogether: a coupon that is used instead, if it is one alone that stands in its way
	Lacks  money.Amount `json:"lacks,omitzero"`   // of BelowMinimum: by how much its goods cost too little
}

// together reports whether two coupons may be used together.
func together(a, b *Coupon) bool {
	return !a.Alone && !b.Alone && (a.Group == "" || a.Group != b.Group) && a.ID != b.ID
}

// first is the order in which coupons count: those of sellers, then parts before amounts, then by their ids. Each takes its part of
// what the ones before it left.
func first(a, b *Coupon) int {
	return cmp.Or(cmp.Compare(a.turn(), b.turn()), cmp.Compare(a.ID, b.ID))
}

func (c *Coupon) turn() (n int) {
	if c.Seller == 0 {
		n += 2
	}
	if c.Part == 0 {
		n++
	}
	return n
}

// usable sorts the coupons that count for these lines, and says of the others why they do not.
func usable(r *Request, lines []line) (can []*Coupon, not map[ids.Coupon]Outcome, err error) {
	not = map[ids.Coupon]Outcome{}
	for i := range r.Coupons {
		c := &r.Coupons[i]
		out := Outcome{Coupon: c.ID, Batch: c.Batch, Amount: r.Market.none(), Reason: c.reach(r.At, r.Channel, r.Level)}
		goods, fits := r.Market.none(), false
		for n := range lines {
			if c.fit(&lines[n].Item) {
				fits = true
				if goods, err = goods.Add(lines[n].rest); err != nil {
					return nil, nil, err
				}
			}
		}
		switch {
		case out.Reason != "":
		case !fits:
			out.Reason = NoGoods
		case c.Minimum.Currency != money.Currency{} && goods.Minor < c.Minimum.Minor:
			out.Reason = BelowMinimum
			if out.Lacks, err = c.Minimum.Sub(goods); err != nil {
				return nil, nil, err
			}
		default:
			can = append(can, c)
			continue
		}
		not[c.ID] = out
	}
	slices.SortFunc(can, first)
	return can, not, nil
}

// cut is what a coupon takes off each line of which rest is left.
func (c *Coupon) cut(m *Market, lines []line, rest []money.Amount) ([]money.Amount, error) {
	weights, goods := make([]int64, len(lines)), m.none()
	for i := range lines {
		if !c.fit(&lines[i].Item) {
			continue
		}
		weights[i] = rest[i].Minor
		var err error
		if goods, err = goods.Add(rest[i]); err != nil {
			return nil, err
		}
	}
	off := c.Off
	if c.Part != 0 {
		var err error
		if off, err = c.Part.of(goods, m.Regime.Rounding); err != nil {
			return nil, err
		}
		if c.OffMax.Currency != (money.Currency{}) {
			off.Minor = min(off.Minor, c.OffMax.Minor)
		}
	}
	off.Minor = min(off.Minor, goods.Minor)
	if off.Minor == 0 {
		return nil, nil
	}
	return off.Allocate(weights...)
}
