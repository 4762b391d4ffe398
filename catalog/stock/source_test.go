package stock

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sluice/core/ids"
)

var drawnRule = rapid.SampledFrom([]Rule{RuleNearest, RuleFewest, RuleCheapest})

// drawShelves draws warehouses with what is free in them.
func drawShelves(t *rapid.T, most int) []Shelf {
	shelves := make([]Shelf, rapid.IntRange(0, most).Draw(t, "shelves"))
	for i := range shelves {
		s := Shelf{
			ID: ids.Warehouse(i + 1), Priority: rapid.IntRange(0, 2).Draw(t, "priority"), Cost: rapid.Int64Range(0, 5).Draw(t, "cost"), Free: map[int64]int{},
			Address: Address{Country: rapid.SampledFrom([]string{"DE", "PT"}).Draw(t, "country"), Divisions: rapid.SliceOfN(rapid.SampledFrom([]string{"A", "B"}), 0, 2).Draw(t, "divisions")},
		}
		for sku := range int64(3) {
			s.Free[sku+1] = rapid.IntRange(-2, 6).Draw(t, "free")
		}
		shelves[i] = s
	}
	return shelves
}

func drawLines(t *rapid.T) (lines []Line) {
	for sku := range rapid.Int64Range(1, 3).Draw(t, "lines") {
		lines = append(lines, Line{sku + 1, rapid.IntRange(1, 12).Draw(t, "quantity")})
	}
	return lines
}

var home = Address{Country: "DE", Divisions: []string{"A", "B"}}

// TestPartsAddUp: with any rule the parts of a line and what is short of it are the line, no warehouse sends what it has not, nothing is short that
// is there, and the order of what is asked means nothing.
func TestPartsAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rule, shelves, lines := drawnRule.Draw(t, "rule"), drawShelves(t, 6), drawLines(t)
		parts, short := Source(rule, home, shelves, lines)
		sent := map[Part]int{}
		for _, line := range lines {
			sum, there := short[line.SKU], 0
			for _, p := range parts {
				if p.SKU == line.SKU {
					sum += p.Quantity
					sent[Part{SKU: p.SKU, Warehouse: p.Warehouse}] += p.Quantity
				}
			}
			for _, s := range shelves {
				there += max(0, s.Free[line.SKU])
			}
			if sum != line.Quantity || short[line.SKU] != max(0, line.Quantity-there) {
				t.Fatalf("SKU %d: %v and %v short of %d, and %d are there", line.SKU, parts, short, line.Quantity, there)
			}
		}
		for of, n := range sent {
			if n <= 0 || n > shelves[of.Warehouse-1].Free[of.SKU] {
				t.Fatalf("%v sends %d", of, n)
			}
		}
		seed := rapid.Uint64().Draw(t, "seed")
		random := rand.New(rand.NewPCG(seed, seed))
		random.Shuffle(len(shelves), func(i, j int) { shelves[i], shelves[j] = shelves[j], shelves[i] })
		random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		if again, _ := Source(rule, home, shelves, lines); !slices.Equal(again, parts) {
			t.Fatalf("%v in one order, %v in another", parts, again)
		}
	})
}

// TestSetsAreTheBest compares the warehouses that are taken with all sets of them, where two are enough.
func TestSetsAreTheBest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rule := rapid.SampledFrom([]Rule{RuleFewest, RuleCheapest}).Draw(t, "rule")
		shelves, lines := drawShelves(t, 5), drawLines(t)
		there, fewest, cheapest := covered(shelves, lines), 99, int64(99)
		for set := range 1 << len(shelves) {
			var of []Shelf
			for i, s := range shelves {
				if set>>i&1 == 1 {
					of = append(of, s)
				}
			}
			if there > 0 && len(of) <= 2 && covered(of, lines) == there {
				fewest, cheapest = min(fewest, len(of)), min(cheapest, costs(of))
			}
		}
		if fewest == 99 {
			t.Skip("two are not enough")
		}
		taken := choose(rule, shelves, lines)
		if rule == RuleFewest && len(taken) != fewest || rule == RuleCheapest && costs(taken) != cheapest || covered(taken, lines) != there {
			t.Fatalf("%v: %v, and %d or %d would do", rule, taken, fewest, cheapest)
		}
	})
}

func TestSource(t *testing.T) {
	t.Parallel()
	shelf := func(id ids.Warehouse, country string, cost int64, one, two int, divisions ...string) Shelf {
		return Shelf{ID: id, Address: Address{country, divisions}, Cost: cost, Free: map[int64]int{1: one, 2: two}}
	}
	shelves := []Shelf{
		shelf(1, "PT", 1, 10, 10), shelf(2, "DE", 9, 2, 0, "A", "C"), shelf(3, "DE", 5, 3, 0, "A", "B"), shelf(4, "DE", 4, 4, 4, "B"), shelf(5, "DE", 4, 4, 4, "B"),
	}
	lines := []Line{{1, 4}, {2, 3}}
	for rule, want := range map[Rule]string{
		RuleNearest:  "[{1 whs_0000000000003 3} {1 whs_0000000000002 1} {2 whs_0000000000004 3}]",
		RuleFewest:   "[{1 whs_0000000000004 4} {2 whs_0000000000004 3}]",
		RuleCheapest: "[{1 whs_0000000000001 4} {2 whs_0000000000001 3}]",
	} {
		if got, short := Source(rule, home, shelves, lines); fmt.Sprint(got) != want || len(short) != 0 {
			t.Errorf("%s: %v, %v short, want %s", rule, got, short, want)
		}
	}
	// Of three warehouses that are needed, the one with the most comes first, or the cheapest.
	many := []Line{{1, 22}}
	for rule, want := range map[Rule]string{
		RuleFewest:   "[{1 whs_0000000000001 10} {1 whs_0000000000004 4} {1 whs_0000000000005 4} {1 whs_0000000000003 3} {1 whs_0000000000002 1}]",
		RuleCheapest: "[{1 whs_0000000000001 10} {1 whs_0000000000004 4} {1 whs_0000000000005 4} {1 whs_0000000000003 3} {1 whs_0000000000002 1}]",
	} {
		if got, _ := Source(rule, home, shelves, many); fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", rule, got, want)
		}
	}
}
