package reconcile_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/event"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// arrive brings what sold has left in the outbox to MySQL. Then nothing of the cell is under way.
func (b books) arrive(cell stock.Cell) {
	b.t.Helper()
	const held = `UNHEX(CONCAT(HEX(LEFT(reservation_id, 15)), '03'))`
	b.exec(`INSERT INTO ledger SELECT sku_id, 0, 0, 1, 3, 'reserve', `+held+`, user_id, 1, fingerprint, 8, 2, 0, deadline_ms, 1700000002000, NULL, NULL, NULL, NULL, NULL, NULL, NULL
		FROM ledger WHERE sku_id = ? AND seq = 2`, cell.SKU)
	b.exec(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
		SELECT `+held+`, sku_id, 0, 0, user_id, 1, 'held', deadline_ms, 1700000002000, 1, 3, 1700000002000 FROM reservations WHERE sku_id = ?`, cell.SKU)
	b.exec(`UPDATE product_inventories SET available_stock = 8, reserved_stock = 2, seq = 3 WHERE sku_id = ?`, cell.SKU)
}

// TestWhatIsHeldIsComparedWhileItMoves changes rows and records of held reservations by hand: of cells of which an event is under
// way, and of cells that rest.
func TestWhatIsHeldIsComparedWhileItMoves(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	const moving, resting, kinds = 0, 10, 6
	for sku := range int64(kinds) {
		b.sold(stock.Cell{SKU: 1 + moving + sku})
		b.sold(stock.Cell{SKU: 1 + resting + sku})
		b.arrive(stock.Cell{SKU: 1 + resting + sku})
	}
	for _, first := range []int64{moving, resting} {
		b.exec("UPDATE reservations SET user_id = 6 WHERE sku_id = ? AND seq = 2", first+1)
		b.exec("DELETE FROM reservations WHERE sku_id = ? AND seq = 2", first+2)
		lost, extra := stock.Cell{SKU: first + 3}, stock.Cell{SKU: first + 4}
		id := soldAt(lost, 2)
		b.do([]string{"HDEL", keyOf(lost, "res"), string(id[:])}, record(extra, soldAt(extra, 9), stock.StateHeld, 2, 7, 1, 4102444800000))
		b.exec("UPDATE reservations SET seq = 1 WHERE sku_id = ? AND seq = 2", first+5)
	}
	s := b.sweeper(func(func(*event.Batch) error) error { return nil })
	report, found := b.sweep(&s, reconcile.Scope{})
	want := []string{
		"1: projection_stale, 1, bookkeeping", "2: projection_stale, 1, bookkeeping", "3: leaked_hold, 1, undersell", "4: orphan_reservation, 1, oversell",
		"5: projection_stale, 1, bookkeeping",
		"11: projection_stale, 1, bookkeeping", "12: projection_stale, 1, bookkeeping", "13: leaked_hold, 1, undersell", "14: orphan_reservation, 1, oversell",
		"15: projection_stale, 1, bookkeeping",
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if report.Summary.InFlight+report.Summary.InSync != 2*kinds-int64(len(want)) {
		t.Errorf("%+v", report.Summary)
	}
}

// TestSearchesOfManyCellsAreDivided deletes a row of each of many cells of one partition. Their records are searched for in
// portions, so that no more views are in memory than the bound allows.
func TestSearchesOfManyCellsAreDivided(t *testing.T) {
	t.Parallel()
	const cells, rows = 12, 4 // the views of a cell have so many events and rows
	b := newBooks(t)
	first := stock.Cell{SKU: 1}
	var want []string
	for c := first; len(want) < cells; c.SKU++ {
		if c.Partition(partitions) != first.Partition(partitions) {
			continue
		}
		b.sold(c)
		b.arrive(c)
		b.exec("DELETE FROM reservations WHERE sku_id = ? AND seq = 2", c.SKU)
		want = append(want, fmt.Sprintf("%d: projection_stale, 1, bookkeeping", c.SKU))
	}
	for _, most := range []struct{ held, searches int }{{0, 1}, {cells*rows/2 - 1, 2}, {1, cells}} {
		s, scans := b.watch("HSCAN " + keyOf(first, "res") + " 0")
		s.SetHeldMost(most.held)
		_, found := b.sweep(s, reconcile.Scope{})
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("in memory %d (-want +got):\n%s", most.held, diff)
		}
		if n := int(scans.calls.Load()) - 1; n < most.searches || most.held == 0 && n > 1 { // the sweep itself scans once
			t.Errorf("in memory %d: %d searches, want %d", most.held, n, most.searches)
		}
	}
}

// TestCountsOfAHotCellAreCompared edits counts of users of a cell of which too many units are held to read each for them.
func TestCountsOfAHotCellAreCompared(t *testing.T) {
	t.Parallel()
	const buyers = 10_100
	b := newBooks(t)
	b.hot(t, buyers)
	b.move(t, buyers, 3)
	b.do(count(hotCell, 5, 3), count(hotCell, 6, 0))
	s := b.sweeper(func(func(*event.Batch) error) error { return nil })
	report, found := b.sweep(&s, reconcile.Scope{})
	want := []string{"7: buyer_count, 2, undersell", "7: buyer_count, 1, oversell"}
	if diff := cmp.Diff(want, found); diff != "" || report.Summary.EventsInFlight != 3 {
		t.Errorf("%d under way (-want +got):\n%s", report.Summary.EventsInFlight, diff)
	}
}
