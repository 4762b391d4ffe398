// Package stock owns what the shop knows of units: the warehouses of sellers, what other systems and people say of what is in them, and
// what a seller wants kept or sold ahead. What can be sold is decided in the core alone: the sum of the warehouses is given to
// a SKU's cell by tasks, through the edge, and nothing here says whether a unit is free.
package stock

import (
	"fmt"
	"net/http"
	"regexp"

	"sluice/core/problem"
)

// Bounds.
const (
	warehousesMax = 100 // of a seller
	linesMax      = 100 // of a document
	quantityMax   = 1_000_000_000
	positionMax   = 999_999_999_999_999
	priorityMax   = 1000
	costMax       = 1_000_000_000
	divisionsMax  = 6
	nameBytesMax  = 100
)

// SourceShop is the source of what people of the seller say themselves. The shop gives its documents their positions: the times at
// which they came, in microseconds.
const SourceShop = "shop"

var (
	sourceForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,39}$`)
	documentForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	countryForm  = regexp.MustCompile(`^[A-Z]{2}$`)
	divisionForm = regexp.MustCompile(`^[A-Z0-9]{1,12}(?:-[A-Z0-9]{1,6})?$`)
)

func malformed(pointer, want string, values ...any) *problem.Problem {
	return &problem.Problem{Kind: problem.Malformed, Pointer: pointer, Detail: fmt.Sprintf(want, values...)}
}

func wrongState(detail string, values ...any) *problem.Problem {
	return &problem.Problem{Kind: problem.WrongState, Detail: fmt.Sprintf(detail, values...)}
}

// The kinds of refusals. unknown_sku and too_many are those of package product too.
var (
	unknownWarehouse = problem.NewKind(problem.Kind{Code: "unknown_warehouse", Status: http.StatusNotFound, Title: "The seller has no such warehouse."})
	unknownSKU       = problem.NewKind(problem.Kind{Code: "unknown_sku", Status: http.StatusNotFound, Title: "The seller has no such SKU."})
	unknownDocument  = problem.NewKind(problem.Kind{Code: "unknown_document", Status: http.StatusNotFound, Title: "The seller has no such document."})
	tooMany          = problem.NewKind(problem.Kind{Code: "too_many", Status: http.StatusConflict, Title: "There are as many as there may be."})

	errUnknownWarehouse = &problem.Problem{Kind: unknownWarehouse}
	errUnknownSKU       = &problem.Problem{Kind: unknownSKU}
	errUnknownDocument  = &problem.Problem{Kind: unknownDocument}
)
