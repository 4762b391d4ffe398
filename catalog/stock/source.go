package stock

import (
	"cmp"
	"slices"

	"sluice/core/ids"
)

// Rule says from which warehouses what was paid is sent.
type Rule string

// The rules.
const (
	// RuleNearest empties the nearest warehouse first.
	RuleNearest Rule = "nearest"
	// RuleFewest takes the fewest warehouses, and of as many the nearest ones.
	RuleFewest Rule = "fewest_parcels"
	// RuleCheapest takes the warehouses whose parcels cost the least together, then the fewest, then the nearest ones.
	RuleCheapest Rule = "cost"
)

// Address is where a warehouse or a buyer is: a country, and its divisions from the largest one on.
type Address struct {
	Country   string   `json:"country"`
	Divisions []string `json:"divisions,omitzero"`
}

// near is how much two addresses have in common: 0 is another country, and each division that is the same one more.
func near(a, b Address) (levels int) {
	if a.Country != b.Country {
		return 0
	}
	for levels = 1; levels <= min(len(a.Divisions), len(b.Divisions)) && a.Divisions[levels-1] == b.Divisions[levels-1]; levels++ {
	}
	return levels
}

// Shelf is a warehouse with what is free in it.
type Shelf struct {
	ID       ids.Warehouse
	Address  Address
	Priority int           // among those that are as near: the lower comes first
	Cost     int64         // of a parcel, in minor units of one currency
	Free     map[int64]int // units by SKU
}

// Line is what was paid of a SKU.
type Line struct {
	SKU      int64
	Quantity int
}

// Part is what a warehouse sends of a line.
type Part struct {
	SKU       int64
	Warehouse ids.Warehouse
	Quantity  int
}

// Source divides lines over warehouses. The parts of a line and what is short of it add up to the line, and no warehouse sends more
// than is free in it. What comes out depends on no order of lines or shelves. Each SKU is in one line.
//
// Warehouses are compared by nearness, then priority, then id. RuleNearest takes from them in this order. The others look first for
// a warehouse, or two, that have all that there is: of several sets the one with the fewest warehouses, or the lowest cost of parcels, then the
// first one in this order. If two are not enough, they take again and again the warehouse that adds the most units, or has the cheapest parcel.
func Source(by Rule, to Address, shelves []Shelf, lines []Line) (parts []Part, short map[int64]int) {
	shelves, lines = slices.Clone(shelves), slices.Clone(lines)
	slices.SortFunc(shelves, func(a, b Shelf) int {
		return cmp.Or(cmp.Compare(near(b.Address, to), near(a.Address, to)), cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.ID, b.ID))
	})
	slices.SortFunc(lines, func(a, b Line) int { return cmp.Compare(a.SKU, b.SKU) })
	switch by {
	case RuleFewest, RuleCheapest:
		shelves = choose(by, shelves, lines)
	case RuleNearest:
	}
	short = map[int64]int{}
	for _, line := range lines {
		left := line.Quantity
		for _, s := range shelves {
			if take := min(left, s.Free[line.SKU]); take > 0 {
				parts = append(parts, Part{line.SKU, s.ID, take})
				left -= take
			}
		}
		if left > 0 {
			short[line.SKU] = left
		}
	}
	return parts, short
}

// choose returns shelves that have all that there is of the lines, in the order in which to take from them.
func choose(by Rule, shelves []Shelf, lines []Line) []Shelf {
	there := covered(shelves, lines)
	if there == 0 {
		return nil
	}
	var best []Shelf
	better := func(of []Shelf) bool {
		switch {
		case covered(of, lines) < there:
			return false
		case best == nil:
			return true
		case by == RuleCheapest && costs(of) != costs(best):
			return costs(of) < costs(best)
		}
		return len(of) < len(best) // of as many, the first one found is before the others
	}
	for i := range shelves {
		if one := shelves[i : i+1]; better(one) {
			best = one
		}
	}
	if best == nil || by == RuleCheapest {
		for i := range shelves {
			for j := i + 1; j < len(shelves); j++ {
				if two := []Shelf{shelves[i], shelves[j]}; better(two) {
					best = two
				}
			}
		}
	}
	if best != nil {
		return best
	}
	return greedy(by, shelves, lines, there)
}

// greedy takes shelves one by one.
func greedy(by Rule, shelves []Shelf, lines []Line, there int) (taken []Shelf) {
	left := slices.Clone(shelves)
	for has := 0; has < there; {
		best, adds := -1, 0
		for i, s := range left {
			more := covered(append(slices.Clone(taken), s), lines) - has
			if more > 0 && (best < 0 || by == RuleFewest && more > adds || by == RuleCheapest && s.Cost < left[best].Cost) {
				best, adds = i, more
			}
		}
		taken, has = append(taken, left[best]), has+adds
		left = slices.Delete(left, best, best+1)
	}
	return taken
}

// covered is how many units of the lines some shelves have.
func covered(shelves []Shelf, lines []Line) (units int) {
	for _, line := range lines {
		has := 0
		for _, s := range shelves {
			has += max(0, s.Free[line.SKU])
		}
		units += min(has, line.Quantity)
	}
	return units
}

func costs(of []Shelf) (sum int64) {
	for _, s := range of {
		sum += s.Cost
	}
	return sum
}
