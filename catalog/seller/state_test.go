package seller

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// allStates is every state, and all is the table a second time, literally: a change of it is seen here.
var (
	allStates = []State{StateApplied, StateInReview, StateRejected, StateOpen, StateSuspended, StateClosing, StateClosed}

	all = []string{
		"applied in_review review", "in_review open review", "in_review rejected review", "open suspended operator", "suspended open operator",
		"open closing operator", "suspended closing operator", "closing closed operator",
	}
)

func TestMoves(t *testing.T) {
	t.Parallel()
	for _, from := range allStates {
		for _, to := range allStates {
			for _, who := range []by{byReview, byOperator} {
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

// TestMeanings: each state has a meaning, and no seller sells in another state than open.
func TestMeanings(t *testing.T) {
	t.Parallel()
	if len(meanings) != len(allStates) {
		t.Errorf("%d states have a meaning, want %d", len(meanings), len(allStates))
	}
	for _, state := range allStates {
		m := Means(state)
		opened := state == StateOpen || state == StateSuspended || state == StateClosing || state == StateClosed
		if sells := state == StateOpen; m.Listed != sells || m.NewOrders != sells || m.shown != opened || m.Unpaid == "" || m.Paid == "" {
			t.Errorf("%s means %+v", state, m)
		}
		if cancel := state == StateClosing; (m.Unpaid == OrdersCancel) != cancel || m.Paid == OrdersCancel {
			t.Errorf("%s means %+v for orders", state, m)
		}
	}
}

// TestDrawingIsTheTable: the page draws these moves, and says what each state means.
func TestDrawingIsTheTable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/sellers.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```mermaid\n"+Drawing()+"```\n") {
		t.Errorf("docs/sellers.md does not draw\n%s", Drawing())
	}
	yes := map[bool]string{true: "yes", false: "no"}
	for _, state := range allStates {
		m := Means(state)
		row := "| `" + strings.Join([]string{string(state) + "`", yes[m.shown], yes[m.Listed], yes[m.NewOrders], "`" + string(m.Unpaid) + "`", "`" + string(m.Paid) + "`"}, " | ") + " |\n"
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/sellers.md lacks the row %s", row)
		}
	}
}
