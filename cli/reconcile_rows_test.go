package cli

import (
	"slices"
	"testing"

	"sluice/cli/command"
	"sluice/core/stock"
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
