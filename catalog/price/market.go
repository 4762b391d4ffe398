package price

import (
	"fmt"
	"regexp"

	"sluice/core/money"
	"sluice/core/problem"
)

// Market is where a price counts: it has one currency, one tax regime and one locale.
type Market struct {
	Code     string         `json:"code"` // such as de
	Currency money.Currency `json:"currency"`
	Locale   string         `json:"locale"`
	Regime   Regime         `json:"regime"`
	PriceMin int64          `json:"price_min"` // of one unit, in minor units
	PriceMax int64          `json:"price_max"`
}

// Regime says how goods are taxed.
type Regime struct {
	Inclusive bool            `json:"inclusive"` // prices have the tax in them; else it comes on top
	Rounding  money.Rounding  `json:"rounding"`
	Rates     map[string]Rate `json:"rates"` // by tax category
}

const ratesMax = 50

var localeForm = regexp.MustCompile(`^[a-z]{2}(?:-[A-Z]{2})?$`)

// Check refuses what no market can be.
func (m *Market) Check() error {
	switch {
	case !wordForm.MatchString(m.Code):
		return malformed("/code", wordWanted)
	case m.Currency == money.Currency{}:
		return malformed("/currency", "want a currency")
	case !localeForm.MatchString(m.Locale):
		return malformed("/locale", "want a locale such as de or pt-BR")
	case m.Regime.Rounding > money.HalfEven:
		return malformed("/regime/rounding", "want one of the ways to round")
	case m.PriceMin < 0 || m.PriceMin > m.PriceMax || m.PriceMax > money.MinorMax:
		return malformed("/price_max", "want prices from 0 to %d, the lowest first", int64(money.MinorMax))
	case len(m.Regime.Rates) == 0 || len(m.Regime.Rates) > ratesMax:
		return malformed("/regime/rates", "want 1 to %d", ratesMax)
	}
	for category, rate := range m.Regime.Rates {
		if !wordForm.MatchString(category) {
			return malformed("/regime/rates", "a tax category: "+wordWanted)
		}
		if rate < 0 || rate > Whole {
			return malformed("/regime/rates/"+category, "want 0 to %d parts of a million", Whole)
		}
	}
	return nil
}

// price refuses what no unit costs in the market.
func (m *Market) price(a money.Amount, pointer string) *problem.Problem {
	switch {
	case a.Currency != m.Currency:
		return malformed(pointer, "want an amount in %v", m.Currency)
	case a.Minor < m.PriceMin || a.Minor > m.PriceMax:
		return malformed(pointer, "want %v to %v", money.Amount{Minor: m.PriceMin, Currency: m.Currency}, money.Amount{Minor: m.PriceMax, Currency: m.Currency})
	}
	return nil
}

// discount refuses what no discount is, and no minimum of one.
func (m *Market) discount(a money.Amount, pointer string, least int64) *problem.Problem {
	switch {
	case a.Currency != m.Currency:
		return malformed(pointer, "want an amount in %v", m.Currency)
	case a.Minor < least || a.Minor > money.MinorMax:
		return malformed(pointer, "want %d to %d minor units", least, int64(money.MinorMax))
	}
	return nil
}

// none is nothing, in the currency of the market.
func (m *Market) none() money.Amount { return money.Amount{Currency: m.Currency} }

// taxes reports whether goods of a tax category can be sold in the market.
func (m *Market) taxes(category string) bool {
	_, ok := m.Regime.Rates[category]
	return ok
}

// tax is the tax of what goods of a category cost.
func (r *Regime) tax(a money.Amount, category string) (money.Amount, error) {
	rate, ok := r.Rates[category]
	if !ok {
		return money.Amount{}, fmt.Errorf("no rate of tax for %.40q", category)
	}
	if r.Inclusive {
		return a.Part(int64(rate), int64(Whole+rate), r.Rounding)
	}
	return rate.of(a, r.Rounding)
}
