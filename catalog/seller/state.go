package seller

import (
	"fmt"
	"slices"
	"strings"
)

// State is the state of a seller.
type State string

// The states.
const (
	StateApplied   State = "applied"   // waits for a review; what it applied with can be changed
	StateInReview  State = "in_review" // somebody has claimed the review
	StateRejected  State = "rejected"  // for good: who applied may apply again
	StateOpen      State = "open"
	StateSuspended State = "suspended" // sells nothing until it is opened again
	StateClosing   State = "closing"   // sells nothing any more, and finishes what is paid
	StateClosed    State = "closed"    // the last return period is over
)

// by says who may make a move.
type by string

const (
	byReview   by = "review"   // claims and decisions of reviewers
	byOperator by = "operator" // ops and admins
)

// move is an allowed move.
type move struct {
	from, to State
	by       by
}

// moves are all that there are. The page docs/sellers.md draws them.
var moves = []move{
	{StateApplied, StateInReview, byReview},
	{StateInReview, StateOpen, byReview},
	{StateInReview, StateRejected, byReview},
	{StateOpen, StateSuspended, byOperator},
	{StateSuspended, StateOpen, byOperator},
	{StateOpen, StateClosing, byOperator},
	{StateSuspended, StateClosing, byOperator},
	{StateClosing, StateClosed, byOperator},
}

// may reports whether somebody may make a move.
func may(from, to State, who by) bool { return slices.Contains(moves, move{from, to, who}) }

// Orders says what becomes of orders that are there.
type Orders string

// What becomes of orders.
const (
	OrdersNone   Orders = "none" // there are none
	OrdersStay   Orders = "stay" // nothing changes for them
	OrdersCancel Orders = "cancel"
)

// Meaning is what a state means for products and orders. Events carry it, so that no reader needs this table.
type Meaning struct {
	Listed    bool   `json:"products_listed"` // its products can be listed
	NewOrders bool   `json:"new_orders"`      // shoppers can order from it
	Unpaid    Orders `json:"unpaid_orders"`
	Paid      Orders `json:"paid_orders"`
	shown     bool   // anybody may see who it is
	hires     bool   // its owners invite people: its name has been verified, and it works
}

var meanings = map[State]Meaning{
	StateApplied:   {Unpaid: OrdersNone, Paid: OrdersNone},
	StateInReview:  {Unpaid: OrdersNone, Paid: OrdersNone},
	StateRejected:  {Unpaid: OrdersNone, Paid: OrdersNone},
	StateOpen:      {Listed: true, NewOrders: true, Unpaid: OrdersStay, Paid: OrdersStay, shown: true, hires: true},
	StateSuspended: {Unpaid: OrdersStay, Paid: OrdersStay, shown: true, hires: true},
	StateClosing:   {Unpaid: OrdersCancel, Paid: OrdersStay, shown: true, hires: true},
	StateClosed:    {Unpaid: OrdersNone, Paid: OrdersNone, shown: true},
}

// Means is what a state means.
func Means(state State) Meaning { return meanings[state] }

// Drawing is the state machine as a diagram of Mermaid.
func Drawing() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    [*] --> applied\n")
	for _, m := range moves {
		_, _ = fmt.Fprintf(&b, "    %s --> %s: %s\n", m.from, m.to, m.by)
	}
	for _, end := range []State{StateRejected, StateClosed} {
		_, _ = fmt.Fprintf(&b, "    %s --> [*]\n", end)
	}
	return b.String()
}
