package offer

import (
	"fmt"
	"slices"
	"strings"
)

// Stage is the state of an offer.
type Stage string

// The stages.
const (
	StageDraft     Stage = "draft"     // its seller works at it
	StageInReview  Stage = "in_review" // nobody changes it, so a reviewer decides about what is there
	StageApproved  Stage = "approved"  // shoppers see that it comes
	StageRejected  Stage = "rejected"  // with a reason: its seller makes a draft of it again
	StageWithdrawn Stage = "withdrawn" // for good
)

var stages = []Stage{StageDraft, StageInReview, StageApproved, StageRejected, StageWithdrawn}

// by says who may make a move.
type by string

const (
	bySeller   by = "seller"   // its people
	byReview   by = "review"   // decisions of reviewers
	byOperator by = "operator" // ops and admins
)

var makers = []by{bySeller, byReview, byOperator}

// move is an allowed move.
type move struct {
	from, to Stage
	by       by
}

// moves are all that there are. The page docs/offers.md draws them.
var moves = []move{
	{StageDraft, StageInReview, bySeller},
	{StageInReview, StageApproved, byReview},
	{StageInReview, StageRejected, byReview},
	{StageRejected, StageDraft, bySeller},
	{StageDraft, StageWithdrawn, bySeller},
	{StageInReview, StageWithdrawn, bySeller},
	{StageApproved, StageWithdrawn, bySeller},
	{StageRejected, StageWithdrawn, bySeller},
	{StageDraft, StageWithdrawn, byOperator},
	{StageInReview, StageWithdrawn, byOperator},
	{StageApproved, StageWithdrawn, byOperator},
	{StageRejected, StageWithdrawn, byOperator},
}

// may reports whether somebody may make a move.
func may(from, to Stage, who by) bool { return slices.Contains(moves, move{from, to, who}) }

// shown reports whether shoppers see an offer.
func shown(s Stage) bool { return s == StageApproved }

// Drawing is the state machine as a diagram of Mermaid.
func Drawing() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    [*] --> draft\n")
	for _, from := range stages {
		for _, to := range stages {
			var who []string
			for _, by := range makers {
				if may(from, to, by) {
					who = append(who, string(by))
				}
			}
			if len(who) > 0 {
				_, _ = fmt.Fprintf(&b, "    %s --> %s: %s\n", from, to, strings.Join(who, " or "))
			}
		}
	}
	for _, from := range stages {
		if !slices.ContainsFunc(moves, func(m move) bool { return m.from == from }) {
			_, _ = fmt.Fprintf(&b, "    %s --> [*]\n", from)
		}
	}
	return b.String()
}

// State is where an offer stands for shoppers.
type State string

// The states.
const (
	StateComing State = "coming"
)

// stateOf is the state of an offer that shoppers see.
func stateOf(Stage) State { return StateComing }
