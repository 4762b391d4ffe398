package cli

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"sluice/cli/command"
	"sluice/core/reconcile/journal"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/persister"
)

// Rows of the ledger below the applied mark follow from each other, also behind a checkpoint and over a rebase. One that
// somebody edits or takes away is found by --all-rows, though no sweep looks there.
func TestOlderRowsAreCompared(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	d.runWith("sku_id,quantity\n1,100\n2,100\n3,100\n4,100\n5,100\n6,100\n", "stock", "load", "--yes").want(command.ExitDone)
	h := d.hand()
	sell := func(key string) {
		for sku := int64(1); sku <= 6; sku++ {
			cell := stock.Cell{SKU: sku}
			d.settle(stock.OpConfirm, cell, d.reserve(cell, 1, key))
			d.settle(stock.OpRelease, cell, d.reserve(cell, 2, key+" again"))
		}
	}
	persist := func() {
		stop := d.persister()
		d.settled()
		d.marked(h)
		d.await(func() bool { return h.passes() == 1 }) // one is enough for a day
		stop()
	}
	sell("a")
	persist()
	h.age()
	d.run("archive", "run", "--dir", t.TempDir(), "--older-than", "1200h", "--yes").want(command.ExitDone, "30 events of 6 cells")
	sell("b")
	sell("c")
	persist()
	h.set(cellsOf(stock.Cell{SKU: 6}), string(stock.Cell{SKU: 6}.Append(nil)), edited(h.get(cellsOf(stock.Cell{SKU: 6}), string(stock.Cell{SKU: 6}.Append(nil)))))
	d.run("reconcile", "--repair", "--apply", "--reason", "counters", "--yes").want(command.ExitDone)
	sell("d")
	persist()
	r := d.reconcile(command.ExitDone, "--all-rows")
	if r.Summary.Verdict != "clean" || r.Summary.Cells != 6 {
		t.Errorf("%+v", r)
	}

	h.sql("DELETE FROM ledger WHERE sku_id = 1 AND seq = 8")
	h.sql("UPDATE ledger SET available_stock = available_stock + 3 WHERE sku_id = 2 AND seq = 9")
	h.sql("DELETE FROM ledger WHERE sku_id = 3 AND seq = 5")
	h.sql("UPDATE checkpoints SET available_stock = available_stock - 1 WHERE sku_id = 4")
	h.sql("UPDATE ledger SET available_stock = available_stock + 2 WHERE sku_id = 5 AND seq BETWEEN 10 AND 12")
	d.reconcile(command.ExitDone)
	h.sql("UPDATE reconcile_runs SET begun_at = begun_at - INTERVAL 1 DAY, ended_at = ended_at - INTERVAL 1 DAY WHERE sweep = 'rows'")
	want := []string{
		"1: gap, 1, bookkeeping", "2: fork, 3, bookkeeping", "3: gap, 0, bookkeeping", "4: counter_edit, 1, oversell", "4: fork, 1, bookkeeping",
		"5: counter_edit, 2, oversell", "5: counter_edit, 2, undersell",
	}
	r = d.reconcile(command.ExitDrift, "--all-rows")
	if !slices.Equal(r.brief(), want) {
		t.Errorf("%q, want %q", r.brief(), want)
	}
	r = d.reconcile(command.ExitDrift, "--all-rows", "--sku", "2")
	if !slices.Equal(r.brief(), want[1:2]) {
		t.Errorf("%q", r.brief())
	}
	d.run("reconcile", "--all-rows", "--repair").want(command.ExitUsage, "--sku")

	stop := d.persister()
	d.await(func() bool { return h.passes() == 2 })
	stop()
	if !slices.Equal(h.open(), want) {
		t.Errorf("persisters: %q, want %q", h.open(), want)
	}
}

// A pass through older rows goes on where its persister was killed: what was compared before that is not read again. MySQL
// and the metrics have since when nobody has come through.
func TestPassThroughOlderRowsGoesOn(t *testing.T) {
	t.Parallel()
	const skus = 600
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	d.runWith(stockFile("sku_id,quantity", skus, "10"), "stock", "load", "--yes").want(command.ExitDone)
	h := d.hand()
	h.passed("NOW(3)") // none is due
	stop := d.persister()
	d.settled()
	d.marked(h)
	stop()
	h.sql("DELETE FROM reconcile_runs")
	first := startProgram(t, "", d.service("persister")...)
	first.until("persister is up")
	begun, at := "", int64(0)
	d.await(func() bool { begun, at = h.pass(); return at > 0 })
	first.signal(syscall.SIGKILL)
	if code := first.end(); code != -1 {
		t.Errorf("exit code %d before the kill, and it said\n%s", code, first.said.String())
	}
	if begun, at = h.pass(); at == 0 || at == skus {
		t.Fatalf("killed at SKU %d, which is not in the middle", at)
	}
	h.sql("UPDATE ledger SET available_stock = available_stock + 3 WHERE sku_id IN (?, ?)", at, at+1)
	h.sql("UPDATE reconcile_lease SET held_until = NOW(3)")

	address := d.ops()
	defer d.persisterWith(func(cfg *persister.Config) { cfg.Ops.Listen = address })()
	d.await(func() bool {
		return strings.Contains(d.metrics(address), `reconcile_unverified_seconds{sweep="rows"} `)
	})
	d.await(func() bool { return h.passes() == 1 })
	r := into[struct {
		Runs []struct {
			Verdict string
			Sweep   string
			BegunAt string `json:"begun_at"`
			Cells   int64
			ByType  map[string]struct{ Units int64 } `json:"by_type"`
		}
	}](d.run("reconcile", "history", "-o", "json").want(command.ExitDone))
	for _, run := range r.Runs {
		if run.Sweep == "rows" && (run.Verdict != "drift" || run.Cells != skus || run.BegunAt != begun || len(run.ByType) != 1 || run.ByType["fork"].Units+run.ByType["counter_edit"].Units != 3) {
			t.Errorf("%+v, want %d cells since %s, and one difference", run, skus, begun)
		}
	}
	if _, at := h.pass(); at != 0 {
		t.Errorf("a pass is under way at SKU %d", at)
	}
}

// pass is when the pass under way began, and the last SKU that it has compared; 0: none is.
func (h *hand) pass() (begun string, sku int64) {
	h.t.Helper()
	p, err := journal.New(h.db).Pass(h.ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	if p == nil {
		return "", 0
	}
	text, err := show.Moment(p.Begun.UnixMilli()).MarshalText()
	if err != nil {
		h.t.Fatal(err)
	}
	return string(text), p.After.SKU
}

// passed waits until a pass through older rows has ended.
func (h *hand) passed(when string) {
	h.t.Helper()
	h.sql("INSERT INTO reconcile_runs (sweep, verdict, complete, done_by, begun_at, ended_at, cells, in_sync, in_flight, drift, unverified, reservations, ledger_rows, findings, " +
		"by_type, unread) VALUES ('rows', 'clean', 1, 'me', " + when + ", " + when + ", 0, 0, 0, 0, 0, 0, 0, 0, '{}', '')")
}

// passes is how many passes of persisters through the older rows are over.
func (h *hand) passes() (n int) {
	h.t.Helper()
	if err := h.db.QueryRowContext(h.t.Context(), "SELECT COUNT(*) FROM reconcile_runs WHERE sweep = 'rows'").Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// edited is a cell's value with two units more for sale.
func edited(value []byte) []byte {
	value = slices.Clone(value)
	value[5] += 2
	return value
}
