package price

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The table a second time, literally: a change of it is seen here.
func TestMovesOfCoupons(t *testing.T) {
	t.Parallel()
	all := []string{
		"issued held checkout", "held used payment", "held restored release", "used restored refund", "restored held checkout",
	}
	states := []State{StateIssued, StateHeld, StateUsed, StateRestored}
	for _, from := range states {
		for _, to := range states {
			for _, why := range []by{byCheckout, byPayment, byRelease, byRefund} {
				line := strings.Join([]string{string(from), string(to), string(why)}, " ")
				if got, want := may(from, to, why), slices.Contains(all, line); got != want {
					t.Errorf("%s: %v, want %v", line, got, want)
				}
			}
		}
	}
	if len(steps) != len(all) {
		t.Errorf("%d moves, want %d", len(steps), len(all))
	}
	page, err := os.ReadFile("../../docs/prices.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```mermaid\n"+Drawing()+"```\n") {
		t.Errorf("docs/prices.md does not draw\n%s", Drawing())
	}
}
