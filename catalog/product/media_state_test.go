package product

import (
	"os"
	"strings"
	"testing"
)

// TestMovesOfMedia goes through all pairs of states, for everybody.
func TestMovesOfMedia(t *testing.T) {
	t.Parallel()
	want := map[mediaMove]bool{}
	for _, m := range mediaMoves {
		if want[m] {
			t.Errorf("%v is there twice", m)
		}
		want[m] = true
	}
	for _, from := range mediaStates {
		for _, to := range mediaStates {
			for _, who := range []by{bySeller, byShop, byStaff, byReview, byOperator} {
				if mayMedia(from, to, who) != want[mediaMove{from, to, who}] {
					t.Errorf("%s to %s by %s: %v", from, to, who, mayMedia(from, to, who))
				}
			}
		}
	}
	for _, last := range []MediaState{MediaUnfit, MediaRejected} {
		for m := range want {
			if m.from == last {
				t.Errorf("%s is no end: %v", last, m)
			}
		}
	}
}

func TestThePageDrawsTheStatesOfMedia(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/products.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), MediaDrawing()) {
		t.Errorf("docs/products.md does not draw\n%s", MediaDrawing())
	}
}
