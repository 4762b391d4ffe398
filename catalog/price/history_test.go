package price

import (
	"slices"
	"testing"
	"time"

	"sluice/core/money"
)

// The lawful "lowest price in 30 days" of a reduction.
func TestLowestPriceOf30Days(t *testing.T) {
	t.Parallel()
	f := func(what string, at int, want int64, began int, p ...Range) {
		t.Helper()
		prices := Prices(p)
		if err := prices.Check(marketOf(true)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		got, since, ok := prices.History("web").Before(day(at))
		if ok != (want > 0) || got.Minor != want || ok && !since.Equal(day(began)) {
			t.Errorf("%s: %v since %v, %v, want %d since %v", what, got, since, ok, want, day(began))
		}
	}
	all := func(minor int64) Range { return rangeOf(1, KindList, minor, 0, 200) }
	promotion := func(id int, minor int64, from, to int) Range { return rangeOf(id, KindPromotion, minor, from, to) }

	f("no reduction", 100, 0, 0, all(1000))
	f("a reduction", 100, 1000, 100, all(1000), promotion(2, 800, 100, 110))
	f("its last day", 109, 1000, 100, all(1000), promotion(2, 800, 100, 110))
	f("after it", 110, 0, 0, all(1000), promotion(2, 800, 100, 110))
	f("a cheaper one 31 days before", 100, 1000, 100, all(1000), promotion(2, 700, 60, 69), promotion(3, 800, 100, 110))
	f("a cheaper one until 30 days before", 100, 1000, 100, all(1000), promotion(2, 700, 60, 70), promotion(3, 800, 100, 110))
	f("a cheaper one 29 days before", 100, 0, 0, all(1000), promotion(2, 700, 60, 71), promotion(3, 800, 100, 110))
	f("a dearer one before", 100, 900, 100, all(1000), promotion(2, 900, 80, 90), promotion(3, 800, 100, 110))
	f("the same price before", 100, 0, 0, all(1000), promotion(2, 800, 80, 90), promotion(3, 800, 100, 110))
	f("step by step", 120, 1000, 100, all(1000), promotion(2, 900, 100, 110), promotion(3, 800, 110, 120), promotion(4, 700, 120, 130))
	f("step by step for months", 190, 1000, 100, all(1000), promotion(2, 900, 100, 150), promotion(3, 800, 150, 200))
	f("a step back", 115, 0, 0, all(1000), promotion(2, 700, 100, 110), promotion(3, 800, 110, 120))
	f("a step back, and down again", 125, 700, 110, all(1000), promotion(2, 700, 100, 110), promotion(3, 800, 110, 120), promotion(4, 600, 120, 130))
	f("a list price that was raised before", 100, 900, 100,
		rangeOf(1, KindList, 900, 0, 90), rangeOf(2, KindList, 1500, 90, 200), promotion(3, 800, 100, 110))
	f("a list price that was raised long before", 130, 1500, 130,
		rangeOf(1, KindList, 900, 0, 90), rangeOf(2, KindList, 1500, 90, 200), promotion(3, 800, 130, 140))
	f("new goods", 0, 0, 0, all(1000), promotion(2, 800, 0, 10))
	f("goods of five days", 5, 1000, 5, all(1000), promotion(2, 800, 5, 10))
	f("a pause does not hide a cheaper price", 102, 0, 0, rangeOf(1, KindList, 1000, 0, 100), promotion(2, 800, 80, 100),
		rangeOf(3, KindList, 1000, 101, 200), promotion(4, 800, 101, 110))
	f("members do not count", 100, 1000, 100, all(1000), level(1, rangeOf(2, KindMember, 500, 0, 200)), promotion(3, 800, 100, 110))
	f("a price of another channel does not count", 100, 1000, 100, all(1000), in("app", rangeOf(2, KindList, 700, 0, 200)), promotion(3, 800, 100, 110))
}

// Prices of members and of other channels make no difference to what a reduction is compared with, and no price but that of a promotion is one.
func TestLowestPriceOfOneChannel(t *testing.T) {
	t.Parallel()
	d := dice(t)
	shown := 0
	for range rounds / 10 {
		of := Prices{rangeOf(1, KindList, 1000, 5, 100)}
		for id, from := 2, d.IntN(20); from < 90; id++ {
			to := from + 1 + d.IntN(20)
			of = append(of, rangeOf(id, KindPromotion, 700+10*d.Int64N(9), from, to))
			from = to + d.IntN(20)
		}
		more := slices.Clone(of)
		for id := range 10 {
			from := d.IntN(90)
			r := rangeOf(100+id, KindMember, 500, from, from+1+d.IntN(20))
			if r.Level = 1; id%2 == 0 {
				r.Kind, r.Level, r.Channel = KindList, 0, "app"
			}
			more = append(more, r)
		}
		for n := range 110 {
			lowest, began, ok := of.History("web").Before(day(n))
			same, since, still := more.History("web").Before(day(n))
			if lowest != same || !began.Equal(since) || ok != still {
				t.Fatalf("day %d of %+v: %v since %v, and among others %v since %v", n, of, lowest, began, same, since)
			}
			if u, _ := of.At(day(n), "web", 0); ok && u.Kind != KindPromotion {
				t.Fatalf("day %d of %+v: %+v is a reduction", n, of, u)
			}
			if ok {
				shown++
			}
		}
	}
	if shown < rounds/10 {
		t.Errorf("only %d reductions", shown)
	}
}

// TestLowestPriceByTheDay makes histories at random, and walks them day by day.
func TestLowestPriceByTheDay(t *testing.T) {
	t.Parallel()
	d := dice(t)
	shown := 0
	for range rounds {
		const days = 120
		var h History
		by := make([]Point, days)
		var last Point
		for n := range days {
			if n == 0 || d.IntN(6) == 0 {
				last = Point{At: day(n), Price: eur(1 + d.Int64N(5)), Reduced: d.IntN(2) == 0}
				if d.IntN(12) == 0 {
					last = Point{At: day(n)}
				}
				h = append(h, last)
			}
			by[n] = last
		}
		for n := range days {
			want, began := int64(0), n
			if by[n].Reduced {
				for began > 0 && by[began-1].Reduced && by[began-1].Price.Minor >= by[began].Price.Minor {
					began--
				}
				for _, before := range by[max(began-30, 0):began] {
					if before.Price.Currency != (money.Currency{}) && (want == 0 || before.Price.Minor < want) {
						want = before.Price.Minor
					}
				}
				if want <= by[n].Price.Minor {
					want = 0
				}
			}
			got, since, ok := h.Before(day(n).Add(time.Hour))
			if ok != (want > 0) || got.Minor != want || ok && !since.Equal(day(began)) {
				t.Fatalf("day %d of %+v: %v since %v, want %d since day %d", n, h, got, since, want, began)
			}
			if ok {
				shown++
			}
		}
	}
	if shown < rounds {
		t.Errorf("only %d reductions", shown)
	}
}
