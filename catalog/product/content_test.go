package product

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"sluice/core/ids"
)

// shirts is a tree with one usable category.
func shirts(t *testing.T) *Tree {
	t.Helper()
	choice := func(code string, choices ...string) Attribute {
		a := Attribute{Code: code, Kind: KindChoice, Names: Names{"en": code}}
		for _, c := range choices {
			a.Choices = append(a.Choices, Choice{Code: c, Names: Names{"en": c}})
		}
		return a
	}
	return mustTree(t, []Category{
		{ID: 1, State: StateActive, Attributes: []Attribute{choice("colour", "red", "blue"), {Code: "origin", Kind: KindText, Required: true}}},
		{ID: 2, Parent: 1, State: StateActive, Attributes: []Attribute{{Code: "length", Kind: KindNumber, Unit: "cm"}, choice("size", "s", "m"), {Code: "washable", Kind: KindBoolean}}},
		{ID: 3, Parent: 1, State: StateArchived},
	})
}

func shirt() Content {
	return Content{
		Category: 2, Tax: "standard", Options: []string{"colour", "size"},
		Values: map[string]string{"origin": "Portugal", "length": "70.5", "washable": "true"},
	}
}

func sku(n int, colour, size string) SKU {
	return SKU{N: n, State: StateActive, Code: fmt.Sprint("S-", n), Options: map[string]string{"colour": colour, "size": size}, Grams: 200, Size: Size{300, 200, 20}}
}

func TestContentFitsItsCategory(t *testing.T) {
	t.Parallel()
	tree := shirts(t)
	if c := shirt(); c.check() != nil || c.in(tree) != nil {
		t.Fatal(c.check(), c.in(tree))
	}
	for want, spoil := range map[string]func(*Content){
		"unknown_category":   func(c *Content) { c.Category = 9 },
		"wrong_state":        func(c *Content) { c.Category = 3 },
		"unknown_attribute":  func(c *Content) { c.Values["weight"] = "1" },
		"unknown_attribute ": func(c *Content) { c.Category = 1 },
		"malformed number":   func(c *Content) { c.Values["length"] = "70.50" },
		"malformed boolean":  func(c *Content) { c.Values["washable"] = "yes" },
		"malformed option":   func(c *Content) { c.Options = []string{"origin"} },
		"malformed both":     func(c *Content) { c.Values["size"] = "s" },
		"malformed choice":   func(c *Content) { c.Options, c.Values["size"] = nil, "xl" },
	} {
		c := shirt()
		spoil(&c)
		if got := codeOf(c.in(tree)); got != strings.Fields(want)[0] {
			t.Errorf("%s: %q", want, got)
		}
	}
	for pointer, spoil := range map[string]func(*Content){
		"/tax_category":  func(c *Content) { c.Tax = "Standard" },
		"/options/1":     func(c *Content) { c.Options[1] = "colour" },
		"/values/origin": func(c *Content) { c.Values["origin"] = "a\u202eb" },
	} {
		c := shirt()
		spoil(&c)
		if p := c.check(); p == nil || p.Pointer != pointer {
			t.Errorf("%s: %v", pointer, p)
		}
	}
}

// TestNumbersHaveOneForm: two products of one length have one text for it.
func TestNumbersHaveOneForm(t *testing.T) {
	t.Parallel()
	a := Attribute{Kind: KindNumber}
	for _, value := range []string{"0", "1", "-1", "0.5", "-0.000001", "999999999999.999999", "10", "1.01"} {
		if fault := a.fits(value); fault != "" {
			t.Errorf("%s: %s", value, fault)
		}
	}
	for _, value := range []string{"", "-0", "00", "01", "1.", ".5", "1.0", "0.10", "+1", "1e3", "1,5", "1000000000000", "0.0000001", " 1", "٣"} {
		if a.fits(value) == "" {
			t.Errorf("%q is taken", value)
		}
	}
}

func TestSKUsDiffer(t *testing.T) {
	t.Parallel()
	tree, c := shirts(t), shirt()
	others := []SKU{sku(0, "red", "s"), sku(1, "red", "m")}
	others[1].State = StateArchived
	for want, of := range map[string]SKU{
		"":                 sku(2, "blue", "s"),
		" of an archived":  sku(3, "red", "m"),
		"options_taken":    sku(4, "red", "s"),
		"malformed choice": sku(5, "green", "s"),
		"malformed many":   {N: 6, State: StateActive, Options: map[string]string{"colour": "red"}},
		"malformed other":  {N: 7, State: StateActive, Options: map[string]string{"colour": "red", "length": "1"}},
		"name_taken":       {N: 8, State: StateActive, Code: "S-0", Options: map[string]string{"colour": "blue", "size": "m"}},
	} {
		got := codeOf(of.among(tree, &c, others))
		if head, _, _ := strings.Cut(want, " "); got != head {
			t.Errorf("%s: %q", want, got)
		}
	}
	s := sku(0, "red", "s")
	if p := s.check(); p != nil {
		t.Error(p)
	}
	for pointer, spoil := range map[string]func(*SKU){
		"/grams":          func(s *SKU) { s.Grams = 0 },
		"/size_mm/height": func(s *SKU) { s.Size.Height = sizeMax + 1 },
		"/seller_code":    func(s *SKU) { s.Code = "a b" },
		"/state":          func(s *SKU) { s.State = "gone" },
	} {
		s := sku(0, "red", "s")
		spoil(&s)
		if p := s.check(); p == nil || p.Pointer != pointer {
			t.Errorf("%s: %v", pointer, p)
		}
	}
}

// TestLacks: what a product lacks is told all at once.
func TestLacks(t *testing.T) {
	t.Parallel()
	tree := shirts(t)
	c := shirt()
	texts := map[string]Text{"en": {Title: "Shirt"}}
	if lacks := c.lacks(tree, StateActive, texts, []SKU{sku(0, "red", "s")}); len(lacks) != 0 {
		t.Errorf("a whole product lacks %v", lacks)
	}
	c.Category = 3
	delete(c.Values, "origin")
	if got := fmt.Sprint(c.lacks(tree, StateArchived, nil, nil)); got != "[category brand value origin text sku]" {
		t.Errorf("an empty one lacks %s", got)
	}
	c = shirt()
	twins := []SKU{sku(0, "red", "s"), sku(1, "red", "s")}
	if got := fmt.Sprint(c.lacks(tree, StateActive, texts, twins)); got != "[sku 0 sku 1]" {
		t.Errorf("with twins it lacks %s", got)
	}
	if ids.SKUsMax != 4096 {
		t.Error("the numbers of SKUs are in the schema")
	}
}

// TestDescriptions have lines, and nothing that hides.
func TestDescriptions(t *testing.T) {
	t.Parallel()
	for text, fine := range map[string]bool{
		"": true, "a\n\nb": true, "a\tb": false, "a\r\nb": false, "\u200b": false, strings.Repeat("x", descriptionBytesMax): true, strings.Repeat("x\n", descriptionBytesMax): false,
	} {
		of := Text{Title: "Shirt", Description: text}
		if p := of.check(); (p == nil) != fine {
			t.Errorf("%.20q: %v", text, p)
		}
	}
}

// TestAsOf: what a part was as of a version is what was before the first change after it.
func TestAsOf(t *testing.T) {
	t.Parallel()
	value := func(text string) jsontext.Value { return jsontext.Value(text) }
	was := asOf([]Changed{
		{Version: 3, Part: "text.de", Before: nil, After: value(`"a"`)},
		{Version: 4, Part: PartContent, Before: value(`"x"`), After: value(`"y"`)},
		{Version: 5, Part: PartStage, Before: value(`"draft"`), After: value(`"in_review"`)},
		{Version: 6, Part: "text.de", Before: value(`"a"`), After: value(`"b"`)},
		{Version: 7, Part: PartContent, Before: value(`"y"`), After: value(`"z"`)},
	})
	if len(was) != 2 || was["text.de"] != nil || string(was[PartContent]) != `"x"` {
		t.Errorf("as of version 2: %v", was)
	}
}
