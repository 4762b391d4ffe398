package product

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// all is the table a second time, literally: a change of it is seen here.
var all = []string{
	"draft in_review seller", "in_review approved review", "in_review rejected review", "rejected draft seller", "approved listed seller",
	"listed delisted seller", "listed delisted operator", "delisted listed seller",
	"draft archived seller", "approved archived seller", "rejected archived seller", "listed archived seller", "delisted archived seller",
	"draft archived operator", "in_review archived operator", "approved archived operator", "rejected archived operator", "listed archived operator",
	"delisted archived operator",
}

func TestMoves(t *testing.T) {
	t.Parallel()
	for _, from := range stages {
		for _, to := range stages {
			for _, who := range []by{bySeller, byReview, byOperator} {
				line := strings.Join([]string{string(from), string(to), string(who)}, " ")
				if got, want := may(from, to, who), slices.Contains(all, line); got != want {
					t.Errorf("%s: %v, want %v", line, got, want)
				}
			}
		}
	}
	if len(moves) != len(all) {
		t.Errorf("%d moves, want %d", len(moves), len(all))
	}
}

// TestNobodyListsWhatNobodyApproved follows all ways from a draft: none reaches shoppers but by a review, and where all may change
// there is a review before them again.
func TestNobodyListsWhatNobodyApproved(t *testing.T) {
	t.Parallel()
	reached := map[Stage]bool{StageDraft: true}
	for changed := true; changed; {
		changed = false
		for _, m := range moves {
			if reached[m.from] && m.by != byReview && !reached[m.to] {
				reached[m.to], changed = true, true
			}
		}
	}
	if reached[StageListed] || reached[StageApproved] || reached[StageDelisted] {
		t.Errorf("without a review a product reaches %v", reached)
	}
	for _, stage := range stages {
		want := ChangesNone
		switch stage {
		case StageDraft:
			want = ChangesAll
		case StageApproved, StageListed, StageDelisted:
			want = ChangesClose
		case StageInReview, StageRejected, StageArchived:
		}
		if got := changesIn(stage); got != want {
			t.Errorf("in %s: %v, want %v", stage, got, want)
		}
	}
}

// TestDrawingIsTheTable: the page draws these moves.
func TestDrawingIsTheTable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/products.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```mermaid\n"+Drawing()+"```\n") {
		t.Errorf("docs/products.md does not draw\n%s", Drawing())
	}
}
