package price

import (
	"fmt"
	"slices"
	"strings"
)

// State is the state of a coupon.
type State string

// The states.
const (
	StateIssued   State = "issued"   // somebody has it
	StateHeld     State = "held"     // an order has it, and is not paid
	StateUsed     State = "used"     // the order is paid
	StateRestored State = "restored" // it came back, and counts as an issued one
)

// by says what makes a move.
type by string

const (
	byCheckout by = "checkout" // its basket has a unit of the batch
	byPayment  by = "payment"
	byRelease  by = "release" // the order was cancelled, has expired, or was refused
	byRefund   by = "refund"  // of all that it was used for
)

// step is an allowed move.
type step struct {
	from, to State
	by       by
}

// steps are all that there are. The page docs/prices.md draws them.
var steps = []step{
	{StateIssued, StateHeld, byCheckout},
	{StateHeld, StateUsed, byPayment},
	{StateHeld, StateRestored, byRelease},
	{StateUsed, StateRestored, byRefund},
	{StateRestored, StateHeld, byCheckout},
}

// may reports whether a coupon may move.
func may(from, to State, why by) bool { return slices.Contains(steps, step{from, to, why}) }

// Drawing is the state machine as a diagram of Mermaid.
func Drawing() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    [*] --> issued\n")
	for _, s := range steps {
		_, _ = fmt.Fprintf(&b, "    %s --> %s: %s\n", s.from, s.to, s.by)
	}
	return b.String()
}
