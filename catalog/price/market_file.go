package price

import (
	_ "embed"
	"errors"
	"fmt"

	"sluice/core/config"
	"sluice/core/problem"
	"sluice/core/text"
)

const (
	marketsBytesMax = 1 << 20
	marketsMax      = 100
)

// Markets are those of a shop, in the order of their file. They never change.
type Markets struct{ all []Market }

//go:embed markets.json
var defaultMarkets []byte

// DefaultMarkets are those of a shop that has no file of its own: two to begin with.
func DefaultMarkets() *Markets {
	m, err := ParseMarkets(defaultMarkets)
	if err != nil {
		panic(err) // a test reads them
	}
	return m
}

// LoadMarkets reads the markets of a file; without one it returns DefaultMarkets.
func LoadMarkets(path string) (*Markets, error) {
	if path == "" {
		return DefaultMarkets(), nil
	}
	held, err := config.ReadForm(path, marketsBytesMax)
	if err != nil {
		return nil, fmt.Errorf("markets %w", text.OfFile(err))
	}
	m, err := ParseMarkets(held)
	if err != nil {
		return nil, fmt.Errorf("markets %s: %w", path, err)
	}
	return m, nil
}

// ParseMarkets reads markets. Its error names all faults.
func ParseMarkets(held config.Form) (*Markets, error) {
	var form struct {
		Markets []Market `json:"markets"`
	}
	if err := held.Into(&form, marketsBytesMax); err != nil {
		return nil, err
	}
	if n := len(form.Markets); n == 0 || n > marketsMax {
		return nil, fmt.Errorf("%d markets, want 1 to %d", n, marketsMax)
	}
	var faults []error
	codes := map[string]bool{}
	for i := range form.Markets {
		m := &form.Markets[i]
		if err := m.Check(); err != nil {
			if p := new(problem.Problem); errors.As(err, &p) {
				err = fmt.Errorf("%s: %s", p.Pointer, p.Detail)
			}
			faults = append(faults, fmt.Errorf("market %d: %w", i+1, err))
		}
		if codes[m.Code] {
			faults = append(faults, fmt.Errorf("market %d: there is another one with the code %s", i+1, m.Code))
		}
		codes[m.Code] = true
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return &Markets{form.Markets}, nil
}

// All are all markets.
func (m *Markets) All() []Market { return m.all }

// Of finds a market by its code.
func (m *Markets) Of(code string) (*Market, error) {
	if !wordForm.MatchString(code) {
		return nil, malformed("", "the market: "+wordWanted)
	}
	for i := range m.all {
		if m.all[i].Code == code {
			return &m.all[i], nil
		}
	}
	return nil, &problem.Problem{Kind: unknownMarket}
}
