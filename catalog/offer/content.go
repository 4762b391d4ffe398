package offer

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"sluice/core/money"
	"sluice/core/problem"
	"sluice/core/text"
)

// Content is what an offer is.
type Content struct {
	Market   string          `json:"market"` // where its prices count
	Currency money.Currency  `json:"currency"`
	Texts    map[string]Text `json:"texts"` // by locale
	Items    []Item          `json:"items"`
	OpensAt  time.Time       `json:"opens_at"`
	ClosesAt time.Time       `json:"closes_at"`
	Rules    Rules           `json:"rules"`
}

// Text is what an offer is called and said of it, in one locale.
type Text struct {
	Title       string `json:"title"`
	Description string `json:"description,omitempty"`
}

// Item is a SKU of an offer.
type Item struct {
	SKU   int64 `json:"sku_id,string"`
	Units int64 `json:"units"` // that the sale gets of the normal stock
	Price int64 `json:"price"` // of a unit, in minor units of the currency
}

// Rules say who may take how much.
type Rules struct {
	Limit      int64 `json:"limit,omitzero"` // units per user; 0: no limit
	Registered bool  `json:"registered_only,omitzero"`
	HoldS      int64 `json:"hold_seconds"` // how long a unit is held for whoever has reserved it
}

const (
	localesMax          = 20
	titleBytesMax       = 200
	descriptionBytesMax = 2000
	itemsMax            = 100
	unitsMax            = 10_000_000
	limitMax            = 1000
	holdMinS, holdMaxS  = 60, 3600

	lastsMin = time.Minute
	lastsMax = 90 * 24 * time.Hour
)

var (
	localeForm = regexp.MustCompile(`^[a-z]{2}(?:-[A-Z]{2})?$`)
	wordForm   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

	yearFirst = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	yearEnd   = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

// check refuses what no offer can be, whatever its seller has.
func (c *Content) check() *problem.Problem {
	switch {
	case !wordForm.MatchString(c.Market):
		return malformed("/market", "want 1 to 40 lower-case letters, digits and _ that begin with a letter")
	case c.Currency == money.Currency{}:
		return malformed("/currency", "want a currency")
	case c.Rules.Limit < 0 || c.Rules.Limit > limitMax:
		return malformed("/rules/limit", "want 1 to %d units", limitMax)
	case c.Rules.HoldS < holdMinS || c.Rules.HoldS > holdMaxS:
		return malformed("/rules/hold_seconds", "want %d to %d", holdMinS, holdMaxS)
	}
	if problem := c.checkWindow(); problem != nil {
		return problem
	}
	if problem := c.checkTexts(); problem != nil {
		return problem
	}
	return c.checkItems()
}

func (c *Content) checkWindow() *problem.Problem {
	for _, at := range []struct {
		pointer string
		time    time.Time
	}{{"/opens_at", c.OpensAt}, {"/closes_at", c.ClosesAt}} {
		if at.time.Before(yearFirst) || !at.time.Before(yearEnd) || at.time.Location() != time.UTC || at.time.Truncate(time.Millisecond) != at.time {
			return malformed(at.pointer, "want a time in the years 2020 to 2099, to the millisecond")
		}
	}
	if lasts := c.ClosesAt.Sub(c.OpensAt); lasts < lastsMin || lasts > lastsMax {
		return malformed("/closes_at", "want the offer to last a minute to 90 days")
	}
	return nil
}

func (c *Content) checkTexts() *problem.Problem {
	if len(c.Texts) == 0 || len(c.Texts) > localesMax {
		return malformed("/texts", "want texts in 1 to %d locales", localesMax)
	}
	for _, locale := range slices.Sorted(maps.Keys(c.Texts)) {
		if !localeForm.MatchString(locale) {
			return malformed("/texts", "want locales such as de or pt-BR")
		}
		t := c.Texts[locale]
		if err := text.Check(t.Title, titleBytesMax); err != nil {
			return malformed("/texts/"+locale+"/title", "%v", err)
		}
		if len(t.Description) > descriptionBytesMax {
			return malformed("/texts/"+locale+"/description", "it has %d bytes in UTF-8: want at most %d", len(t.Description), descriptionBytesMax)
		}
		for line := range strings.SplitSeq(t.Description, "\n") {
			if line == "" {
				continue
			}
			if err := text.Check(line, descriptionBytesMax); err != nil {
				return malformed("/texts/"+locale+"/description", "%v", err)
			}
		}
	}
	return nil
}

func (c *Content) checkItems() *problem.Problem {
	if len(c.Items) == 0 || len(c.Items) > itemsMax {
		return malformed("/items", "want 1 to %d SKUs", itemsMax)
	}
	seen := map[int64]bool{}
	for i, item := range c.Items {
		at := fmt.Sprintf("/items/%d", i)
		switch {
		case item.SKU < 1:
			return malformed(at+"/sku_id", "want the id of a SKU")
		case seen[item.SKU]:
			return malformed(at+"/sku_id", "the SKU is there twice")
		case item.Units < 1 || item.Units > unitsMax:
			return malformed(at+"/units", "want 1 to %d", unitsMax)
		case item.Price < 0 || item.Price > money.MinorMax:
			return malformed(at+"/price", "want 0 to %d minor units", int64(money.MinorMax))
		}
		seen[item.SKU] = true
	}
	if _, err := c.worth(); err != nil {
		return malformed("/items", "all units together cost too much: want at most %d minor units", int64(money.MinorMax))
	}
	return nil
}

// worth is what all units cost. No part of them costs more, so sums about an offer are in range.
func (c *Content) worth() (money.Amount, error) {
	var all []money.Amount
	for _, item := range c.Items {
		amount, err := money.Amount{Minor: item.Price, Currency: c.Currency}.Times(item.Units)
		if err != nil {
			return money.Amount{}, err
		}
		all = append(all, amount)
	}
	return money.Sum(c.Currency, all...)
}

// skus are the SKUs, in their order.
func (c *Content) skus() (all []int64) {
	for _, item := range c.Items {
		all = append(all, item.SKU)
	}
	return all
}
