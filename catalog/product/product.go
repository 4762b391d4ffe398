// Package product owns what the shop sells: the tree of categories with the attributes that products of a category have, and the
// brands. The tree is small and the same for the whole shop: it is in one place, and each process has a copy of it.
package product

import (
	"fmt"
	"net/http"
	"regexp"

	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/text"
)

// State is the state of a category or a brand.
type State string

// The states.
const (
	StateActive   State = "active"
	StateArchived State = "archived" // it stays for what has it, and nothing new gets it
)

// Names are what something is called, by locale.
type Names map[string]string

const (
	nameBytesMax = 100
	localesMax   = 20
)

// localeForm is that of a locale.
var localeForm = regexp.MustCompile(`^[a-z]{2}(?:-[A-Z]{2})?$`)

// check refuses what nobody can be called. The pointer is that of the names.
func (n Names) check(pointer string) *problem.Problem {
	if len(n) == 0 || len(n) > localesMax {
		return malformed(pointer, "want names in 1 to %d locales", localesMax)
	}
	for locale, name := range n {
		if !localeForm.MatchString(locale) {
			return malformed(pointer, "want locales such as de or pt-BR")
		}
		if err := text.Check(name, nameBytesMax); err != nil {
			return malformed(pointer+"/"+locale, "%v", err)
		}
	}
	return nil
}

// Brand is who makes a product, as shoppers know it.
type Brand struct {
	ID      ids.Brand `json:"brand_id,omitzero"`
	State   State     `json:"state"`
	Version int64     `json:"version"` // how often it was changed
	Names   Names     `json:"names"`
}

func malformed(pointer, want string, values ...any) *problem.Problem {
	return &problem.Problem{Kind: problem.Malformed, Pointer: pointer, Detail: fmt.Sprintf(want, values...)}
}

// The kinds of refusals.
var (
	unknownCategory  = problem.NewKind(problem.Kind{Code: "unknown_category", Status: http.StatusNotFound, Title: "There is no such category."})
	unknownAttribute = problem.NewKind(problem.Kind{Code: "unknown_attribute", Status: http.StatusNotFound, Title: "The category has no such attribute."})
	unknownBrand     = problem.NewKind(problem.Kind{Code: "unknown_brand", Status: http.StatusNotFound, Title: "There is no such brand."})
	categoryCircle   = problem.NewKind(problem.Kind{Code: "category_circle", Status: http.StatusConflict, Title: "No category is below itself."})
	nameTaken        = problem.NewKind(problem.Kind{Code: "name_taken", Status: http.StatusConflict, Title: "Another one has the name."})
	attributeTaken   = problem.NewKind(problem.Kind{
		Code: "attribute_taken", Status: http.StatusConflict, Title: "A category above or below has an attribute with this code.",
	})
	unknownProduct = problem.NewKind(problem.Kind{Code: "unknown_product", Status: http.StatusNotFound, Title: "There is no such product."})
	unknownText    = problem.NewKind(problem.Kind{Code: "unknown_text", Status: http.StatusNotFound, Title: "The product has no text in this locale."})
	unknownVersion = problem.NewKind(problem.Kind{Code: "unknown_version", Status: http.StatusNotFound, Title: "The product has no such version before this one."})
	unknownSKU     = problem.NewKind(problem.Kind{Code: "unknown_sku", Status: http.StatusNotFound, Title: "The product has no such SKU."})
	ownProduct     = problem.NewKind(problem.Kind{
		Code: "own_seller", Status: http.StatusForbidden, Title: "Nobody decides about a seller in which they are somebody.",
	})
	reviewClaimed = problem.NewKind(problem.Kind{Code: "review_claimed", Status: http.StatusConflict, Title: "Somebody else has claimed the review."})
	incomplete    = problem.NewKind(problem.Kind{Code: "incomplete", Status: http.StatusConflict, Title: "The product lacks something."})
	optionsTaken  = problem.NewKind(problem.Kind{
		Code: "options_taken", Status: http.StatusConflict, Title: "Another SKU of the product has these options.",
	})
	tooMany = problem.NewKind(problem.Kind{Code: "too_many", Status: http.StatusConflict, Title: "There are as many as there may be."})

	errUnknownCategory  = &problem.Problem{Kind: unknownCategory}
	errUnknownParent    = &problem.Problem{Kind: unknownCategory, Pointer: "/parent_id"}
	errUnknownAttribute = &problem.Problem{Kind: unknownAttribute}
	errUnknownBrand     = &problem.Problem{Kind: unknownBrand}
	errCircle           = &problem.Problem{Kind: categoryCircle, Pointer: "/parent_id"}
)

// errNameTaken names the locale: a name may be taken in one of several.
func errNameTaken(locale string) error {
	return &problem.Problem{Kind: nameTaken, Pointer: "/names/" + locale}
}

func errTooMany(detail string, values ...any) error {
	return &problem.Problem{Kind: tooMany, Detail: fmt.Sprintf(detail, values...)}
}
