package price

import (
	"slices"
	"testing"
	"time"
)

func TestNobodyChangesThePast(t *testing.T) {
	t.Parallel()
	before := Prices{rangeOf(1, KindList, 900, 0, 40), rangeOf(2, KindPromotion, 800, 5, 10), rangeOf(3, KindPromotion, 700, 15, 25), rangeOf(4, KindPromotion, 600, 30, 35)}
	now := day(20) // 1 and 3 are in force, 2 has ended, 4 has not begun
	f := func(what, code string, change func(p Prices) Prices) {
		t.Helper()
		if err := change(slices.Clone(before)).Follow(before, marketOf(true), now); codeOf(err) != code {
			t.Errorf("%s: %v, want %q", what, err, code)
		}
	}
	set := func(i int, change func(r *Range)) func(Prices) Prices {
		return func(p Prices) Prices { change(&p[i]); return p }
	}
	add := func(r Range) func(Prices) Prices { return func(p Prices) Prices { return append(p, r) } }
	drop := func(i int) func(Prices) Prices { return func(p Prices) Prices { return slices.Delete(p, i, i+1) } }
	const no = "wrong_state"
	f("nothing", "", func(p Prices) Prices { return p })
	f("another order", "", func(p Prices) Prices { slices.Reverse(p); return p })
	f("an earlier end", "", set(2, func(r *Range) { r.To = day(21) }))
	f("an end at once", "", set(2, func(r *Range) { r.To = now }))
	f("an end before", no, set(2, func(r *Range) { r.To = now.Add(-1) }))
	f("a later end", "", set(2, func(r *Range) { r.To = day(28) }))
	f("a later end that contradicts", "price_contradicts", set(2, func(r *Range) { r.To = day(31) }))
	f("no end", "", set(0, func(r *Range) { r.To = time.Time{} }))
	f("another price", no, set(2, func(r *Range) { r.Price = eur(701) }))
	f("another beginning", no, set(2, func(r *Range) { r.From = day(16) }))
	f("another channel", no, set(2, func(r *Range) { r.Channel = "app" }))
	f("another end of what has ended", no, set(1, func(r *Range) { r.To = day(22) }))
	f("without what has ended", no, drop(1))
	f("without what is in force", no, drop(2))
	f("without what is to come", "", drop(3))
	f("another price to come", "", set(3, func(r *Range) { r.Price, r.From = eur(500), day(26) }))
	f("what is to come at once", "price_contradicts", set(3, func(r *Range) { r.From = now }))
	f("what is to come in the past", no, set(3, func(r *Range) { r.From = now.Add(-1) }))
	f("a new one", "", add(rangeOf(5, KindPromotion, 650, 26, 29)))
	f("a new one in the past", no, add(rangeOf(5, KindPromotion, 650, 11, 14)))
	f("one twice", "malformed", add(before[3]))
	f("a new list price from now on", "", func(p Prices) Prices {
		p[0].To = now
		return append(p, rangeOf(5, KindList, 950, 20, 40))
	})
}

// A market may get other bounds while prices count. Those that have begun are kept, and may end.
func TestBoundsOfAMarketChange(t *testing.T) {
	t.Parallel()
	before := Prices{rangeOf(1, KindList, 900, 0, 0), rangeOf(2, KindPromotion, 800, 5, 10), rangeOf(3, KindPromotion, 700, 30, 40)}
	m, now := marketOf(true), day(20) // 2 has ended, 3 has not begun
	m.PriceMin = 1000
	f := func(what, code string, p ...Range) {
		t.Helper()
		if err := Prices(p).Follow(before, m, now); codeOf(err) != code {
			t.Errorf("%s: %v, want %q", what, err, code)
		}
	}
	ended := before[0]
	ended.To = now
	f("all that has begun", "", before[0], before[1])
	f("what is to come too", "malformed", before...)
	f("an end at once", "", ended, before[1])
	f("a new one instead", "", ended, before[1], rangeOf(4, KindList, 1000, 20, 0))
	f("a new one outside", "malformed", ended, before[1], rangeOf(4, KindList, 999, 20, 0))
	wish := func(r Range) Wish { return Wish{ID: r.ID, Kind: r.Kind, Price: r.Price, From: r.From, To: r.To} }
	fresh := wish(before[0])
	fresh.ID = 0
	if p := checkWishes([]Wish{wish(before[0]), wish(before[2])}, m); p != nil {
		t.Errorf("prices that are there are refused: %v", p)
	}
	if p := checkWishes([]Wish{wish(before[0]), fresh}, m); p == nil || p.Pointer != "/prices/1/price" {
		t.Errorf("a new price outside of the bounds: %v", p)
	}
	if s, ok := before.shown(m, now, "web"); ok {
		t.Errorf("shoppers see %+v, which is never quoted", s)
	}
}

// Whatever changes are allowed, what was paid stays, and so does what reductions were compared with.
func TestThePastStays(t *testing.T) {
	t.Parallel()
	d := dice(t)
	allowed := 0
	for range rounds {
		before := Prices{list(1, 900)}
		now := day(20)
		change := func(p Prices) Prices {
			p = slices.Clone(p)
			for range 1 + d.IntN(2) {
				switch n := d.IntN(len(p)); d.IntN(4) {
				case 0:
					p[n].To = day(d.IntN(60))
				case 1:
					p[n].Price = eur(500 + d.Int64N(300))
				case 2:
					p = slices.Delete(p, n, n+1)
				}
				from := d.IntN(50)
				p = append(p, rangeOf(d.IntN(1_000_000)+10, KindPromotion, 500+d.Int64N(300), from, from+1+d.IntN(20)))
			}
			return p
		}
		for before.Check(marketOf(true)) != nil || len(before) < 3 {
			before = change(Prices{list(1, 900)})
		}
		after := change(before)
		if after.Follow(before, marketOf(true), now) != nil {
			continue
		}
		allowed++
		old, changed := before.History("web"), after.History("web")
		for moment := day(0); moment.Before(now); moment = moment.AddDate(0, 0, 1) {
			was, sold := before.At(moment, "web", 0)
			is, sells := after.At(moment, "web", 0)
			lowest, began, ok := old.Before(moment)
			same, since, still := changed.Before(moment)
			if was != is || sold != sells || lowest != same || !began.Equal(since) || ok != still {
				t.Fatalf("%v: %+v was %+v, and is %+v", moment, before, was, is)
			}
		}
	}
	if allowed < rounds/100 {
		t.Errorf("only %d of %d changes were allowed", allowed, rounds)
	}
}

// Each moment is told once, however long nobody told any.
func TestMomentsAreToldOnce(t *testing.T) {
	t.Parallel()
	d := dice(t)
	for range rounds / 10 {
		p := Prices{list(1, 900)}
		for id := range d.IntN(10) {
			from := d.IntN(50)
			p = append(p, rangeOf(id+2, KindPromotion, 500, from, from+1+d.IntN(20)))
		}
		var told []time.Time
		last := start.Add(-time.Hour)
		for now := last; now.Before(day(80)); {
			now = now.Add(time.Duration(d.IntN(300)) * time.Hour)
			told = append(told, p.Moments(last, now)...)
			last = now
		}
		if all := p.Moments(start.Add(-time.Hour), day(1000)); !slices.Equal(told, all) || !slices.IsSortedFunc(all, time.Time.Compare) {
			t.Fatalf("%+v: told %v, want %v", p, told, all)
		}
	}
	if all := (Prices{list(1, 900)}).Moments(start, day(10)); len(all) != 0 {
		t.Errorf("%v was told before", all)
	}
}
