package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/core/reconcile"
	"sluice/core/stock"
)

// Redis forgets the record of a purchase, and keeps the user's count. Such counts are compared with MySQL many at a time, and
// their cells need no close look. A count that is wrong is found.
func TestCountsOfForgottenPurchasesNeedNoLook(t *testing.T) {
	t.Parallel()
	const cells = 3000
	b := purchases(t, cells)
	s, looks := b.watch("HMGET {p")
	var report *reconcile.Report
	var found []string
	selects := b.statements(s, func() { report, found = b.sweep(s, reconcile.Scope{}) })
	if report.Summary.Verdict != reconcile.Clean || report.Summary.InSync != cells {
		t.Errorf("%q, %+v", found, report.Summary)
	}
	const most = 2*partitions + 50 // a statement for each partition, and the pages of the stock table
	if selects > most {
		t.Errorf("%d statements, want at most %d", selects, most)
	}
	t.Logf("%d statements, %d commands", selects, looks.calls.Load())

	b.do(count(stock.Cell{SKU: 7}, 1007, 3), count(stock.Cell{SKU: 8}, 1008, 1))
	b.exec("UPDATE reservations SET quantity = 3 WHERE sku_id = 9")
	_, found = b.sweep(s, reconcile.Scope{})
	want := []string{"7: buyer_count, 1, undersell", "8: buyer_count, 1, oversell", "9: projection_stale, 3, bookkeeping"}
	if !slices.Equal(found, want) {
		t.Errorf("%q, want %q", found, want)
	}
}

// Units that a user has brought back may have lowered the count, and units of archived reservations count.
func TestSettledCountsRegardReturnsAndFiles(t *testing.T) {
	t.Parallel()
	b := purchases(t, 7)
	returned := func(sku, seq int64) {
		b.exec(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
			VALUES (UNHEX(LPAD(HEX(? + 256), 32, '1')), ?, 0, 0, 1000 + ?, 1, 'returned', 0, 1700000001000, 1, ?, 1700000001000)`, sku, sku, sku, seq)
	}
	file := func(sku, units int64) {
		b.exec(`INSERT INTO checkpoints VALUES (?, 0, 0, 1, 2, 8, 0, 2, REPEAT('x', 20), 0, 1700000001000, 2, 1)`, sku)
		b.exec(`INSERT INTO archived_buyers VALUES (?, 0, 0, 1000 + ?, ?)`, sku, sku, units)
	}
	odd := func() string {
		s, _ := b.watch("HMGET")
		report, err := s.Sweep(t.Context(), reconcile.Scope{})
		if err != nil {
			t.Fatal(err)
		}
		var skus []string
		for i := range report.Findings {
			if f := &report.Findings[i]; f.Type == reconcile.BuyerCount {
				skus = append(skus, fmt.Sprint(f.SKU))
			}
		}
		return strings.Join(skus, " ")
	}
	returned(1, 2)                           // 2 or 1
	returned(2, 2)                           // the same
	b.do(count(stock.Cell{SKU: 2}, 1002, 1)) //
	returned(3, 2)                           //
	b.do(count(stock.Cell{SKU: 3}, 1003, 3)) // more than was ever bought
	file(4, 3)                               // 2 and 3
	b.do(count(stock.Cell{SKU: 4}, 1004, 5)) //
	file(5, 3)                               //
	b.do(count(stock.Cell{SKU: 5}, 1005, 4)) // one less
	file(6, 3)                               //
	returned(6, 1)                           // Left has that already
	b.do(count(stock.Cell{SKU: 6}, 1006, 4)) // so this is one less
	file(7, 3)                               //
	returned(7, 3)                           //
	b.do(count(stock.Cell{SKU: 7}, 1007, 4)) // right, because it came back later
	if got := odd(); got != "3 5 6" {
		t.Errorf("counts of %s differ, want 3 5 6", got)
	}
}
