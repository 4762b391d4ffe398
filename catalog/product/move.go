package product

import (
	"fmt"
	"slices"
	"strings"
)

// Stage is the state of a product.
type Stage string

// The stages.
const (
	StageDraft    Stage = "draft"     // its seller works at it
	StageInReview Stage = "in_review" // nobody changes it, so a reviewer decides about what is there
	StageApproved Stage = "approved"
	StageRejected Stage = "rejected" // with a reason: its seller makes a draft of it again
	StageListed   Stage = "listed"   // shoppers see it
	StageDelisted Stage = "delisted"
	StageArchived Stage = "archived" // for good
)

var stages = []Stage{StageDraft, StageInReview, StageApproved, StageRejected, StageListed, StageDelisted, StageArchived}

// by says who may make a move.
type by string

const (
	bySeller   by = "seller"   // its people
	byReview   by = "review"   // decisions of reviewers
	byOperator by = "operator" // ops and admins
)

// move is an allowed move.
type move struct {
	from, to Stage
	by       by
}

// moves are all that there are. The page docs/products.md draws them.
var moves = []move{
	{StageDraft, StageInReview, bySeller},
	{StageInReview, StageApproved, byReview},
	{StageInReview, StageRejected, byReview},
	{StageRejected, StageDraft, bySeller},
	{StageApproved, StageListed, bySeller},
	{StageListed, StageDelisted, bySeller},
	{StageListed, StageDelisted, byOperator},
	{StageDelisted, StageListed, bySeller},
	{StageDraft, StageArchived, bySeller},
	{StageApproved, StageArchived, bySeller},
	{StageRejected, StageArchived, bySeller},
	{StageListed, StageArchived, bySeller},
	{StageDelisted, StageArchived, bySeller},
	{StageDraft, StageArchived, byOperator},
	{StageInReview, StageArchived, byOperator},
	{StageApproved, StageArchived, byOperator},
	{StageRejected, StageArchived, byOperator},
	{StageListed, StageArchived, byOperator},
	{StageDelisted, StageArchived, byOperator},
}

// may reports whether somebody may make a move.
func may(from, to Stage, who by) bool { return slices.Contains(moves, move{from, to, who}) }

// Changes says what of a product its seller may change.
type Changes uint8

// What may be changed.
const (
	ChangesNone  Changes = iota
	ChangesClose         // what leaves it the product that was approved: not its category, its brand or its options
	ChangesAll
)

// changesIn says what may be changed in a stage.
func changesIn(s Stage) Changes {
	switch s {
	case StageDraft:
		return ChangesAll
	case StageApproved, StageListed, StageDelisted:
		return ChangesClose
	case StageInReview, StageRejected, StageArchived:
	}
	return ChangesNone
}

// Drawing is the state machine as a diagram of Mermaid.
func Drawing() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    [*] --> draft\n")
	for _, from := range stages {
		for _, to := range stages {
			var who []string
			for _, by := range []by{bySeller, byReview, byOperator} {
				if may(from, to, by) {
					who = append(who, string(by))
				}
			}
			if len(who) > 0 {
				_, _ = fmt.Fprintf(&b, "    %s --> %s: %s\n", from, to, strings.Join(who, " or "))
			}
		}
	}
	b.WriteString("    archived --> [*]\n")
	return b.String()
}
