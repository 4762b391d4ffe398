package offer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/core/money"
)

func eur(t *testing.T) money.Currency {
	t.Helper()
	c, err := money.In("EUR")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestContentInOrder says of contents which member is at fault.
func TestContentInOrder(t *testing.T) {
	t.Parallel()
	opens := time.Date(2026, 11, 11, 20, 0, 0, 250e6, time.UTC)
	good := func() Content {
		return Content{
			Market: "de", Currency: eur(t), Texts: map[string]Text{"en": {Title: "Summer", Description: "One\n\nevening."}},
			Items: []Item{{4096, 10, 1999}, {4097, unitsMax, 0}}, OpensAt: opens, ClosesAt: opens.Add(time.Hour), Rules: Rules{Limit: 2, HoldS: 900},
		}
	}
	for name, c := range map[string]struct {
		edit func(*Content)
		want string
	}{
		"good":                    {func(*Content) {}, "none"},
		"no limit":                {func(c *Content) { c.Rules.Limit = 0 }, "none"},
		"as long as it may":       {func(c *Content) { c.ClosesAt = opens.Add(lastsMax) }, "none"},
		"market in capitals":      {func(c *Content) { c.Market = "DE" }, "/market"},
		"no currency":             {func(c *Content) { c.Currency = money.Currency{} }, "/currency"},
		"limit beyond":            {func(c *Content) { c.Rules.Limit = limitMax + 1 }, "/rules/limit"},
		"limit below":             {func(c *Content) { c.Rules.Limit = -1 }, "/rules/limit"},
		"hold beyond":             {func(c *Content) { c.Rules.HoldS = holdMaxS + 1 }, "/rules/hold_seconds"},
		"hold below":              {func(c *Content) { c.Rules.HoldS = holdMinS - 1 }, "/rules/hold_seconds"},
		"between milliseconds":    {func(c *Content) { c.OpensAt = opens.Add(time.Microsecond) }, "/opens_at"},
		"long ago":                {func(c *Content) { c.OpensAt = time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC) }, "/opens_at"},
		"in another zone":         {func(c *Content) { c.ClosesAt = c.ClosesAt.In(time.FixedZone("x", 3600)) }, "/closes_at"},
		"next century":            {func(c *Content) { c.ClosesAt = yearEnd }, "/closes_at"},
		"closed before it opens":  {func(c *Content) { c.ClosesAt = opens.Add(-time.Hour) }, "/closes_at"},
		"less than a minute":      {func(c *Content) { c.ClosesAt = opens.Add(time.Minute - time.Millisecond) }, "/closes_at"},
		"longer than it may":      {func(c *Content) { c.ClosesAt = opens.Add(lastsMax + time.Millisecond) }, "/closes_at"},
		"no text":                 {func(c *Content) { c.Texts = nil }, "/texts"},
		"text of no locale":       {func(c *Content) { c.Texts["english"] = Text{Title: "x"} }, "/texts"},
		"text without a title":    {func(c *Content) { c.Texts["de"] = Text{} }, "/texts/de/title"},
		"title that runs back":    {func(c *Content) { c.Texts["de"] = Text{Title: "a\u202Eb"} }, "/texts/de/title"},
		"title of two lines":      {func(c *Content) { c.Texts["de"] = Text{Title: "a\nb"} }, "/texts/de/title"},
		"long description":        {func(c *Content) { c.Texts["de"] = Text{"x", strings.Repeat("x", descriptionBytesMax+1)} }, "/texts/de/description"},
		"description with a bell": {func(c *Content) { c.Texts["de"] = Text{"x", "a\ab"} }, "/texts/de/description"},
		"no SKU":                  {func(c *Content) { c.Items = nil }, "/items"},
		"a SKU twice":             {func(c *Content) { c.Items[1].SKU = 4096 }, "/items/1/sku_id"},
		"a SKU of nothing":        {func(c *Content) { c.Items[0].SKU = 0 }, "/items/0/sku_id"},
		"no units":                {func(c *Content) { c.Items[0].Units = 0 }, "/items/0/units"},
		"units beyond":            {func(c *Content) { c.Items[0].Units = unitsMax + 1 }, "/items/0/units"},
		"price below":             {func(c *Content) { c.Items[0].Price = -1 }, "/items/0/price"},
		"price beyond":            {func(c *Content) { c.Items[0].Price = money.MinorMax + 1 }, "/items/0/price"},
		"worth beyond":            {func(c *Content) { c.Items[1].Price = money.MinorMax / unitsMax * 2 }, "/items"},
		"too many locales": {func(c *Content) {
			for i := range localesMax + 1 {
				c.Texts[fmt.Sprintf("a%c", 'a'+i)] = Text{Title: "x"}
			}
		}, "/texts"},
		"too many SKUs": {func(c *Content) {
			for i := range int64(itemsMax) {
				c.Items = append(c.Items, Item{5000 + i, 1, 1})
			}
		}, "/items"},
	} {
		of, got := good(), "none"
		c.edit(&of)
		if p := of.check(); p != nil {
			got = p.Pointer
		}
		if got != c.want {
			t.Errorf("%s: %s is at fault, want %s", name, got, c.want)
		}
	}
}

// TestLargestContentFits: what is allowed fits into an event and into an answer that is kept.
func TestLargestContentFits(t *testing.T) {
	t.Parallel()
	c := Content{Market: strings.Repeat("m", 40), Currency: eur(t), Texts: map[string]Text{}, Rules: Rules{limitMax, true, holdMaxS}}
	c.OpensAt = time.Date(2026, 11, 11, 20, 0, 0, 250e6, time.UTC)
	c.ClosesAt = c.OpensAt.Add(time.Hour)
	for i := range localesMax {
		c.Texts[fmt.Sprintf("a%c-AA", 'a'+i)] = Text{strings.Repeat(`"`, titleBytesMax), strings.Repeat(`"`, descriptionBytesMax)}
	}
	for i := range int64(itemsMax) {
		c.Items = append(c.Items, Item{1<<62 - 1 - i, unitsMax, 1})
	}
	if p := c.check(); p != nil {
		t.Fatal(p)
	}
	stored, err := store(c)
	if err != nil || len(stored) > 200<<10 {
		t.Errorf("%d bytes, %v", len(stored), err)
	}
}
