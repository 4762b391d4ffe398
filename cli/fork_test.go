package cli

import (
	"regexp"
	"strings"
	"testing"

	"sluice/cli/command"
	"sluice/core/stock"
)

// forks has a cell lose two holds, one of them confirmed, and go on: two holds and the beginning of a sale take their places.
func (h *hands) forks(sku int64) (lost, held, sold stock.ReservationID) {
	h.hand.t.Helper()
	cell := stock.Cell{SKU: sku}
	early := h.get(cellsOf(cell), string(cell.Append(nil)))
	lost, confirmed := h.reserve(cell, 11, "lost"), h.reserve(cell, 12, "confirmed")
	h.settle(stock.OpConfirm, cell, confirmed)
	h.settled()
	h.set(cellsOf(cell), string(cell.Append(nil)), early)
	for _, id := range []stock.ReservationID{lost, confirmed} {
		h.del(resOf(cell), string(id[:]))
	}
	h.buyer(sku, 11, 0)
	h.buyer(sku, 12, 0)
	held, sold = h.reserve(cell, 13, "held"), h.reserve(cell, 14, "sold")
	h.reserve(cell, 16, "another")
	h.settle(stock.OpConfirm, cell, sold)
	h.await(func() bool {
		var n int
		err := h.db.QueryRowContext(h.ctx, "SELECT COUNT(*) FROM dead_letters WHERE reason = 'fork'").Scan(&n)
		return err == nil && n == 3
	})
	return lost, held, sold
}

// Where two histories have sold units, the plan says what a person types, and what it costs. Typed, it ends in one history, in
// which nothing is sold twice.
func TestForkIsDecidedByWhatThePlanSays(t *testing.T) {
	t.Parallel()
	h := newHands(t, 2)
	defer h.stop()
	lost, held, sold := h.forks(1)
	cell := stock.Cell{SKU: 1}
	plan := h.plan(command.ExitDrift)
	why := ""
	for _, s := range plan.Plan.Steps {
		if s.Type == "fork" {
			if why != "" {
				t.Errorf("two steps decide: %+v", plan.Plan.Steps)
			}
			why = s.Refused
		}
	}
	for _, text := range []string{"3 units", "sluice stock freeze 1 --reason fork", "sluice stock adjust 1 --delta=-3 --reason fork", "sluice reconcile --sku 1 --repair --apply --reason fork", "docs/runbooks/fork.md"} {
		if !strings.Contains(why, text) {
			t.Errorf("%q is missing in %q", text, why)
		}
	}
	if m := h.mend(command.ExitFailed, "--sku", "1"); m.Plan.Does != 0 {
		t.Errorf("it is repaired without a decision: %+v", m.Plan)
	}

	h.run("stock", "freeze", "1", "--reason", "fork", "--yes").want(command.ExitDone)
	h.run("stock", "adjust", "1", "--delta=-3", "--reason", "fork", "--yes").want(command.ExitDone)
	letters := regexp.MustCompile(`[0-9a-f]{64}`).FindAllString(why, -1)
	if len(letters) != 3 {
		t.Fatalf("%d letters are named: %s", len(letters), why)
	}
	for _, id := range letters {
		h.run("deadletter", "resolve", id, "--reason", "fork", "--yes").want(command.ExitDone)
	}
	h.await(func() bool {
		h.run("reconcile", "--sku", "1", "--repair", "--apply", "--reason", "fork", "--yes")
		return h.run("reconcile", "--sku", "1").code == command.ExitDone
	})
	h.settled()
	records, _, err := h.store().Reservations(t.Context(), []stock.ReservationID{lost, held, sold})
	if err != nil {
		t.Fatal(err)
	}
	if records[0].State != stock.StateHeld || records[1].State != stock.StateNone {
		t.Errorf("the hold of the ledger's history is %v, that of the other one %v; its sale is %v", records[0].State, records[1].State, records[2].State)
	}
	// Two are held, and three sold. One of the sold began among the void events. The last rebase brings held to the sum of the holds.
	if s := h.show(1).Redis; s.Total != 17 || s.Held != 2 || s.Sold != 3 || s.Avail != 12 || s.Epoch != 3 {
		t.Errorf("it has %+v", s)
	}
	h.run("stock", "unfreeze", "1", "--reason", "fork", "--yes").want(command.ExitDone)
	h.reserve(cell, 15, "on")
	h.settle(stock.OpConfirm, cell, lost)
	h.settled()
}
