package price

import (
	"cmp"
	"fmt"
	"slices"

	"sluice/core/money"
	"sluice/core/problem"
)

// Strategy is what a promotion does. It is either of lines, or of sets.
type Strategy interface {
	// Name is what the strategy is called outside.
	Name() string
	check(m *Market) *problem.Problem
}

// ofLine is a strategy that lowers what the units of a line cost.
type ofLine interface {
	Strategy
	// off is the discount of so many units of one price, for a member of a level. It is not more than they cost.
	off(m *Market, unit money.Amount, units int64, level Level) (money.Amount, error)
}

// ofSet is a strategy that takes units of lines together. No other promotion counts for these units.
type ofSet interface {
	Strategy
	// take lowers what lines cost by its sets, and takes their units. It says how much less each line costs.
	take(m *Market, lines []*line) ([]money.Amount, error)
}

// Percentage takes a part off.
type Percentage struct {
	Off Rate `json:"off"`
}

// AmountOff takes an amount off each unit, and at most what it costs.
type AmountOff struct {
	Off money.Amount `json:"off"`
}

// Tiers take a part off that depends on the level of the member: that of the highest tier that the member has reached.
type Tiers []Tier

// Tier is what members have off from a level on.
type Tier struct {
	Level Level `json:"level"`
	Off   Rate  `json:"off"`
}

// BuyPay makes sets of units of which the cheapest ones are free: of each Buy units, Pay are paid. The units are put into
// sets from the dearest to the cheapest one, so that as much as possible is free.
type BuyPay struct {
	Buy int64 `json:"buy"`
	Pay int64 `json:"pay"`
}

// Bundle sells SKUs together for a price.
type Bundle struct {
	Parts []Part       `json:"parts"`
	Price money.Amount `json:"price"` // of one set
}

// Part is so many units of a SKU in each set of a bundle.
type Part struct {
	SKU      int64 `json:"sku_id,string"`
	Quantity int64 `json:"quantity"`
}

// Name implements Strategy.
func (Percentage) Name() string { return "percentage" }

// Name implements Strategy.
func (AmountOff) Name() string { return "amount" }

// Name implements Strategy.
func (Tiers) Name() string { return "tiers" }

// Name implements Strategy.
func (BuyPay) Name() string { return "buy_pay" }

// Name implements Strategy.
func (Bundle) Name() string { return "bundle" }

func checkOff(r Rate, pointer string) *problem.Problem {
	if r < 1 || r > Whole {
		return malformed(pointer, "want 1 to %d parts of a million", Whole)
	}
	return nil
}

func (s Percentage) check(*Market) *problem.Problem { return checkOff(s.Off, "/off") }

func (s Percentage) off(m *Market, unit money.Amount, units int64, _ Level) (money.Amount, error) {
	cost, err := unit.Times(units)
	if err != nil {
		return money.Amount{}, err
	}
	return s.Off.of(cost, m.Regime.Rounding)
}

func (s AmountOff) check(m *Market) *problem.Problem { return m.discount(s.Off, "/off", 1) }

func (s AmountOff) off(_ *Market, unit money.Amount, units int64, _ Level) (money.Amount, error) {
	return money.Amount{Minor: min(s.Off.Minor, unit.Minor), Currency: unit.Currency}.Times(units)
}

func (s Tiers) check(*Market) *problem.Problem {
	if len(s) == 0 || len(s) > int(LevelMax) {
		return malformed("", "want 1 to %d tiers", LevelMax)
	}
	for i, tier := range s {
		if tier.Level < 1 || tier.Level > LevelMax || i > 0 && (tier.Level <= s[i-1].Level || tier.Off < s[i-1].Off) {
			return malformed(fmt.Sprintf("/%d", i), "want levels of 1 to %d that rise, with parts that do not fall", LevelMax)
		}
		if p := checkOff(tier.Off, fmt.Sprintf("/%d/off", i)); p != nil {
			return p
		}
	}
	return nil
}

func (s Tiers) off(m *Market, unit money.Amount, units int64, level Level) (money.Amount, error) {
	var reached Rate
	for _, tier := range s {
		if level >= tier.Level {
			reached = tier.Off
		}
	}
	return Percentage{reached}.off(m, unit, units, level)
}

const (
	buyMax   = 100
	partsMax = 10
)

func (s BuyPay) check(*Market) *problem.Problem {
	if s.Buy < 2 || s.Buy > buyMax || s.Pay < 1 || s.Pay >= s.Buy {
		return malformed("/buy", "want 2 to %d, and fewer of them to pay", buyMax)
	}
	return nil
}

// free is how many of the first units are free, if the units are in their order and the sets are full.
func (s BuyPay) free(units int64) int64 {
	return units/s.Buy*(s.Buy-s.Pay) + max(units%s.Buy-s.Pay, 0)
}

func (s BuyPay) take(_ *Market, lines []*line) ([]money.Amount, error) {
	order, units := make([]int, 0, len(lines)), int64(0)
	for i := range lines {
		order = append(order, i)
		units += lines[i].left
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(lines[j].Unit.Price.Minor, lines[i].Unit.Price.Minor) })
	off, before, taken := make([]money.Amount, len(lines)), int64(0), units/s.Buy*s.Buy
	for _, i := range order {
		take := min(lines[i].left, taken-before)
		cut, err := lines[i].Unit.Price.Times(s.free(before+take) - s.free(before))
		if err != nil {
			return nil, err
		}
		off[i], before = cut, before+take
		lines[i].left -= take
	}
	return off, nil
}

func (s Bundle) check(m *Market) *problem.Problem {
	if len(s.Parts) == 0 || len(s.Parts) > partsMax {
		return malformed("/parts", "want 1 to %d", partsMax)
	}
	for i, part := range s.Parts {
		if part.SKU < 1 || part.Quantity < 1 || part.Quantity > buyMax || slices.ContainsFunc(s.Parts[:i], func(o Part) bool { return o.SKU == part.SKU }) {
			return malformed(fmt.Sprintf("/parts/%d", i), "want each SKU once, and 1 to %d of it", buyMax)
		}
	}
	return m.discount(s.Price, "/price", 0)
}

func (s Bundle) take(m *Market, lines []*line) ([]money.Amount, error) {
	off, weights := make([]money.Amount, len(lines)), make([]int64, len(lines))
	for i := range off {
		off[i] = m.none()
	}
	sets, find := int64(-1), make([]int, len(s.Parts))
	for n, part := range s.Parts {
		find[n] = slices.IndexFunc(lines, func(l *line) bool { return l.SKU == part.SKU })
		if find[n] < 0 {
			return off, nil
		}
		if all := lines[find[n]].left / part.Quantity; sets < 0 || all < sets {
			sets = all
		}
	}
	if sets <= 0 {
		return off, nil
	}
	apart := m.none() // what the units of one set cost by themselves
	for n, part := range s.Parts {
		one, err := lines[find[n]].Unit.Price.Times(part.Quantity)
		if err != nil {
			return nil, err
		}
		all, err := one.Times(sets)
		if err == nil {
			weights[find[n]] = all.Minor
			apart, err = apart.Add(one)
		}
		if err != nil {
			return nil, err
		}
	}
	if s.Price.Minor >= apart.Minor {
		return off, nil
	}
	saved, err := apart.Sub(s.Price)
	if err == nil {
		saved, err = saved.Times(sets)
	}
	if err != nil {
		return nil, err
	}
	for n, part := range s.Parts {
		lines[find[n]].left -= part.Quantity * sets
	}
	return saved.Allocate(weights...)
}
