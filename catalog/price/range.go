package price

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"sluice/core/ids"
	"sluice/core/money"
	"sluice/core/problem"
)

// Kind is what a price of a unit is.
type Kind string

// The kinds.
const (
	KindList      Kind = "list"
	KindPromotion Kind = "promotion" // for everybody, below the list price
	KindMember    Kind = "member"    // for members from a level on, below the list price
	KindDynamic   Kind = "dynamic"   // the list price as a policy has moved it: no range has it
)

// Range is a price of a SKU in a range of time.
type Range struct {
	ID      ids.Price    `json:"price_id"`
	Kind    Kind         `json:"kind"`
	Channel Channel      `json:"channel,omitempty"` // none: all of them
	Level   Level        `json:"level"`             // of members, else 0
	Price   money.Amount `json:"price"`
	Span
}

// Prices are the ranges of one SKU in one market, in any order.
type Prices []Range

// rangesMax bounds the ranges of one SKU in one market.
const rangesMax = 200

// form refuses what is no price in any market.
func (r *Range) form() *problem.Problem {
	switch {
	case r.Kind != KindList && r.Kind != KindPromotion && r.Kind != KindMember:
		return malformed("/kind", "want list, promotion or member")
	case r.Channel != "" && !wordForm.MatchString(string(r.Channel)):
		return malformed("/channel", wordWanted)
	case r.Kind == KindMember && (r.Level < 1 || r.Level > LevelMax):
		return malformed("/level", "want 1 to %d for members", LevelMax)
	case r.Kind != KindMember && r.Level != 0:
		return malformed("/level", "only prices of members have one")
	}
	return r.Span.check()
}

// check refuses what is no price in the market.
func (r *Range) check(m *Market) *problem.Problem {
	if p := r.form(); p != nil {
		return p
	}
	return m.price(r.Price, "/price")
}

// Check refuses ranges that contradict each other: two of a kind, a channel and a level at one moment; a price of a promotion or of
// members that is not below the list price, or is without one; and members who would pay more than those of a lower level.
func (p Prices) Check(m *Market) error { return p.check(m, nil) }

// check is Check for prices of which some have begun. They keep what they cost, so they may be ones that the market no longer takes.
func (p Prices) check(m *Market, begun map[ids.Price]bool) error {
	if len(p) > rangesMax {
		return malformed("", "want at most %d prices of a SKU in a market", rangesMax)
	}
	for i := range p {
		fault := p[i].form()
		if !begun[p[i].ID] {
			fault = p[i].check(m)
		}
		if fault != nil {
			return at(fmt.Sprintf("/%d", i), fault)
		}
	}
	for _, moment := range p.moments() { // between two of them nothing begins or ends
		if fault := p.contradiction(moment); fault != nil {
			return fault
		}
	}
	return nil
}

// moments are those at which a range begins or ends.
func (p Prices) moments() (all []time.Time) {
	for _, r := range p {
		all = append(all, r.From)
		if !r.To.IsZero() {
			all = append(all, r.To)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return slices.CompactFunc(all, time.Time.Equal)
}

func (p Prices) contradiction(moment time.Time) *problem.Problem {
	now := p.during(moment)
	for i, r := range now {
		for _, other := range now[:i] {
			if r.Kind == other.Kind && r.Channel == other.Channel && r.Level == other.Level {
				return contradicts(moment, "%v and %v are both the %s price", other.ID, r.ID, r.Kind)
			}
			if r.Kind == KindMember && other.Kind == KindMember && r.Channel == other.Channel &&
				(r.Price.Minor > other.Price.Minor && r.Level > other.Level || r.Price.Minor < other.Price.Minor && r.Level < other.Level) {
				return contradicts(moment, "%v and %v: members of a higher level would pay more", other.ID, r.ID)
			}
		}
		if r.Kind == KindList {
			continue
		}
		list := now.of(KindList, r.Channel, 0)
		switch {
		case list == nil:
			return contradicts(moment, "%v has no list price above it", r.ID)
		case r.Price.Minor >= list.Price.Minor:
			return contradicts(moment, "%v is not below the list price %v", r.ID, list.ID)
		}
	}
	return nil
}

func contradicts(moment time.Time, detail string, values ...any) *problem.Problem {
	return &problem.Problem{Kind: priceContradicts, Detail: "at " + moment.UTC().Format(time.RFC3339Nano) + ": " + fmt.Sprintf(detail, values...)}
}

// during are the ranges that a moment is in.
func (p Prices) during(moment time.Time) (now Prices) {
	for _, r := range p {
		if r.Has(moment) {
			now = append(now, r)
		}
	}
	return now
}

// of is the price of a kind in a channel: its own, or else that of all channels. Members have the lowest one of their level and of those
// below it.
func (p Prices) of(kind Kind, channel Channel, level Level) (found *Range) {
	for _, c := range []Channel{channel, ""} {
		for i := range p {
			r := &p[i]
			if r.Kind == kind && r.Channel == c && r.Level <= level && (found == nil || r.before(found)) {
				found = r
			}
		}
		if found != nil {
			return found
		}
	}
	return nil
}

// before reports whether a price is lower than another one, or the same and the first one.
func (r *Range) before(o *Range) bool {
	return cmp.Or(cmp.Compare(r.Price.Minor, o.Price.Minor), cmp.Compare(r.ID, o.ID)) < 0
}

// Unit is what one unit costs before promotions and coupons, and why.
type Unit struct {
	List   money.Amount `json:"list"`
	Price  money.Amount `json:"price"`
	Kind   Kind         `json:"kind"`     // of the price
	Source ids.Price    `json:"price_id"` // the range that has it
}

// At is what a unit costs at a moment. It is the lowest of the list price, the price of a promotion, and the member price of the shopper's
// level. Of equal ones it is the first of these. It is false if there is no list price: then nobody buys it.
func (p Prices) At(moment time.Time, channel Channel, level Level) (Unit, bool) {
	now := p.during(moment)
	list := now.of(KindList, channel, 0)
	if list == nil {
		return Unit{}, false
	}
	u := Unit{List: list.Price, Price: list.Price, Kind: KindList, Source: list.ID}
	for _, kind := range []Kind{KindPromotion, KindMember} {
		u.lower(now.of(kind, channel, level))
	}
	return u, true
}

// check refuses what no unit of the market costs.
func (u *Unit) check(m *Market) *problem.Problem {
	if u.Source < 1 {
		return malformed("", "want the range that has the price")
	}
	if p := m.price(u.List, ""); p != nil {
		return p
	}
	return m.price(u.Price, "")
}

// lower takes another price if it is lower.
func (u *Unit) lower(r *Range) {
	if r != nil && r.Price.Minor < u.Price.Minor {
		u.Price, u.Kind, u.Source = r.Price, r.Kind, r.ID
	}
}
