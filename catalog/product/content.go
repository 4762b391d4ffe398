package product

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/text"
)

// Content is what a product is, but for its texts and its SKUs.
type Content struct {
	Category ids.Category      `json:"category_id"`
	Brand    ids.Brand         `json:"brand_id,omitzero"` // 0: none
	Tax      string            `json:"tax_category"`
	Options  []string          `json:"options,omitempty"`   // attributes of the kind choice in which its SKUs differ
	Values   map[string]string `json:"values,omitempty"`    // of attributes, by code
	Media    []ids.Media       `json:"media_ids,omitempty"` // its pictures, in the order in which shoppers see them
}

// Text is what a product is called and said of it, in one locale.
type Text struct {
	Title       string `json:"title"`
	Description string `json:"description,omitempty"`
}

// SKU is what is counted and sold.
type SKU struct {
	N       int               `json:"n"` // in its product; with that it makes the id
	State   State             `json:"state"`
	Code    string            `json:"seller_code,omitempty"` // of the seller's own system
	Options map[string]string `json:"options,omitempty"`     // choices, by attribute
	Grams   int64             `json:"grams"`
	Size    Size              `json:"size_mm"`
}

// Size is that of a parcel with one unit, in mm.
type Size struct {
	Length int64 `json:"length"`
	Width  int64 `json:"width"`
	Height int64 `json:"height"`
}

const (
	titleBytesMax       = 200
	descriptionBytesMax = 8000
	optionsMax          = 3
	valueBytesMax       = 200
	gramsMax            = 10_000_000 // ten tonnes
	sizeMax             = 100_000    // a hundred metres
)

var (
	taxForm    = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)
	numberForm = regexp.MustCompile(`^(?:0|-?[1-9][0-9]{0,11}|-?(?:0|[1-9][0-9]{0,11})\.[0-9]{0,5}[1-9])$`)
	skuForm    = regexp.MustCompile(`^[\x21-\x7E]{1,50}$`)
)

// check refuses what no product can be, whatever its category.
func (c *Content) check() *problem.Problem {
	switch {
	case !taxForm.MatchString(c.Tax):
		return malformed("/tax_category", "want 1 to 40 lower-case letters, digits and _ that begin with a letter")
	case len(c.Options) > optionsMax:
		return malformed("/options", "want at most %d", optionsMax)
	case len(c.Values) > attributesMax:
		return malformed("/values", "want at most %d", attributesMax)
	case len(c.Media) > mediaUsedMax:
		return malformed("/media_ids", "want at most %d", mediaUsedMax)
	}
	for i, id := range c.Media {
		if slices.Contains(c.Media[:i], id) {
			return malformed(fmt.Sprintf("/media_ids/%d", i), "the picture is there twice")
		}
	}
	for i, code := range c.Options {
		switch at := fmt.Sprintf("/options/%d", i); {
		case !codeForm.MatchString(code):
			return malformed(at, "want the code of an attribute")
		case slices.Contains(c.Options[:i], code):
			return malformed(at, "the option is there twice")
		}
	}
	for _, code := range slices.Sorted(maps.Keys(c.Values)) {
		if !codeForm.MatchString(code) {
			return malformed("/values", "want codes of attributes")
		}
		if err := text.Check(c.Values[code], valueBytesMax); err != nil {
			return malformed("/values/"+code, "%v", err)
		}
	}
	return nil
}

// check refuses what no text of a product can be. Lines of a description end with a newline.
func (t *Text) check() *problem.Problem {
	if err := text.Check(t.Title, titleBytesMax); err != nil {
		return malformed("/title", "%v", err)
	}
	if len(t.Description) > descriptionBytesMax {
		return malformed("/description", "it has %d bytes in UTF-8: want at most %d", len(t.Description), descriptionBytesMax)
	}
	if t.Description == "" {
		return nil
	}
	for line := range strings.SplitSeq(t.Description, "\n") {
		if line == "" {
			continue
		}
		if err := text.Check(line, descriptionBytesMax); err != nil {
			return malformed("/description", "%v", err)
		}
	}
	return nil
}

// check refuses what no SKU can be, whatever its product.
func (s *SKU) check() *problem.Problem {
	switch {
	case s.State != StateActive && s.State != StateArchived:
		return malformed("/state", "want active or archived")
	case s.Code != "" && !skuForm.MatchString(s.Code):
		return malformed("/seller_code", "want 1 to 50 visible ASCII characters")
	case s.Grams < 1 || s.Grams > gramsMax:
		return malformed("/grams", "want 1 to %d", gramsMax)
	case len(s.Options) > optionsMax:
		return malformed("/options", "want at most %d", optionsMax)
	}
	for _, code := range slices.Sorted(maps.Keys(s.Options)) {
		if !codeForm.MatchString(code) {
			return malformed("/options", "want codes of attributes")
		}
		if !codeForm.MatchString(s.Options[code]) {
			return malformed("/options/"+code, "want the code of a choice")
		}
	}
	for name, mm := range map[string]int64{"length": s.Size.Length, "width": s.Size.Width, "height": s.Size.Height} {
		if mm < 1 || mm > sizeMax {
			return malformed("/size_mm/"+name, "want 1 to %d", sizeMax)
		}
	}
	return nil
}

// fits reports what is wrong with a value of an attribute; empty: nothing.
func (a *Attribute) fits(value string) string {
	switch a.Kind {
	case KindText:
	case KindNumber:
		if !numberForm.MatchString(value) {
			return "want a number such as 12 or -0.5, in its shortest form, with at most 12 digits before the point and 6 behind it"
		}
	case KindBoolean:
		if value != "true" && value != "false" {
			return "want true or false"
		}
	case KindChoice:
		if !slices.ContainsFunc(a.Choices, func(c Choice) bool { return c.Code == value }) {
			return "want one of the choices of the attribute"
		}
	}
	return ""
}

// in refuses content that its category does not know: of a category that products may not have, values of no attribute, and options that
// are none. What is missing still is no fault of a draft.
func (c *Content) in(t *Tree) error {
	if _, ok := t.Category(c.Category); !ok {
		return &problem.Problem{Kind: unknownCategory, Pointer: "/category_id"}
	}
	if !t.Usable(c.Category) {
		return &problem.Problem{Kind: problem.WrongState, Pointer: "/category_id", Detail: "the category, or one above it, is archived"}
	}
	has := map[string]*Attribute{}
	all := t.Attributes(c.Category)
	for i := range all {
		has[all[i].Code] = &all[i].Attribute
	}
	for _, code := range slices.Sorted(maps.Keys(c.Values)) {
		a := has[code]
		if a == nil {
			return &problem.Problem{Kind: unknownAttribute, Pointer: "/values/" + code}
		}
		if slices.Contains(c.Options, code) {
			return malformed("/values/"+code, "each SKU has its own, because it is an option")
		}
		if fault := a.fits(c.Values[code]); fault != "" {
			return malformed("/values/"+code, "%s", fault)
		}
	}
	for i, code := range c.Options {
		a, at := has[code], fmt.Sprintf("/options/%d", i)
		if a == nil {
			return &problem.Problem{Kind: unknownAttribute, Pointer: at}
		}
		if a.Kind != KindChoice {
			return malformed(at, "want an attribute of the kind choice")
		}
	}
	return nil
}

// key tells SKUs of a product apart: by the choices of its options, in their order.
func (s *SKU) key(options []string) string {
	var key strings.Builder
	for _, code := range options {
		key.WriteString(s.Options[code] + " ")
	}
	return key.String()
}

// among refuses a SKU that its product cannot have: with other options, with choices that there are not, or with those of another one.
func (s *SKU) among(t *Tree, c *Content, others []SKU) error {
	if len(s.Options) != len(c.Options) {
		return malformed("/options", "want a choice for each option of the product")
	}
	for _, a := range t.Attributes(c.Category) {
		if slices.Contains(c.Options, a.Code) {
			if fault := a.fits(s.Options[a.Code]); fault != "" {
				return malformed("/options/"+a.Code, "%s", fault)
			}
		}
	}
	for i := range others {
		o := &others[i]
		if o.N != s.N && o.State == StateActive && s.State == StateActive && o.key(c.Options) == s.key(c.Options) {
			return &problem.Problem{Kind: optionsTaken, Pointer: "/options"}
		}
		if o.N != s.N && s.Code != "" && o.Code == s.Code {
			return &problem.Problem{Kind: nameTaken, Pointer: "/seller_code"}
		}
	}
	return nil
}

// Lack is something that a product lacks before shoppers may see it.
type Lack struct {
	What string // a word
	Of   string // its code or its number, if there may be several
}

// String names it for people.
func (l Lack) String() string { return strings.TrimSpace(l.What + " " + l.Of) }

// lacks are the automatic checks: what shoppers cannot do without. A product goes to a review, is approved and is listed without any. The
// brand is the state of its own.
func (c *Content) lacks(t *Tree, brand State, texts map[string]Text, skus []SKU) (all []Lack) {
	if !t.Usable(c.Category) {
		all = append(all, Lack{What: "category"})
	}
	if brand != StateActive {
		all = append(all, Lack{What: "brand"})
	}
	for _, a := range t.Attributes(c.Category) {
		value, has := c.Values[a.Code]
		switch {
		case slices.Contains(c.Options, a.Code):
		case has && a.fits(value) != "", a.Required && !has:
			all = append(all, Lack{"value", a.Code})
		}
	}
	if len(texts) == 0 {
		all = append(all, Lack{What: "text"})
	}
	active := 0
	for i := range skus {
		if skus[i].State != StateActive {
			continue
		}
		active++
		if skus[i].among(t, c, skus) != nil {
			all = append(all, Lack{"sku", fmt.Sprint(skus[i].N)})
		}
	}
	if active == 0 {
		all = append(all, Lack{What: "sku"})
	}
	return all
}
