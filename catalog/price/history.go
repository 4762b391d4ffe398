package price

import (
	"slices"
	"time"

	"sluice/core/money"
)

// beforeReduction is how far back the lowest price is looked for (directive 98/6/EC, article 6a).
const beforeReduction = 30 * 24 * time.Hour

// Point is what everybody paid for a unit from a moment on, until the next point.
type Point struct {
	At      time.Time
	Price   money.Amount // without a currency: nobody could buy it
	Reduced bool         // it was shown as a reduction, so somebody could buy it
}

func (p *Point) sold() bool { return p.Price.Currency != money.Currency{} }

// History is the points of a SKU in a market and a channel, in the order of their moments.
type History []Point

// History is what everybody pays in a channel by these ranges: prices of members are not in it.
func (p Prices) History(channel Channel) (h History) {
	p = slices.DeleteFunc(slices.Clone(p), func(r Range) bool { return r.Kind == KindMember || r.Channel != "" && r.Channel != channel })
	for _, moment := range p.moments() {
		next := Point{At: moment}
		if u, ok := p.At(moment, channel, 0); ok {
			next.Price, next.Reduced = u.Price, u.Kind == KindPromotion
		}
		if n := len(h); n == 0 || h[n-1].Price != next.Price || h[n-1].Reduced != next.Reduced {
			h = append(h, next)
		}
	}
	return h
}

// Before is the price that a reduction is compared with: the lowest one of the 30 days before it began. It is false if there is none to
// show: the price of the moment is no reduction, or it is not below that price, or the goods were not for sale in these days.
//
// A reduction that grows step by step is one, and began with its first step. One that is not sold for a while, or rises,
// begins again: what was cheap before it counts.
func (h History) Before(moment time.Time) (lowest money.Amount, began time.Time, ok bool) {
	i, first := h.reduction(moment)
	if i < 0 {
		return money.Amount{}, time.Time{}, false
	}
	began = h[first].At
	for n := first - 1; n >= 0; n-- {
		if h[n].sold() && (!ok || h[n].Price.Minor < lowest.Minor) {
			lowest, ok = h[n].Price, true
		}
		if !h[n].At.After(began.Add(-beforeReduction)) { // the points before ended before these days
			break
		}
	}
	if !ok || lowest.Minor <= h[i].Price.Minor {
		return money.Amount{}, time.Time{}, false
	}
	return lowest, began, true
}

// reduction is the point of a moment, and that with which its reduction began. They are below 0 if its price is no reduction.
func (h History) reduction(moment time.Time) (at, first int) {
	at = len(h) - 1
	for at >= 0 && h[at].At.After(moment) {
		at--
	}
	if at < 0 || !h[at].Reduced {
		return -1, -1
	}
	first = at
	for first > 0 && h[first-1].Reduced && h[first-1].Price.Minor >= h[first].Price.Minor {
		first--
	}
	return at, first
}
