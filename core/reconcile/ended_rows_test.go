package reconcile_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"sluice/core/reconcile"
	"sluice/core/stock"
)

// Redis remembers none of these reservations. A sweep finds a row that claims to be held, because the sum of a cell's
// held rows must be the held units of the stock table. The pass through older rows finds every other row that differs
// from its last event.
func TestEndedRowsAreCompared(t *testing.T) {
	t.Parallel()
	b := purchases(t, 20)
	s, _ := b.watch("HMGET")
	pass := func() []string {
		t.Helper()
		report, last, more, err := s.OlderAfter(t.Context(), stock.Cell{})
		if err != nil || more || last.SKU != 20 || report.Summary.Cells != 20 {
			t.Fatalf("%v, %v, %v, %+v", last, more, err, report)
		}
		return inShort(report)
	}
	if _, found := b.sweep(s, reconcile.Scope{}); len(found)+len(pass()) > 0 {
		t.Fatalf("at rest: %q, %q", found, pass())
	}
	b.exec("UPDATE reservations SET state = 'held' WHERE sku_id = 1")
	if _, found := b.sweep(s, reconcile.Scope{}); !slices.Equal(found, []string{"1: projection_stale, 2, bookkeeping"}) {
		t.Errorf("a sweep: %q", found)
	}
	b.exec("UPDATE reservations SET user_id = user_id + 1 WHERE sku_id = 2")
	b.exec("UPDATE reservations SET quantity = 5 WHERE sku_id = 3")
	b.exec("UPDATE reservations SET bucket = 1 WHERE sku_id = 4")
	b.exec("UPDATE reservations SET state = 'released' WHERE sku_id = 5")
	b.exec("UPDATE reservations SET seq = 1 WHERE sku_id = 6")
	b.exec("DELETE FROM reservations WHERE sku_id = 7")
	// The row of one reservation of 8 claims to be of the other one's event. Nobody has edited 9, whose row is further on than the
	// mark. The only row about 10 is in a file, and the events up to there too, except the last.
	b.exec("UPDATE product_inventories SET seq = 3 WHERE sku_id IN (8, 9)")
	b.exec(`INSERT INTO ledger SELECT sku_id, 0, 0, 1, 3, 'deduct', UNHEX(LPAD(HEX(sku_id), 32, '7')), user_id, 1, 0, 7, 0, 3, 0, redis_ms + 1,
		NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM ledger WHERE sku_id IN (8, 9) AND seq = 2`)
	b.exec(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
		SELECT reservation_id, sku_id, 0, 0, user_id, 1, 'confirmed', 0, redis_ms, 1, 3, redis_ms FROM ledger WHERE sku_id IN (8, 9) AND seq = 3`)
	b.exec("UPDATE applied_marks SET seq = 3 WHERE sku_id = 8")
	b.exec("UPDATE reservations SET seq = 3 WHERE sku_id IN (8, 9)")
	b.exec("INSERT INTO checkpoints VALUES (10, 0, 0, 1, 2, 8, 0, 2, REPEAT('x', 20), 0, 1700000001000, 2, 1)")
	b.exec("DELETE FROM ledger WHERE sku_id = 10 AND seq = 1")
	b.exec("DELETE FROM reservations WHERE sku_id = 10")
	want := []string{
		"1: projection_stale, 2, bookkeeping", "2: projection_stale, 2, bookkeeping", "3: projection_stale, 5, bookkeeping",
		"4: projection_stale, 2, bookkeeping", "5: projection_stale, 2, bookkeeping", "6: projection_stale, 2, bookkeeping",
		"7: projection_stale, 2, bookkeeping", "8: projection_stale, 2, bookkeeping",
	}
	if found := pass(); !slices.Equal(found, want) {
		t.Errorf("the pass: %q, want %q", found, want)
	}
}

// If a cell has more faults than one pass reports, the pass does not report the rows as missing that it did not come
// to.
func TestPassThatStopsEarlyReportsNoGap(t *testing.T) {
	t.Parallel()
	b := purchases(t, 1)
	b.exec(`INSERT INTO ledger SELECT 1, 0, 0, 1, seq, 'adjust', REPEAT('x', 16), 0, 0, 0, 8 + MOD(seq, 2), 0, 2, 0, 1700000001001, 0, 127, REPEAT('x', 20), 'set',
		NULL, NULL, NULL FROM seq_3_to_12000`)
	b.exec("UPDATE applied_marks SET seq = 12000")
	s, _ := b.watch("HMGET")
	report, _, _, err := s.OlderAfter(t.Context(), stock.Cell{})
	if err != nil || report.Summary.ByType[reconcile.Gap] != 0 || report.Summary.Findings < 1000 {
		t.Errorf("%v, %+v", err, report.Summary)
	}
}

// Rows leave for a file after a pass has read where a cell's rows begin. The pass reads the cell again, at one moment, and finds
// nothing missing.
func TestRowsThatLeaveDuringAPass(t *testing.T) {
	t.Parallel()
	b := purchases(t, 2)
	s, _ := b.watch("HMGET")
	rests := 0
	leave := func() {
		b.exec("INSERT INTO checkpoints VALUES (1, 0, 0, 1, 2, 8, 0, 2, REPEAT('x', 20), 0, 1700000001000, 2, 1)")
		b.exec("DELETE FROM ledger WHERE sku_id = 1 AND seq = 1")
		b.exec("DELETE FROM reservations WHERE sku_id = 1")
	}
	s.Rest = func(context.Context, time.Duration) {
		if rests++; rests == 1 {
			leave()
		}
	}
	report, _, _, err := s.OlderAfter(t.Context(), stock.Cell{})
	if err != nil || rests == 0 || len(report.Findings) > 0 || report.Summary.InSync != 2 {
		t.Errorf("after %d rests: %v, %q", rests, err, inShort(report))
	}
}

// The row at the mark is gone. The one after it, which no pass compares, tells how many units the missing one moved.
func TestMissingRowAtTheMark(t *testing.T) {
	t.Parallel()
	b := purchases(t, 1)
	b.exec(`INSERT INTO ledger SELECT sku_id, 0, 0, 1, 3, 'deduct', REPEAT('7', 16), user_id, 1, 0, 7, 0, 3, 0, redis_ms + 1,
		NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM ledger WHERE seq = 2`)
	b.exec("DELETE FROM ledger WHERE seq = 2")
	s, _ := b.watch("HMGET")
	report, _, _, err := s.OlderAfter(t.Context(), stock.Cell{})
	if found := inShort(report); err != nil || !slices.Equal(found, []string{"1: gap, 2, bookkeeping"}) {
		t.Errorf("%v, %q", err, found)
	}
}

// A pass begins at a cell's checkpoint, whose row the ledger keeps. It knows the ends of epochs that rebases have
// ended, and the known forks.
func TestWhereAPassBegins(t *testing.T) {
	t.Parallel()
	b := purchases(t, 7)
	b.exec("INSERT INTO checkpoints SELECT sku_id, 0, 0, 1, 2, 8, 0, 2, REPEAT('x', 20), 0, 1700000001000, 2, 1 FROM ledger WHERE seq = 2 AND sku_id < 4")
	b.exec("DELETE FROM ledger WHERE seq = 1 AND sku_id < 4")
	b.exec("DELETE FROM ledger WHERE sku_id = 2")
	b.exec("UPDATE checkpoints SET sold_stock = 1 WHERE sku_id = 3")
	// The two events at 4.2 are in a dead letter and in the ledger. 5 has the same without a letter.
	b.exec("UPDATE ledger SET available_stock = 6, sold_stock = 4 WHERE sku_id IN (4, 5) AND seq = 2")
	b.exec("INSERT INTO dead_letters (letter_id, reason, detail, sku_id, pool, bucket, epoch, seq, data) VALUES (LPAD(1, 32, '0'), 'fork', 'why', 4, 0, 0, 1, 2, 'x')")
	// 6 was rebased from 1.1: the units of its other event are for sale again.
	b.exec(`INSERT INTO ledger SELECT 6, 0, 0, 2, 2, 'rebase', REPEAT('y', 16), 0, 0, 0, 10, 0, 0, 0, redis_ms, 0, 127, REPEAT('x', 20), 'lost', 0, 1, 1
		FROM ledger WHERE sku_id = 6 AND seq = 1`)
	b.exec("UPDATE applied_marks SET epoch = 2 WHERE sku_id = 6")
	// The event after the mark shows that the row at the mark was edited.
	b.exec("UPDATE ledger SET available_stock = 6 WHERE sku_id = 7 AND seq = 2")
	b.exec(`INSERT INTO ledger SELECT sku_id, 0, 0, 1, 3, 'deduct', REPEAT('7', 16), user_id, 1, 0, 7, 0, 3, 0, redis_ms + 1,
		NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM ledger WHERE sku_id = 7 AND seq = 2`)
	s, _ := b.watch("HMGET")
	report, _, _, err := s.OlderAfter(t.Context(), stock.Cell{})
	want := []string{"2: gap, 0, bookkeeping", "3: fork, 1, bookkeeping", "5: counter_edit, 2, undersell", "7: fork, 2, bookkeeping"}
	if found := inShort(report); err != nil || !slices.Equal(found, want) {
		t.Errorf("%v, %q, want %q", err, found, want)
	}
	if report.Summary.LedgerRows != 1+0+1+2+2+2+2 {
		t.Errorf("%d rows were read", report.Summary.LedgerRows)
	}
}

// Each piece of a pass goes on after the last cell of the one before, until there are no more.
func TestPiecesOfAPass(t *testing.T) {
	t.Parallel()
	b := purchases(t, 450)
	s, _ := b.watch("HMGET")
	cells, pieces := int64(0), 0
	for after, more := (stock.Cell{}), true; more; pieces++ {
		report, last, left, err := s.OlderAfter(t.Context(), after)
		if err != nil || after.Compare(last) >= 0 {
			t.Fatalf("after %v comes %v, %v", after, last, err)
		}
		cells, after, more = cells+report.Summary.InSync, last, left
	}
	if cells != 450 || pieces != 3 {
		t.Errorf("%d cells in %d pieces", cells, pieces)
	}
}
