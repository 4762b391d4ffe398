package price

import (
	"cmp"
	"slices"

	"sluice/core/ids"
	"sluice/core/money"
	"sluice/core/problem"
)

// Promotion lowers what goods cost, for everybody whom its terms are for.
type Promotion struct {
	ID   ids.Promotion
	Rank int // of those that make sets, the lowest is first
	Terms
	Strategy Strategy
}

// Check refuses what no promotion can be.
func (p *Promotion) Check(m *Market) error {
	if fault := p.check(m); fault != nil {
		return fault
	}
	return nil
}

func (p *Promotion) check(m *Market) *problem.Problem {
	if fault := p.Terms.check(); fault != nil {
		return fault
	}
	if p.Strategy == nil {
		return malformed("/strategy", "want one")
	}
	return at("/strategy", p.Strategy.check(m))
}

// setsMax bounds the promotions that make sets of a seller's goods in one quote.
const setsMax = 20

// promote lowers what lines cost by promotions. The goods of each seller are by themselves, because each has an order of its own. First
// come the promotions that make sets, by their rank, and those of one rank by their id. One counts if the goods of the seller cost less
// with it than without: so sets never make them dearer. Units that no set has taken get one other promotion for each line, the one that
// takes most off. In which order promotions are given means nothing.
func promote(r *Request, lines []line) error {
	var live []*Promotion
	for i := range r.Promotions {
		if p := &r.Promotions[i]; p.reach(r.At, r.Channel, r.Level) == "" {
			live = append(live, p)
		}
	}
	slices.SortFunc(live, func(a, b *Promotion) int { return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.ID, b.ID)) })
	for _, of := range bySeller(lines) {
		if err := promoteSeller(r, of, live); err != nil {
			return err
		}
	}
	return nil
}

// bySeller are the lines of each seller, by the sellers' ids.
func bySeller(lines []line) (all [][]*line) {
	where := map[ids.Seller]int{}
	for i := range lines {
		l := &lines[i]
		n, found := where[l.Seller]
		if !found {
			n, all = len(all), append(all, nil)
			where[l.Seller] = n
		}
		all[n] = append(all[n], l)
	}
	slices.SortFunc(all, func(a, b []*line) int { return cmp.Compare(a[0].Seller, b[0].Seller) })
	return all
}

// promoteSeller lowers what the goods of one seller cost.
func promoteSeller(r *Request, lines []*line, live []*Promotion) error {
	var sets, kept []setPromotion
	for _, p := range live {
		if s, ok := p.Strategy.(ofSet); ok && len(sets) < setsMax && slices.ContainsFunc(lines, func(l *line) bool { return p.fit(&l.Item) }) {
			sets = append(sets, setPromotion{p, s})
		}
	}
	best, err := tryPromotions(r, lines, live, nil)
	if err != nil {
		return err
	}
	for _, p := range sets {
		with, err := tryPromotions(r, lines, live, append(slices.Clip(kept), p))
		if err != nil {
			return err
		}
		if with.total < best.total {
			best, kept = with, append(kept, p)
		}
	}
	for i := range lines {
		*lines[i] = best.lines[i]
	}
	return nil
}

// setPromotion is a promotion that makes sets.
type setPromotion struct {
	*Promotion

	sets ofSet
}

// tried is what becomes of lines.
type tried struct {
	lines []line
	total int64
}

// tryPromotions lowers copies of lines by some sets, and then by what is best for each line.
func tryPromotions(r *Request, lines []*line, live []*Promotion, sets []setPromotion) (to tried, err error) {
	to.lines = make([]line, len(lines))
	for i, l := range lines {
		to.lines[i] = *l
		to.lines[i].adjustments = slices.Clip(l.adjustments)
	}
	for _, p := range sets {
		var fit []*line
		for i := range to.lines {
			if p.fit(&to.lines[i].Item) {
				fit = append(fit, &to.lines[i])
			}
		}
		off, err := p.sets.take(r.Market, fit)
		if err != nil {
			return to, err
		}
		for i := range fit {
			if err := fit[i].lower(p.adjustment(off[i])); err != nil {
				return to, err
			}
		}
	}
	for i := range to.lines {
		l := &to.lines[i]
		best, err := bestOfLine(r, l, live)
		if err == nil {
			err = l.lower(best)
		}
		if err != nil {
			return to, err
		}
		to.total += l.rest.Minor
	}
	return to, nil
}

// bestOfLine is the most that a promotion takes off what no set has of a line. Of equal ones it is the first.
func bestOfLine(r *Request, l *line, live []*Promotion) (best Adjustment, err error) {
	for _, p := range live {
		strategy, ok := p.Strategy.(ofLine)
		if !ok || !p.fit(&l.Item) {
			continue
		}
		off, err := strategy.off(r.Market, l.Unit.Price, l.left, r.Level)
		if err != nil {
			return best, err
		}
		if off.Minor > -best.Amount.Minor {
			best = p.adjustment(off)
		}
	}
	return best, nil
}

// adjustment is what a line says of a discount.
func (p *Promotion) adjustment(off money.Amount) Adjustment {
	return Adjustment{Kind: ByPromotion, Promotion: p.ID, Strategy: p.Strategy.Name(), Funder: p.Funder, Amount: off.Negative()}
}

// line is what is known of an item while it is quoted.
type line struct {
	Item

	goods, rest money.Amount // what it costs before discounts, and what is left of that
	left        int64        // units that no set has taken
	adjustments []Adjustment
}

// lower notes a discount, unless it is none.
func (l *line) lower(by Adjustment) (err error) {
	if by.Amount.Minor == 0 {
		return nil
	}
	if l.rest, err = l.rest.Add(by.Amount); err != nil {
		return err
	}
	l.adjustments = append(l.adjustments, by)
	return nil
}

// linesOf begins the lines of a request, by their SKUs.
func linesOf(r *Request) ([]line, error) {
	lines, sum := make([]line, 0, len(r.Items)), r.Market.none()
	for i := range r.Items {
		goods, err := r.Items[i].Unit.Price.Times(r.Items[i].Quantity)
		if err == nil {
			sum, err = sum.Add(goods)
		}
		if err != nil {
			return nil, tooLarge(itemPointer(i), err)
		}
		lines = append(lines, line{Item: r.Items[i], goods: goods, rest: goods, left: r.Items[i].Quantity})
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.SKU, b.SKU) })
	return lines, nil
}
