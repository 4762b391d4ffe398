package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"sluice/cli/command"
	"sluice/core/event"
	"sluice/core/repair"
	"sluice/core/stock"
)

// raise gives a cell units from nowhere in one step, as a script would: it goes on selling from them.
func (h *hand) raise(cell stock.Cell, units string) {
	h.t.Helper()
	const script = `local v = redis.call("HGET", KEYS[1], ARGV[1])
		local avail, total = struct.unpack(">I5", v, 2), struct.unpack(">I5", v, 23)
		v = string.sub(v, 1, 1) .. struct.pack(">I5", avail + ARGV[2]) .. string.sub(v, 7, 22) .. struct.pack(">I5", total + ARGV[2]) .. string.sub(v, 28)
		return redis.call("HSET", KEYS[1], ARGV[1], v)`
	if err := h.client.Do(h.ctx, h.client.B().Eval().Script(script).Numkeys(1).Key(cellsOf(cell)).Arg(string(cell.Append(nil)), units).Build()).Error(); err != nil {
		h.t.Fatal(err)
	}
}

// whole reports whether the applied mark of a SKU has come to its last event.
func (h *hands) whole(sku int) bool {
	var where, mark string
	err := h.db.QueryRowContext(h.ctx, `SELECT CONCAT(i.epoch, '.', i.seq), COALESCE(CONCAT(m.epoch, '.', m.seq), '')
		FROM product_inventories i LEFT JOIN applied_marks m USING (sku_id, pool, bucket) WHERE sku_id = ?`, sku).Scan(&where, &mark)
	return err == nil && where == mark
}

// Counters that somebody has edited become again what the events explain, by an event; also after units were sold from them,
// and where the ledger itself was edited.
func TestRepairOfCounters(t *testing.T) {
	t.Parallel()
	h := newHands(t, 7)
	defer h.stop()
	h.cell(1, func(v []byte) { v[5] += 2 })        // avail
	h.cell(2, func(v []byte) { v[5]--; v[26]-- })  // avail and total
	h.cell(3, func(v []byte) { v[10]--; v[15]++ }) // held and sold
	h.raise(stock.Cell{SKU: 4}, "7")
	h.reserve(stock.Cell{SKU: 4}, 9, "from nowhere")
	h.await(func() bool { return h.whole(5) })
	h.sql("UPDATE ledger SET available_stock = available_stock - 1, sold_stock = sold_stock + 1 WHERE sku_id = 5 AND seq = 4")
	h.sql("UPDATE applied_marks SET seq = 3 WHERE sku_id = 5") // no persister has looked at the row yet: what it has seen is compared once a day
	h.reserve(stock.Cell{SKU: 5}, 9, "looks at it")
	h.raise(stock.Cell{SKU: 6}, "100")
	for n := range 25 { // of the 19 that there were
		h.reserve(stock.Cell{SKU: 6}, int64(100+n), "too much")
	}
	h.del(resOf(stock.Cell{SKU: 7}), string(at(h.held[7])))
	h.sql("DELETE FROM reservations WHERE reservation_id = ?", at(h.held[7]))
	h.await(func() bool { // persisters have seen what was made from nowhere, and the edited row
		var n int
		err := h.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM dead_letters WHERE reason = 'broken_chain' AND sku_id IN (4, 5, 6)").Scan(&n)
		return err == nil && n == 3
	})

	m := h.mend(command.ExitFailed)
	want := []string{
		"1: restore_counters, done",
		"2: restore_counters, done",
		"3: restore_counters, done",
		"4: restore_counters, done",
		"5: rebase_cell, done",
		"6: restore_counters, refused",
		"7: return_hold, refused",
		"7: set_buyer_count, refused",
	}
	if diff := gocmp.Diff(want, m.became()); diff != "" {
		t.Errorf("%s\n%+v", diff, m.Results)
	}
	for _, s := range m.Results {
		switch {
		case s.SKU == "6" && !strings.Contains(s.Said, "units too many are taken already"):
			t.Errorf("%+v", s)
		case s.Outcome == "done" && s.Seq == 0:
			t.Errorf("which event it was is not told: %+v", s)
		}
	}
	// Only the whole history of a SKU shows this.
	h.mend(command.ExitDone, "--sku", "7")
	h.run("stock", "adjust", "6", "--delta", "10", "--reason", "delivered", "--yes").want(command.ExitDone)
	h.mend(command.ExitDone, "--sku", "6")
	h.settled()
	for sku := int64(1); sku <= 7; sku++ {
		if s := h.show(sku); s.Redis.Total != map[bool]int64{true: 30, false: 20}[sku == 6] || s.MySQL.Total != s.Redis.Total {
			t.Errorf("SKU %d: %+v", sku, s.Redis)
		}
	}
	// It sells on, and its applied mark moves on.
	for sku := int64(1); sku <= 7; sku++ {
		h.reserve(stock.Cell{SKU: sku}, 77, "after")
	}
	h.settled()
	for sku := 1; sku <= 7; sku++ {
		h.await(func() bool { return h.whole(sku) })
	}
	if again := h.mend(command.ExitDone); len(again.Results) > 0 {
		t.Errorf("again: %+v", again.Results)
	}
}

// The event of a repair goes to Kafka at once, because the repair waits for it. If that fails, a relay brings it some seconds later.
func TestRepairPublishesItsEvent(t *testing.T) {
	t.Parallel()
	h := newHands(t, 1)
	defer h.stop()
	h.cell(1, func(v []byte) { v[5] += 2 })
	desk, plan := h.planned()
	var made []event.Event
	desk.Publish = func(_ context.Context, entries []stock.Entry) error {
		for _, e := range entries {
			b, err := event.Decode(e.Data)
			if err != nil {
				t.Error(err)
			}
			made = append(made, b.Events...)
		}
		return errors.New("kafka is away")
	}
	var results []repair.Result
	if err := desk.Apply(t.Context(), plan, func(r *repair.Result) { results = append(results, *r) }); err != nil {
		t.Fatal(err)
	}
	if len(results) != 1 || results[0].Outcome != repair.Done || len(made) != 1 || made[0].Seq != results[0].Seq || made[0].Epoch != results[0].Epoch {
		t.Errorf("results %+v, published %+v", results, made)
	}
}

// A repair of counters resolves the dead letters that it has put right: those of its cell, about events before the repair that did
// not follow. Others may be about something else.
func TestRepairOfCountersResolvesItsLettersOnly(t *testing.T) {
	t.Parallel()
	h := newHands(t, 2)
	defer h.stop()
	h.raise(stock.Cell{SKU: 1}, "7")
	desk, plan := h.planned()
	if plan.Does != 1 {
		t.Fatalf("%+v", plan.Steps)
	}
	for n, l := range []struct {
		sku    int
		reason string
		epoch  int
	}{{1, "broken_chain", 1}, {1, "broken_chain", 9}, {1, "refused", 1}, {2, "broken_chain", 1}} {
		h.sql(`INSERT INTO dead_letters (letter_id, reason, detail, sku_id, pool, bucket, epoch, seq, data) VALUES (?, ?, 'why', ?, 0, 0, ?, 1, 'x')`,
			fmt.Sprintf("%032d", n), l.reason, l.sku, l.epoch)
	}
	err := desk.Apply(h.ctx, plan, func(r *repair.Result) {
		if r.Outcome != repair.Done {
			t.Errorf("%+v", r)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var resolved string
	err = h.db.QueryRowContext(h.ctx, "SELECT COALESCE(GROUP_CONCAT(letter_id + 0 ORDER BY letter_id), '') FROM dead_letters WHERE resolved_at IS NOT NULL").Scan(&resolved)
	if err != nil || resolved != "0" {
		t.Errorf("resolved are %q, want the first: %v", resolved, err)
	}
}
