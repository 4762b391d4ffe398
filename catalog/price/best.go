package price

import (
	"cmp"
	"slices"

	"sluice/core/ids"
	"sluice/core/money"
)

const (
	// couponsMax bounds the coupons that somebody wants to use in one quote, and couponsUsedMax those that are used together. So the best
	// of all combinations is found by trying 1,351 of them at most.
	couponsMax     = 20
	couponsUsedMax = 3
)

// combination is what some coupons take off lines.
type combination struct {
	coupons []*Coupon
	cuts    [][]money.Amount // of each coupon, off each line
	rest    []money.Amount   // of each line
	total   int64            // to pay
}

// better reports whether one pays less, or the same with fewer coupons.
func (c *combination) better(than *combination) bool {
	return c.total < than.total || c.total == than.total && len(c.coupons) < len(than.coupons)
}

// bestOf is the combination of coupons by which the total is the lowest. Of equal ones it is that of the fewest coupons, and then the
// first one. All that may be used together are looked at, so another coupon never makes it dearer. The coupons are in their order.
func bestOf(r *Request, lines []line, can []*Coupon) (combination, error) {
	start := combination{rest: make([]money.Amount, len(lines))}
	for i := range lines {
		start.rest[i] = lines[i].rest
	}
	var err error
	if start.total, err = totalOf(r, lines, start.rest); err != nil {
		return start, err
	}
	best := start
	var try func(from int, with combination) error
	try = func(from int, with combination) error {
		if with.better(&best) {
			best = with
		}
		if len(with.coupons) == couponsUsedMax {
			return nil
		}
		for i := from; i < len(can); i++ {
			if slices.ContainsFunc(with.coupons, func(o *Coupon) bool { return !together(o, can[i]) }) {
				continue
			}
			next, err := with.and(r, lines, can[i])
			if err != nil {
				return err
			}
			if next == nil { // it takes nothing off: whatever is with it is without it too
				continue
			}
			if err := try(i+1, *next); err != nil {
				return err
			}
		}
		return nil
	}
	err = try(0, start)
	return best, err
}

// and is the combination with one more coupon, or nil if that takes nothing off.
func (c *combination) and(r *Request, lines []line, with *Coupon) (*combination, error) {
	cut, err := with.cut(r.Market, lines, c.rest)
	if err != nil || cut == nil {
		return nil, err
	}
	next := &combination{
		coupons: append(slices.Clip(c.coupons), with), cuts: append(slices.Clip(c.cuts), cut), rest: slices.Clone(c.rest),
	}
	for i := range next.rest {
		if next.rest[i], err = next.rest[i].Sub(cut[i]); err != nil {
			return nil, err
		}
	}
	next.total, err = totalOf(r, lines, next.rest)
	return next, err
}

// outcomes say what becomes of each coupon, by their ids.
func (c *combination) outcomes(r *Request, can []*Coupon, not map[ids.Coupon]Outcome) (all []Outcome, err error) {
	for i, used := range c.coupons {
		out := Outcome{Coupon: used.ID, Batch: used.Batch, Used: true}
		if out.Amount, err = money.Sum(r.Market.Currency, c.cuts[i]...); err != nil {
			return nil, err
		}
		all = append(all, out)
	}
	for _, other := range can {
		if slices.Contains(c.coupons, other) {
			continue
		}
		out := Outcome{Coupon: other.ID, Batch: other.Batch, Amount: r.Market.none(), Reason: NoGain}
		var inTheWay []*Coupon
		for _, used := range c.coupons {
			if !together(used, other) {
				inTheWay = append(inTheWay, used)
			}
		}
		if len(inTheWay) > 0 || len(c.coupons) == couponsUsedMax {
			out.Reason = NotTogether
		}
		if len(inTheWay) == 1 {
			out.Other = inTheWay[0].ID
		}
		all = append(all, out)
	}
	for _, out := range not {
		all = append(all, out)
	}
	slices.SortFunc(all, func(a, b Outcome) int { return cmp.Compare(a.Coupon, b.Coupon) })
	return all, nil
}
