package price

import (
	"time"

	"sluice/core/ids"
	"sluice/core/problem"
)

// Follow refuses a change of the prices of a SKU that would make another past: what has begun keeps its price, and what has ended stays.
// A range that is in force may end earlier or later, and not before the moment of the change. One that has not begun may
// change in all parts, or go. A new one does not begin before the moment of the change. What has begun is not compared with the bounds of the
// market, which may be others than at its time: it could never end.
//
// So each change is a schedule: what is paid at a moment follows from the ranges, whether or not any process runs then.
func (p Prices) Follow(before Prices, m *Market, now time.Time) error {
	after := make(map[ids.Price]*Range, len(p))
	for i := range p {
		if after[p[i].ID] != nil {
			return malformed("", "want each range once")
		}
		after[p[i].ID] = &p[i]
	}
	begun := make(map[ids.Price]bool, len(before))
	for i := range before {
		was := &before[i]
		if was.From.After(now) {
			continue
		}
		begun[was.ID] = true
		if r := after[was.ID]; r == nil || !was.goesOnAs(r, now) {
			return &problem.Problem{Kind: problem.WrongState, Detail: was.ID.String() + " has begun: it keeps its price, and may end from this moment on"}
		}
	}
	for i := range p {
		if r := &p[i]; !begun[r.ID] && r.From.Before(now) {
			return &problem.Problem{Kind: problem.WrongState, Detail: r.ID.String() + " would begin in the past"}
		}
	}
	return p.check(m, begun)
}

// goesOnAs reports whether a range that has begun may become another one.
func (r *Range) goesOnAs(to *Range, now time.Time) bool {
	if to.Kind != r.Kind || to.Channel != r.Channel || to.Level != r.Level || to.Price != r.Price || !to.From.Equal(r.From) {
		return false
	}
	return to.To.Equal(r.To) || !r.ended(now) && (to.To.IsZero() || !to.To.Before(now))
}

// Moments are those after one and until another one at which a range begins or ends, in their order. Whoever tells others of prices keeps
// the last moment that was told, and asks for those since: also after an outage each is told, and once.
func (p Prices) Moments(after, until time.Time) (all []time.Time) {
	for _, moment := range p.moments() {
		if moment.After(after) && !moment.After(until) {
			all = append(all, moment)
		}
	}
	return all
}
