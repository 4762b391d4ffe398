// Package offer owns what a sale is to shoppers: its texts, its prices, when it sells and to whom. Stock is not kept here: an edge has the sale.
package offer

import (
	"fmt"
	"net/http"
	"time"

	"sluice/core/ids"
	"sluice/core/problem"
)

// Offer is an offer as its seller sees it.
type Offer struct {
	Content

	ID      ids.Offer  `json:"offer_id"`
	Seller  ids.Seller `json:"seller_id"`
	Stage   Stage      `json:"stage"`
	Version int64      `json:"version"` // how often it was changed
	MadeAt  time.Time  `json:"made_at"`
}

func malformed(pointer, want string, values ...any) *problem.Problem {
	return &problem.Problem{Kind: problem.Malformed, Pointer: pointer, Detail: fmt.Sprintf(want, values...)}
}

// The kinds of refusals.
var (
	unknownOffer = problem.NewKind(problem.Kind{Code: "unknown_offer", Status: http.StatusNotFound, Title: "There is no such offer."})
	unknownSKU   = problem.NewKind(problem.Kind{Code: "unknown_sku", Status: http.StatusNotFound, Title: "The seller has no such SKU."})
	ownOffer     = problem.NewKind(problem.Kind{
		Code: "own_seller", Status: http.StatusForbidden, Title: "Nobody decides about a seller in which they are somebody.",
	})
	reviewClaimed = problem.NewKind(problem.Kind{Code: "review_claimed", Status: http.StatusConflict, Title: "Somebody else has claimed the review."})
	incomplete    = problem.NewKind(problem.Kind{Code: "incomplete", Status: http.StatusConflict, Title: "The offer lacks something."})

	errUnknownOffer = &problem.Problem{Kind: unknownOffer}
)
