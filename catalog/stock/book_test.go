package stock

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// drawEntries draws lines of documents about a SKU in a warehouse.
func drawEntries(t *rapid.T) []entry {
	all := make([]entry, rapid.IntRange(0, 12).Draw(t, "entries"))
	for i := range all {
		kind := rapid.SampledFrom(append([]Kind{KindCounted}, deltas...)).Draw(t, "kind")
		quantity := rapid.Int64Range(1, 50).Draw(t, "quantity")
		if kind == KindCorrected && rapid.Bool().Draw(t, "loses") {
			quantity = -quantity
		}
		all[i] = entry{fmt.Sprintf("d%02d", i), rapid.Int64Range(1, 8).Draw(t, "position"), kind, quantity}
	}
	return all
}

// TestNothingIsNettedTwice: whatever the order in which documents come, the units are those of the last count and of what is behind its
// position.
func TestNothingIsNettedTwice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := drawEntries(t)
		want := fold(all)
		var cut, plain int64
		for _, e := range all { // the definition, once more
			if e.Kind == KindCounted && e.Position >= cut {
				cut, plain = e.Position, e.Quantity // of equal positions the later document, which is behind
			}
		}
		for _, e := range all {
			if e.Kind != KindCounted && e.Position > cut {
				plain += e.Kind.move(e.Quantity)
			}
		}
		if want.OnHand != plain || want.Cut != cut {
			t.Fatalf("%v are %+v, want %d as of %d", all, want, plain, cut)
		}
		seed := rapid.Uint64().Draw(t, "seed")
		rand.New(rand.NewPCG(seed, seed)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		var got units
		for i, e := range all {
			var after int64
			for _, before := range all[:i] {
				if before.Kind != KindCounted && before.Position > e.Position {
					after += before.Kind.move(before.Quantity)
				}
			}
			got, _ = got.apply(e, after)
		}
		if got != want {
			t.Fatalf("%v one by one are %+v, and at once %+v", all, got, want)
		}
	})
}

func TestTargets(t *testing.T) {
	t.Parallel()
	f := func(p plan, supplied, want int64) {
		t.Helper()
		if got := p.target(supplied); got != want {
			t.Errorf("%+v of %d: %d, want %d", p, supplied, got, want)
		}
	}
	f(plan{}, 7, 7)
	f(plan{Safe: 5}, 7, 7)
	f(plan{Safe: 5, Reduces: true}, 7, 2)
	f(plan{Safe: 9, Reduces: true}, 7, 0)
	f(plan{Ahead: 3}, 0, 3)
	f(plan{Ahead: 3, Safe: 1, Reduces: true}, -1, 1)
	f(plan{}, -4, 0)
	f(plan{}, 1<<60, unitsMax)
}

// TestCrossings: a number of free units that moves about the bound crosses it once.
func TestCrossings(t *testing.T) {
	t.Parallel()
	f := func(bound int64, free []int64, want int) {
		t.Helper()
		low, crossed := false, 0
		for _, n := range free {
			if now := crossing(low, bound, n); now != low {
				low, crossed = now, crossed+1
			}
		}
		if crossed != want {
			t.Errorf("%v about %d: %d crossings, want %d", free, bound, crossed, want)
		}
	}
	f(10, []int64{12, 11, 10, 11, 10, 9, 11, 10}, 1)
	f(10, []int64{12, 10, 12, 10}, 3)
	f(100, []int64{100, 110, 100, 111}, 2)
	f(0, []int64{1, 0, 1, 0, 2, 0}, 3)
	f(0, []int64{5, 4}, 0)
}
