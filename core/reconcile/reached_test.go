package reconcile_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/reconcile"
	"sluice/core/stock"
)

// TestRecordsBeyondTheirCellAreJudged copies a held record of another cell by hand, whose seq the cell has not reached. No
// event of the cell will ever make it so, so it is no later one.
func TestRecordsBeyondTheirCellAreJudged(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	cell := stock.Cell{SKU: 7}
	p := cell.Partition(partitions)
	orphan := stock.ReservationID{0: byte(p >> 8), 1: byte(p), 15: 9}
	b.exec(`INSERT INTO ledger VALUES (7, 0, 0, 1, 1, 'adjust', REPEAT('x', 16), 0, 0, 0, 10, 0, 0, 0, 1700000000000, 10, 127, REPEAT('x', 20), 'load', NULL, NULL, NULL)`)
	b.projections()
	b.do(inRedis(cell, stock.Position{Epoch: 1, Seq: 1}, 10, 0, 0, stock.Settings{Hold: time.Minute}),
		record(cell, orphan, stock.StateHeld, 1<<40, 6, 1, time.Now().Add(time.Hour).UnixMilli()))
	s, _ := b.watch("HMGET")
	_, found := b.sweep(s, reconcile.Scope{})
	if diff := cmp.Diff([]string{"7: orphan_reservation, 1, oversell"}, found); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
