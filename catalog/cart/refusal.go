package cart

import (
	"fmt"
	"net/http"

	"sluice/core/problem"
)

// The kinds of refusals.
var (
	unknownSKU   = problem.NewKind(problem.Kind{Code: "unknown_sku", Status: http.StatusNotFound, Title: "Nobody sells such a SKU."})
	unknownToken = problem.NewKind(problem.Kind{Code: "unknown_cart", Status: http.StatusNotFound, Title: "There is no cart with this token."})
	unknownShare = problem.NewKind(problem.Kind{Code: "unknown_share", Status: http.StatusNotFound, Title: "There is no such shared cart."})
	cartMerged   = problem.NewKind(problem.Kind{Code: "cart_merged", Status: http.StatusConflict, Title: "The guest's cart has become part of a user's."})
	tooMany      = problem.NewKind(problem.Kind{Code: "too_many", Status: http.StatusConflict, Title: "There are as many as there may be."})
	cartBusy     = problem.NewKind(problem.Kind{
		Code: "cart_busy", Status: http.StatusConflict, Retryable: true, RetryAfter: 1, Title: "Too many others change the cart.",
	})

	errUnknownSKU   = &problem.Problem{Kind: unknownSKU}
	errUnknownToken = &problem.Problem{Kind: unknownToken}
	errUnknownShare = &problem.Problem{Kind: unknownShare}
	errMerged       = &problem.Problem{Kind: cartMerged}
	errNothing      = &problem.Problem{Kind: problem.WrongState, Detail: "the cart has nothing to share"}
	errBusy         = &problem.Problem{Kind: cartBusy}
	errFull         = errTooMany("a cart has at most %d lines, with those that are saved for later", LinesMax)
)

func errTooMany(detail string, values ...any) error {
	return &problem.Problem{Kind: tooMany, Detail: fmt.Sprintf(detail, values...)}
}

func malformed(pointer, want string, values ...any) error {
	return &problem.Problem{Kind: problem.Malformed, Pointer: pointer, Detail: fmt.Sprintf(want, values...)}
}
