package offer

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// all is the table a second time, literally: a change of it is seen here.
var all = []string{
	"draft in_review seller", "in_review approved review", "in_review rejected review", "rejected draft seller",
	"draft withdrawn seller", "in_review withdrawn seller", "approved withdrawn seller", "rejected withdrawn seller",
	"draft withdrawn operator", "in_review withdrawn operator", "approved withdrawn operator", "rejected withdrawn operator",
}

func TestMoves(t *testing.T) {
	t.Parallel()
	for _, from := range stages {
		for _, to := range stages {
			for _, who := range makers {
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

// TestNobodySeesWhatNobodyApproved follows all ways from a draft: none reaches shoppers but by a review.
func TestNobodySeesWhatNobodyApproved(t *testing.T) {
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
	for stage := range reached {
		if shown(stage) {
			t.Errorf("without a review an offer becomes %s", stage)
		}
	}
}

// TestDrawingIsTheTable: the page draws these moves.
func TestDrawingIsTheTable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/offers.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```mermaid\n"+Drawing()+"```\n") {
		t.Errorf("docs/offers.md does not draw\n%s", Drawing())
	}
}
