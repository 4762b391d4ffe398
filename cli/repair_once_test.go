package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sluice/cli/command"
	"sluice/core/evidence"
	"sluice/core/ledger"
	"sluice/core/reconcile"
	"sluice/core/repair"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// rows counts rows of the table of repairs.
func (h *hands) rows(where string) (n int) {
	h.hand.t.Helper()
	if err := h.db.QueryRowContext(h.ctx, "SELECT COUNT(*) FROM repairs WHERE "+where).Scan(&n); err != nil {
		h.hand.t.Fatal(err)
	}
	return n
}

// Two machines that repair at once do each step once. If a difference comes back later, it is put right again.
func TestRepairIsDoneOnce(t *testing.T) {
	t.Parallel()
	h := newHands(t, 3)
	defer h.stop()
	h.del(resOf(stock.Cell{SKU: 1}), string(at(h.held[1])))
	h.buyer(2, 2, 3)
	h.sql("UPDATE product_inventories SET available_stock = available_stock - 4, sold_stock = sold_stock + 4 WHERE sku_id = 3")
	answers := atOnce(2, func(i int) result {
		return h.run("reconcile", "-o", "json", "--repair", "--apply", "--reason", "test", "--by", fmt.Sprintf("machine %d", i), "--yes")
	})
	for _, a := range answers {
		for _, s := range into[mended](a.want(command.ExitDone)).Results {
			if s.Outcome != "done" || !strings.HasPrefix(s.By, "machine") {
				t.Errorf("%+v", s)
			}
		}
	}
	if all, done := h.rows("TRUE"), h.rows("round = 1 AND outcome = 'done'"); all != 3 || done != 3 {
		t.Errorf("%d rows, of which %d are done the first time, want 3", all, done)
	}
	h.settled()

	h.del(resOf(stock.Cell{SKU: 1}), string(at(h.held[1])))
	h.mend(command.ExitDone)
	if n := h.rows("round = 2 AND outcome = 'done'"); n != 1 {
		t.Errorf("%d steps were done again, want the one that was found again", n)
	}
	h.settled()
}

// Several processes that repair at once do each step once, and make one event of it.
func TestRepairIsDoneOnceByProcesses(t *testing.T) {
	t.Parallel()
	h := newHands(t, 4)
	defer h.stop()
	h.del(resOf(stock.Cell{SKU: 1}), string(at(h.held[1])))
	h.buyer(2, 2, 3)
	h.sql("UPDATE product_inventories SET available_stock = available_stock - 4, sold_stock = sold_stock + 4 WHERE sku_id = 3")
	h.raise(stock.Cell{SKU: 4}, "7")
	processes := make([]*exec.Cmd, 3)
	said := make([]bytes.Buffer, len(processes))
	for i := range processes {
		args := append(h.service("reconcile"), "-o", "json", "--repair", "--apply", "--reason", "test", "--by", fmt.Sprintf("machine %d", i), "--yes", "--wait", "1m")
		processes[i] = exec.CommandContext(t.Context(), os.Args[0], args...)
		processes[i].Env = append(os.Environ(), programEnv+"=1")
		processes[i].Stdout, processes[i].Stderr = &said[i], &said[i]
		if err := processes[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range processes {
		if err := p.Wait(); err != nil {
			t.Errorf("machine %d: %v\n%s", i, err, &said[i])
		}
	}
	if all, done := h.rows("TRUE"), h.rows("round = 1 AND outcome = 'done'"); all != 4 || done != 4 {
		t.Errorf("%d rows, of which %d are done the first time, want 4", all, done)
	}
	h.settled()
	var rebases int
	if err := h.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM ledger WHERE kind = 'rebase'").Scan(&rebases); err != nil || rebases != 1 {
		t.Errorf("%d rebases, want one: %v", rebases, err)
	}
	if s := h.show(4).Redis; s.Total != 20 {
		t.Errorf("%+v", s)
	}
}

// A machine that has begun a step keeps it for a while; then another one takes it over. A step that is no longer needed
// is closed.
func TestRepairGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	h := newHands(t, 2)
	defer h.stop()
	h.del(resOf(stock.Cell{SKU: 1}), string(at(h.held[1])))
	h.buyer(2, 2, 3)
	plan := h.plan(command.ExitDrift).Plan
	if plan.Does != 2 {
		t.Fatalf("%+v", plan)
	}
	for _, s := range plan.Steps {
		h.sql(`INSERT INTO repairs (step_id, round, plan, operator, reason, type, repair, sku_id, pool, bucket, units, direction, expects, does, act, by_persister)
			VALUES (UNHEX(?), 1, '', 'killed', 'x', ?, ?, ?, 0, 0, 1, '', '', '', '{}', FALSE)`, s.ID, s.Type, s.Repair, s.SKU)
	}
	m := h.mend(command.ExitFailed, "--wait", "0s")
	for _, s := range m.Results {
		if s.Outcome != "pending" || !strings.Contains(s.Said, "killed has begun it") {
			t.Errorf("%+v", s)
		}
	}
	h.sql("UPDATE repairs SET claimed_at = NOW(3) - INTERVAL 1 MINUTE")
	h.buyer(2, 2, 1) // the one that was killed had got so far
	h.mend(command.ExitDone, "--sku", "2")
	if n := h.rows("operator = 'killed' AND ended_at IS NULL"); n != 2 {
		t.Errorf("a run for one SKU has left %d steps open, want 2: others may still need theirs", n)
	}
	m = h.mend(command.ExitDone, "--wait", "0s")
	if len(m.Results) != 1 || m.Results[0].Outcome != "done" || m.Results[0].By != "me" {
		t.Errorf("%+v", m.Results)
	}
	if mine, closed := h.rows("operator = 'me' AND outcome = 'done'"), h.rows("operator = 'killed' AND outcome = 'done'"); mine != 1 || closed != 1 {
		t.Errorf("%d taken over, %d closed", mine, closed)
	}
	h.settled()
}

// sweeper compares the stores as they are.
func (h *hands) sweeper() *reconcile.Sweeper {
	tail := evidence.KafkaTail{Brokers: h.kafka.Brokers, Topic: h.kafka.Topic, Group: h.kafka.Group}
	return &reconcile.Sweeper{Redis: h.store(), Books: ledger.New(h.db, nil), Tail: evidence.New(h.db, tail).Tail, Now: time.Now}
}

// planned returns a plan for all differences, and a desk that carries it out.
func (h *hands) planned() (*repair.Desk, *repair.Plan) {
	h.hand.t.Helper()
	sweeper := h.sweeper()
	madeAt, err := sweeper.Books.Now(h.ctx)
	if err != nil {
		h.hand.t.Fatal(err)
	}
	report, err := sweeper.Sweep(h.ctx, reconcile.Scope{})
	if err != nil {
		h.hand.t.Fatal(err)
	}
	desk := &repair.Desk{
		Store: sweeper.Redis, Books: sweeper.Books, Decision: ledger.Decision{By: "me", Reason: "test"}, Wait: 15 * time.Second,
		Publish: func(context.Context, []stock.Entry) error { return nil }, // relays do it
	}
	return desk, repair.NewPlan("test", report, madeAt)
}

// A step that no longer fits what is there is refused, and the others go on.
func TestRepairRefusesWhatNoLongerFits(t *testing.T) {
	t.Parallel()
	h := newHands(t, 7)
	defer h.stop()
	h.del(resOf(stock.Cell{SKU: 1}), string(at(h.held[1])))
	h.del(resOf(stock.Cell{SKU: 2}), string(at(h.held[2])))
	h.buyer(3, 2, 3)
	h.sql("UPDATE reservations SET state = 'released' WHERE reservation_id = ?", at(h.held[4]))
	h.refusedEvent(5, 6)
	h.raise(stock.Cell{SKU: 6}, "10")
	h.raise(stock.Cell{SKU: 7}, "10")

	desk, plan := h.planned()
	value := h.get(resOf(stock.Cell{SKU: 2}), string(at(h.sold[2])))
	h.set(resOf(stock.Cell{SKU: 2}), string(at(h.held[2])), value) // somebody else has written something there
	h.buyer(3, 2, 4)
	h.sql("UPDATE reservations SET seq = seq + 1 WHERE reservation_id = ?", at(h.held[4]))
	h.sql("UPDATE dead_letters SET reason = 'fork'")
	h.run("stock", "adjust", "6", "--delta=-20", "--reason", "sold elsewhere", "--yes").want(command.ExitDone)
	if became, _, _, err := desk.Store.Shift(h.ctx, &redisstock.Shift{ID: stock.Identity{Cell: stock.Cell{SKU: 7}, Route: stock.OpAdjust}.ID(8), Cell: stock.Cell{SKU: 7}, Epoch: 1, Reason: "test"}); err != nil || became != redisstock.ShiftDone {
		t.Fatal(became, err)
	}

	got := map[int64]string{}
	err := desk.Apply(t.Context(), plan, func(r *repair.Result) { got[int64(r.SKU)] = string(r.Outcome) + ": " + r.Said })
	if err != nil {
		t.Fatal(err)
	}
	for sku, want := range map[int64]string{
		1: "done", 2: "refused: the record is not what it was", 3: "refused: the count is not what it was", 4: "refused: the row was at", 5: "refused: dead letter",
		6: "refused: too many units are taken by now", 7: "refused: the cell is not in epoch 1 any more",
	} {
		if !strings.HasPrefix(got[sku], want) {
			t.Errorf("SKU %d: %s, want %s", sku, got[sku], want)
		}
	}
	if n := h.rows("outcome = 'refused'"); n != 6 {
		t.Errorf("%d rows of refusals", n)
	}
	// Another process may be stopped at any step.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := desk.Apply(ctx, plan, func(*repair.Result) {}); err == nil {
		t.Error("it went on after its end")
	}
}
