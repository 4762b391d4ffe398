package reconcile_test

import (
	"slices"
	"strings"
	"testing"

	"sluice/core/reconcile"
	"sluice/core/stock"
)

// A SKU with more cells than are read from their first event on is unverified, and the report says that a sale has to be named too.
func TestManyCellsOfASKUAreUnverified(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.exec(`INSERT INTO ledger SELECT 1, cells.seq, 0, 1, 1, 'adjust', REPEAT('x', 16), 0, 0, 0, 10, 0, 0, 0, 1, 10, 127, REPEAT('x', 20), 'import', NULL, NULL, NULL
		FROM seq_1_to_2001 AS cells`)
	b.projections()
	var commands [][]string
	for pool := range uint32(2001) {
		commands = append(commands, inRedis(stock.Cell{SKU: 1, Pool: pool + 1}, stock.Position{Epoch: 1, Seq: 1}, 10, 0, 0, stock.Settings{}))
	}
	b.do(commands...)
	s, _ := b.watch("HMGET")
	report, _ := b.sweep(s, reconcile.Scope{SKU: 1})
	if unread := report.Summary.Unread; len(unread) != 1 || !strings.Contains(unread[0].Error, "--sale") {
		t.Errorf("unread: %+v", unread)
	}
	pool := uint32(7)
	if report, _ = b.sweep(s, reconcile.Scope{SKU: 1, Sale: &pool}); len(report.Summary.Unread) != 0 || report.Summary.InSync != 1 {
		t.Errorf("of one sale: %+v", report.Summary)
	}
}

// A page of MySQL that cannot be read hides nothing that the scan of Redis has found before.
func TestFailedSiftLooksAtDoubts(t *testing.T) {
	t.Parallel()
	b := adjusted(t, 6)
	cell := stock.Cell{SKU: 1}
	b.do(record(cell, stock.ReservationID{8: 1}, stock.StateHeld, 1, 0, 1, 2))
	b.exec("ALTER TABLE product_inventories MODIFY total_stock BIGINT NULL")
	b.exec("UPDATE product_inventories SET total_stock = NULL WHERE sku_id = 6")
	s, _ := b.watch("HMGET")
	report, found := b.sweep(s, reconcile.Scope{})
	if len(report.Summary.Unread) == 0 || !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, "1: orphan_reservation") }) {
		t.Errorf("%q: %+v", found, report.Summary)
	}
}
