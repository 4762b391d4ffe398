package price

import (
	"testing"

	"sluice/core/money"
)

func TestDynamicPrices(t *testing.T) {
	t.Parallel()
	m := marketOf(true)
	policy := Dynamic{
		Floor: eur(700), Ceiling: eur(1300),
		Stock:  []Step{{0, 100_000}, {10, 0}, {100, -50_000}}, // the last units are dearer
		Age:    []Step{{30, -100_000}, {90, -250_000}},
		Demand: []Step{{50, 150_000}},
	}
	if err := policy.Check(m); err != nil {
		t.Fatal(err)
	}
	f := func(list, want int64, s Signals) {
		t.Helper()
		u, err := Unit{List: eur(list), Price: eur(list), Kind: KindList, Source: 1}.Move(m, &policy, s)
		if err != nil || u.Price.Minor != want || u.List.Minor != list || u.Kind != KindDynamic {
			t.Errorf("%d with %+v is %+v (%v), want %d", list, s, u, err, want)
		}
	}
	f(1000, 1000, Signals{Stock: 10})
	f(1000, 1100, Signals{Stock: 9})
	f(1000, 950, Signals{Stock: 100})
	f(1000, 900, Signals{Stock: 99, Age: 30})
	f(1000, 750, Signals{Stock: 10, Age: 365})
	f(1000, 700, Signals{Stock: 1000, Age: 365}) // the floor
	f(1000, 1250, Signals{Stock: 1, Demand: 50})
	f(1200, 1300, Signals{Stock: 1, Demand: 50}) // the ceiling
	f(1005, 1106, Signals{Stock: 0})             // 1105.5
	for promotion, want := range map[int64]Unit{
		980: {List: eur(1000), Price: eur(950), Kind: KindDynamic, Source: 2},
		900: {List: eur(1000), Price: eur(900), Kind: KindPromotion, Source: 2},
	} {
		u := Unit{List: eur(1000), Price: eur(promotion), Kind: KindPromotion, Source: 2}
		if got, err := u.Move(m, &policy, Signals{Stock: 100}); err != nil || got != want {
			t.Errorf("a promotion at %d: %+v (%v), want %+v", promotion, got, err, want)
		}
	}
	for what, wrong := range map[string]Dynamic{
		"a floor above the ceiling": {Floor: eur(2), Ceiling: eur(1)},
		"a floor below 0":           {Floor: eur(-1), Ceiling: eur(1)},
		"no ceiling":                {Floor: eur(1)},
		"steps that do not rise":    {Floor: eur(1), Ceiling: eur(2), Age: []Step{{5, 1}, {5, 2}}},
		"a signal below 0":          {Floor: eur(1), Ceiling: eur(2), Stock: []Step{{-1, 1}}},
		"a move beyond all":         {Floor: eur(1), Ceiling: eur(2), Demand: []Step{{1, Whole + 1}}},
		"too many steps":            {Floor: eur(1), Ceiling: eur(2), Demand: make([]Step, stepsMax+1)},
	} {
		if err := wrong.Check(m); codeOf(err) != "malformed" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A dynamic price is never outside of its floor and its ceiling, whatever the steps and the signals are.
func TestDynamicPricesStayWithin(t *testing.T) {
	t.Parallel()
	d := dice(t)
	steps := func() (all []Step) {
		for from := range d.Int64N(4) {
			all = append(all, Step{from * 10, Rate(d.Int64N(2*int64(Whole)+1)) - Whole})
		}
		return all
	}
	for range rounds {
		low := d.Int64N(1000)
		policy := Dynamic{Floor: eur(low), Ceiling: eur(low + d.Int64N(1000)), Stock: steps(), Age: steps(), Demand: steps()}
		if err := policy.Check(marketOf(true)); err != nil {
			t.Fatal(err)
		}
		got, err := policy.price(eur(d.Int64N(3000)), Signals{d.Int64N(50), d.Int64N(50), d.Int64N(50)}, money.HalfUp)
		if err != nil || got.Minor < policy.Floor.Minor || got.Minor > policy.Ceiling.Minor {
			t.Fatalf("%+v: %v, %v", policy, got, err)
		}
	}
}
