package price

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/core/ids"
	"sluice/core/money"
)

// rangeOf is a price of days.
func rangeOf(id int, kind Kind, minor int64, from, to int) Range {
	r := Range{ID: ids.Price(id), Kind: kind, Price: eur(minor), Span: Span{From: day(from)}}
	if to > 0 {
		r.To = day(to)
	}
	return r
}

func in(c Channel, r Range) Range    { r.Channel = c; return r }
func level(l Level, r Range) Range   { r.Level = l; return r }
func list(id int, minor int64) Range { return rangeOf(id, KindList, minor, 0, 0) }

func TestRangesThatContradict(t *testing.T) {
	t.Parallel()
	f := func(what, code string, p ...Range) {
		t.Helper()
		for range 2 { // in either order
			if err := Prices(p).Check(marketOf(true)); codeOf(err) != code {
				t.Errorf("%s: %v, want %q", what, err, code)
			}
			slices.Reverse(p)
		}
	}
	const no = "price_contradicts"
	f("one after the other", "", rangeOf(1, KindList, 900, 0, 5), rangeOf(2, KindList, 800, 5, 0))
	f("a common day", no, rangeOf(1, KindList, 900, 0, 6), rangeOf(2, KindList, 800, 5, 0))
	f("two without an end", no, list(1, 900), rangeOf(2, KindList, 900, 5, 0))
	f("one inside of another", no, list(1, 900), rangeOf(2, KindList, 800, 5, 6))
	f("of two channels", "", list(1, 900), in("app", list(2, 800)))
	f("two of a channel", no, list(1, 900), in("app", list(2, 800)), in("app", rangeOf(3, KindList, 700, 3, 4)))
	f("a promotion", "", list(1, 900), rangeOf(2, KindPromotion, 800, 5, 6))
	f("a promotion that is none", no, list(1, 900), rangeOf(2, KindPromotion, 900, 5, 6))
	f("a promotion above a list price to come", no, rangeOf(1, KindList, 900, 0, 5), rangeOf(3, KindList, 700, 5, 0), rangeOf(2, KindPromotion, 800, 4, 6))
	f("a promotion without a list price", no, rangeOf(2, KindPromotion, 800, 5, 6))
	f("a promotion that begins before", no, rangeOf(1, KindList, 900, 5, 0), rangeOf(2, KindPromotion, 800, 4, 6))
	f("a promotion that goes on", no, rangeOf(1, KindList, 900, 0, 5), rangeOf(2, KindPromotion, 800, 4, 6))
	f("a promotion above the list price of its channel", no, list(1, 900), in("app", list(2, 700)), in("app", rangeOf(3, KindPromotion, 800, 5, 6)))
	f("a promotion of a channel that has the list price of all", "", list(1, 900), in("app", rangeOf(3, KindPromotion, 800, 5, 6)))
	f("members", "", list(1, 900), level(1, rangeOf(2, KindMember, 850, 0, 0)), level(3, rangeOf(3, KindMember, 850, 0, 0)), level(4, rangeOf(4, KindMember, 800, 0, 0)))
	f("members of one level", no, list(1, 900), level(1, rangeOf(2, KindMember, 850, 0, 0)), level(1, rangeOf(3, KindMember, 840, 2, 3)))
	f("higher members who pay more", no, list(1, 900), level(1, rangeOf(2, KindMember, 850, 0, 0)), level(3, rangeOf(3, KindMember, 860, 0, 0)))
	f("higher members who pay more on other days", "", list(1, 900), level(1, rangeOf(2, KindMember, 850, 0, 2)), level(3, rangeOf(3, KindMember, 860, 2, 0)))
	f("an end before it begins", "malformed", rangeOf(1, KindList, 900, 5, 4))
	f("an end where it begins", "malformed", rangeOf(1, KindList, 900, 5, 5))
	f("no beginning", "malformed", Range{ID: 1, Kind: KindList, Price: eur(900)})
	f("a price below 0", "malformed", list(1, -1))
	f("another currency", "malformed", Range{ID: 1, Kind: KindList, Price: money.Amount{Minor: 1, Currency: mustIn("USD")}, Span: Span{From: start}})
	f("another kind", "malformed", rangeOf(1, KindDynamic, 900, 0, 0))
	f("a level of all", "malformed", level(1, list(1, 900)))
	f("members of no level", "malformed", list(1, 900), rangeOf(2, KindMember, 800, 0, 0))
	f("a channel that is no word", "malformed", in("App!", list(1, 900)))
	f("too many", "malformed", slices.Repeat([]Range{list(1, 900)}, rangesMax+1)...)
	same := Prices{list(1, 900), rangeOf(2, KindPromotion, 800, 0, 0), level(1, rangeOf(3, KindMember, 800, 0, 0))}
	if u, _ := same.At(day(1), "web", 1); u.Kind != KindPromotion || u.Source != 2 {
		t.Errorf("of a promotion and a member price that are equal, %+v is paid", u)
	}
	m := marketOf(true)
	m.PriceMin, m.PriceMax = 100, 1000
	for minor, code := range map[int64]string{99: "malformed", 100: "", 1000: "", 1001: "malformed"} {
		if err := (Prices{list(1, minor)}).Check(m); codeOf(err) != code {
			t.Errorf("%d in a market from 100 to 1000: %v", minor, err)
		}
	}
	err := Prices{list(1, 900), rangeOf(2, KindPromotion, 900, 5, 6)}.Check(marketOf(true))
	if text := err.Error(); !strings.Contains(text, "2026-11-06T00:00:00Z") || !strings.Contains(text, "prc_0000000000002") {
		t.Errorf("a refusal says neither when nor what: %s", text)
	}
}

// TestRangesByTheHour makes ranges at random, and looks at each hour of ten days by itself.
func TestRangesByTheHour(t *testing.T) {
	t.Parallel()
	d := dice(t)
	accepted := 0
	for range rounds {
		var p Prices
		for id := range 1 + d.IntN(5) {
			from := d.IntN(200)
			r := Range{ID: ids.Price(id + 1), Kind: []Kind{KindList, KindList, KindPromotion, KindMember}[d.IntN(4)], Span: Span{From: start.Add(time.Duration(from) * time.Hour)}}
			r.Price = eur(map[Kind]int64{KindList: 100, KindPromotion: 90, KindMember: 80}[r.Kind] + d.Int64N(15))
			if r.Kind == KindMember {
				r.Level = Level(1 + d.IntN(2))
			}
			if d.IntN(3) == 0 {
				r.Channel = "app"
			}
			if d.IntN(3) > 0 {
				r.To = r.From.Add(time.Duration(1+d.IntN(100)) * time.Hour)
			}
			p = append(p, r)
		}
		wrong := false
		for hour := range 400 {
			wrong = wrong || contradictsAt(p, start.Add(time.Duration(hour)*time.Hour))
		}
		err := p.Check(marketOf(true))
		if wrong != (codeOf(err) == "price_contradicts") || !wrong && err != nil {
			t.Fatalf("%+v: %v, and by the hour %v", p, err, wrong)
		}
		if wrong {
			continue
		}
		accepted++
		for hour := range 400 {
			moment := start.Add(time.Duration(hour) * time.Hour)
			for _, channel := range []Channel{"web", "app"} {
				for l := range Level(3) {
					u, sold := p.At(moment, channel, l)
					want, wanted := lowestAt(p, moment, channel, l)
					if sold != wanted || sold && u.Price.Minor != want || u.Price.Minor > u.List.Minor {
						t.Fatalf("%+v at %v in %s for level %d: %+v, want %d", p, moment, channel, l, u, want)
					}
				}
			}
		}
	}
	if accepted < rounds/50 {
		t.Errorf("only %d of %d were accepted", accepted, rounds)
	}
}

// price is what a kind costs at a moment in a channel, looked up for each level by itself; 0 is none.
func priceAt(p Prices, kind Kind, moment time.Time, channel Channel, l Level) (minor int64) {
	for _, r := range p {
		if r.Kind == kind && r.Channel == channel && r.Level == l && !r.From.After(moment) && (r.To.IsZero() || r.To.After(moment)) {
			minor = r.Price.Minor
		}
	}
	return minor
}

func listAt(p Prices, moment time.Time, channel Channel) int64 {
	if minor := priceAt(p, KindList, moment, channel, 0); minor > 0 {
		return minor
	}
	return priceAt(p, KindList, moment, "", 0)
}

func contradictsAt(p Prices, moment time.Time) bool {
	for i, r := range p {
		if !r.Has(moment) {
			continue
		}
		for n, o := range p {
			if n != i && o.Has(moment) && o.Kind == r.Kind && o.Channel == r.Channel && o.Level == r.Level {
				return true
			}
		}
		if r.Kind != KindList && r.Price.Minor >= max(listAt(p, moment, r.Channel), 0) {
			return true
		}
	}
	for _, channel := range []Channel{"", "app"} {
		low, high := priceAt(p, KindMember, moment, channel, 1), priceAt(p, KindMember, moment, channel, 2)
		if low > 0 && high > low {
			return true
		}
	}
	return false
}

func lowestAt(p Prices, moment time.Time, channel Channel, l Level) (int64, bool) {
	lowest := listAt(p, moment, channel)
	if lowest == 0 {
		return 0, false
	}
	promotion := priceAt(p, KindPromotion, moment, channel, 0)
	if promotion == 0 {
		promotion = priceAt(p, KindPromotion, moment, "", 0)
	}
	if promotion > 0 {
		lowest = min(lowest, promotion)
	}
	for _, c := range []Channel{channel, ""} {
		found := false
		for reached := Level(1); reached <= l; reached++ {
			if member := priceAt(p, KindMember, moment, c, reached); member > 0 {
				lowest, found = min(lowest, member), true
			}
		}
		if found {
			break
		}
	}
	return lowest, true
}
