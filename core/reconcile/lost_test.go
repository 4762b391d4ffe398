package reconcile_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/core/ledger"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// TestCellsThatOnlyRedisHadAreFound: an edge tells of cells that no store has any more. Each is a finding, until somebody has made
// it again.
func TestCellsThatOnlyRedisHadAreFound(t *testing.T) {
	t.Parallel()
	b := purchases(t, 2)
	gone, sale := stock.Cell{SKU: 7}, stock.Cell{SKU: 8, Pool: 3}
	last := func(c stock.Cell, seq uint64, avail, held, sold int64) ledger.LostCell {
		return ledger.LostCell{Cell: c, Position: stock.Position{Epoch: 1, Seq: seq}, Balances: stock.Balances{Avail: avail, Held: held, Sold: sold}}
	}
	books := ledger.New(b.mysql, nil)
	for _, told := range [][]ledger.LostCell{
		{last(gone, 4, 6, 3, 1), last(sale, 2, 0, 0, 5), last(stock.Cell{SKU: 1}, 2, 8, 0, 2)}, // another edge has brought the events of 1
		{last(gone, 3, 7, 3, 0)}, // of another edge, which saw less
	} {
		if err := books.Lose(t.Context(), told); err != nil {
			t.Fatal(err)
		}
	}
	s, _ := b.watch("HMGET")
	report, found := b.sweep(s, reconcile.Scope{})
	want := []string{"7: lost_tail, 10, undersell", "8: lost_tail, 5, oversell"}
	if !slices.Equal(found, want) || report.Summary.InSync != 2 || len(report.Steps) != 2 {
		t.Fatalf("%q, want %q: %+v", found, want, report.Summary)
	}
	f := report.Findings[0]
	if p := f.Proof[1]; p.Store != reconcile.InEdges || p.Epoch != 1 || p.Seq != 4 || *p.Counters != (reconcile.Counted{Avail: 6, Held: 3, Sold: 1, Total: 10}) {
		t.Errorf("the proof is %+v", f.Proof)
	}
	if age := time.Since(time.UnixMilli(int64(f.Since))); age < 0 || age > time.Minute {
		t.Errorf("since %v", age)
	}
	for _, step := range report.Steps {
		if step.SKU == 7 && !strings.Contains(step.Refused, "10 units at most") {
			t.Errorf("the plan is %+v", step)
		}
	}
	if _, found := b.sweep(s, reconcile.Scope{SKU: 8}); !slices.Equal(found, want[1:]) {
		t.Errorf("of one SKU: %q", found)
	}
	b.exec(`INSERT INTO ledger VALUES (7, 0, 0, 1, 1, 'adjust', REPEAT('x', 16), 0, 0, 0, 9, 0, 0, 0, 1700000000000, 9, 127, REPEAT('x', 20), 'load', NULL, NULL, NULL)`)
	b.exec("DELETE FROM product_inventories")
	b.exec("DELETE FROM applied_marks")
	b.projections()
	b.do(inRedis(gone, stock.Position{Epoch: 1, Seq: 1}, 9, 0, 0, stock.Settings{}))
	if _, found := b.sweep(s, reconcile.Scope{}); !slices.Equal(found, want[1:]) {
		t.Errorf("after one was made again: %q", found)
	}
}
