package cli

import (
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"sluice/core/reconcile"
)

// Somebody edits Redis and MySQL while a sweep runs, one SKU after each partition. The sweep reports nothing but edits. The next
// one reports all of them.
func TestEditDuringASweepIsSeenByTheNext(t *testing.T) {
	t.Parallel()
	const skus = 8 // a sweep tells its progress for each of the 8 partitions, and before
	h := newHands(t, skus)
	h.stop()
	want := make([]string, 0, skus)
	edit := func(sku int64) string {
		if sku%2 == 0 {
			h.sql("UPDATE product_inventories SET available_stock = available_stock - 4, sold_stock = sold_stock + 4 WHERE sku_id = ?", sku)
			return finding(sku, reconcile.ProjectionStale, 4, reconcile.Bookkeeping)
		}
		h.cell(sku, func(v []byte) { v[5] += 2 })
		return finding(sku, reconcile.CounterEdit, 2, reconcile.Oversell)
	}
	sweeper := h.sweeper()
	sweeper.Progress = func(reconcile.Progress) {
		if sku := int64(len(want) + 1); sku <= skus {
			want = append(want, edit(sku))
		}
	}
	first := found(h, sweeper)
	if len(want) != skus {
		t.Fatalf("%d edits while the sweep ran, want %d", len(want), skus)
	}
	for _, line := range first {
		if !slices.Contains(want, line) {
			t.Errorf("reported while it changed: %s", line)
		}
	}
	if len(first) == skus {
		t.Error("the sweep saw every edit: none was made behind it")
	}
	slices.SortFunc(want, bySKU)
	if diff := gocmp.Diff(want, found(h, sweeper)); diff != "" {
		t.Errorf("the next sweep: %s", diff)
	}
}

func finding(sku int64, of reconcile.Type, units int64, way reconcile.Direction) string {
	return fmt.Sprintf("%d: %s, %d, %s", sku, of, units, way)
}

// found sweeps, and returns the findings, one a line.
func found(h *hands, sweeper *reconcile.Sweeper) []string {
	h.hand.t.Helper()
	report, err := sweeper.Sweep(h.ctx, reconcile.Scope{})
	if err != nil || len(report.Summary.Unread) > 0 {
		h.hand.t.Fatalf("%v, %+v", err, report.Summary.Unread)
	}
	lines := []string{}
	for i := range report.Findings {
		f := &report.Findings[i]
		lines = append(lines, finding(int64(f.SKU), f.Type, f.Units, f.Direction))
	}
	slices.SortFunc(lines, bySKU)
	return lines
}
