package cli

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"sluice/core/stock"
	"sluice/persister"
)

// While a sale runs, persisters report what somebody changes by hand, of each type, within the time that is set: with its SKU,
// size and direction, and nothing else.
func TestPersistersReportUnderLoad(t *testing.T) {
	t.Parallel()
	const skus = 12
	within := reconcileWithin(t)
	h, accepted, end := newBusy(t, skus, 2, func(cfg *persister.Config) { cfg.ReconcileWithin = within })
	defer h.stop()
	defer end()
	h.inject()
	gap, fork := h.unmarked(8, "DELETE FROM ledger WHERE "), h.unmarked(10, "UPDATE ledger SET available_stock = available_stock + 2 WHERE ")
	t.Logf("the gap is at seq %d, the fork at %d", gap, fork)
	lost, odd := stock.Cell{SKU: skus + 1}, stock.Cell{SKU: skus + 2}
	value := h.get(cellsOf(odd), string(odd.Append(nil)))
	value[0] = 9 // a version that nobody knows
	h.set(cellsOf(odd), string(odd.Append(nil)), value)
	before := h.get(cellsOf(lost), string(lost.Append(nil)))
	h.inLedger(h.reserve(lost, 9004, "lost"), "reserve")
	h.set(cellsOf(lost), string(lost.Append(nil)), before)

	want := append(slices.Clone(injected), "8: gap, 1, bookkeeping", "10: fork, 2, bookkeeping", "13: lost_tail, 1, oversell", "14: unverifiable, 0, bookkeeping")
	slices.SortFunc(want, bySKU)
	limit := within
	if within < time.Minute { // a busy machine takes longer; RECONCILE_WITHIN says what is wanted
		limit = 5 * time.Minute
	}
	begun, sold, seen := time.Now(), accepted(), map[string]time.Duration{}
	for got := []string(nil); !slices.Equal(got, want); time.Sleep(50 * time.Millisecond) {
		if time.Since(begun) > limit {
			t.Fatalf("after %v: %s", time.Since(begun), gocmp.Diff(want, got))
		}
		got = withoutSize(h.open())
		for _, line := range got {
			if seen[line] == 0 {
				seen[line] = time.Since(begun)
			}
		}
	}
	for _, line := range want {
		t.Logf("%s: after %v", line, seen[line].Round(100*time.Millisecond))
	}
	if accepted() == sold {
		t.Error("nothing was sold meanwhile")
	}
}

// unmarked changes a row of the ledger, that of a new reservation, before the applied mark has passed it, and returns its seq.
func (h *busy) unmarked(sku int64, change string) (seq uint64) {
	h.hand.t.Helper()
	mark := func() (seq uint64) {
		if err := h.db.QueryRowContext(h.ctx, "SELECT seq FROM applied_marks WHERE sku_id = ? AND pool = 0", sku).Scan(&seq); err != nil {
			h.hand.t.Fatal(err)
		}
		return seq
	}
	for try := range 20 {
		id := h.reserve(stock.Cell{SKU: sku}, 9010+int64(try), "unmarked "+strconv.Itoa(try))
		seq = h.inLedger(id, "reserve")
		if mark() >= seq {
			continue
		}
		h.sql(change+"reservation_id = ?", id[:])
		h.await(func() bool { return mark() >= seq-1 })
		h.inLedger(h.reserve(stock.Cell{SKU: sku}, 9040+int64(try), "after "+strconv.Itoa(try)), "reserve")
		if mark() == seq-1 {
			return seq
		}
	}
	h.hand.t.Fatalf("the applied mark of SKU %d is too fast for %q", sku, strings.Fields(change)[0])
	return 0
}
