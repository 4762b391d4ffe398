package reconcile_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/event"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// adjusted makes so many cells, each adjusted once more by a call whose record Redis still has. Two of them are halves
// of transfers of two minutes ago whose units never arrived: of cell 3, and of cell 5 before two epochs began.
func adjusted(t *testing.T, n int) books {
	t.Helper()
	b := newBooks(t)
	b.exec(fmt.Sprintf(`INSERT INTO ledger SELECT cells.seq, 0, 0, 1, events.seq, IF(events.seq = 2 AND cells.seq IN (3, 5), 'transfer_out', 'adjust'),
		UNHEX(CONCAT(REPEAT('0', 16), LPAD(HEX(2 * cells.seq), 16, '0'))), 0, 0, 0, 10, 0, 0, 0, (UNIX_TIMESTAMP() - 120) * 1000,
		IF(events.seq = 2 AND cells.seq IN (3, 5), -4, 0), 127, REPEAT('x', 20), 'import', NULL, NULL, NULL FROM seq_1_to_%d AS cells, seq_1_to_2 AS events`, n))
	for epoch := 2; epoch <= 3; epoch++ {
		b.exec(`INSERT INTO ledger SELECT sku_id, 0, 0, ?, ?, 'adjust', REPEAT('y', 16), 0, 0, 0, 10, 0, 0, 0, redis_ms, 0, 127, REPEAT('x', 20), 'again',
			NULL, NULL, NULL FROM ledger WHERE sku_id = 5 AND seq = 2`, epoch, epoch+1)
	}
	b.exec("UPDATE ledger SET kind = 'rebase', extend_ms = 0, from_epoch = epoch - 1, from_seq = seq - 1 WHERE epoch > 1")
	b.projections()
	var commands [][]string
	for sku := int64(1); sku <= int64(n); sku++ {
		cell, at := stock.Cell{SKU: sku}, stock.Position{Epoch: 1, Seq: 2}
		if sku == 5 {
			at = stock.Position{Epoch: 3, Seq: 4}
		}
		var id stock.ReservationID
		copy(id[8:], bigEndian(nil, uint64(2*sku), 8))
		commands = append(commands, inRedis(cell, at, 10, 0, 0, stock.Settings{}), record(cell, id, stock.StateAdjusted, 2, 0, 1, 0))
	}
	b.do(commands...)
	return b
}

// One statement finds out for many cells whether adjustments are halves of transfers, and the sweep rests after each.
func TestAdjustmentsAreLookedUpTogether(t *testing.T) {
	t.Parallel()
	const cells = 3000
	b := adjusted(t, cells)
	s, _ := b.watch("HMGET")
	s.Workers = 1 // each worker rests by itself
	rests, before := 0, 0
	s.Rest = func(context.Context, time.Duration) { rests++ }
	s.Progress = func(p reconcile.Progress) {
		if p.Done == p.Partitions { // the transfers come last
			before = rests
		}
	}
	var report *reconcile.Report
	var found []string
	selects := b.statements(s, func() { report, found = b.sweep(s, reconcile.Scope{}) })
	if want := []string{"3: transit_stuck, 4, undersell", "5: transit_stuck, 4, undersell"}; !slices.Equal(found, want) || report.Summary.InSync != cells {
		t.Errorf("%q, want %q: %+v", found, want, report.Summary)
	}
	if selects > 60 {
		t.Errorf("%d statements about %d cells", selects, cells)
	}
	if after := rests - before; after < cells/1000 {
		t.Errorf("rests %d times between statements", after)
	}
	t.Logf("%d statements, %d rests", selects, rests-before)
}

// A report names a half of a transfer that is more epochs old than sluice looks back: nobody knows whether its units
// arrived.
func TestTransfersOfOldEpochsAreUnverified(t *testing.T) {
	t.Parallel()
	b := adjusted(t, 6)
	b.exec("DELETE FROM ledger WHERE sku_id = 5 AND epoch = 2")
	b.exec("UPDATE ledger SET epoch = 103, from_epoch = 102 WHERE sku_id = 5 AND epoch = 3")
	b.exec("UPDATE product_inventories SET epoch = 103 WHERE sku_id = 5")
	b.exec("UPDATE applied_marks SET epoch = 103 WHERE sku_id = 5")
	b.do(inRedis(stock.Cell{SKU: 5}, stock.Position{Epoch: 103, Seq: 4}, 10, 0, 0, stock.Settings{}))
	s, _ := b.watch("HMGET")
	_, found := b.sweep(s, reconcile.Scope{})
	if len(found) != 2 || found[0] != "3: transit_stuck, 4, undersell" || !strings.HasPrefix(found[1], "ledger: 1 records may be halves of transfers from more than 100 epochs ago") {
		t.Errorf("%q", found)
	}
}

// While a sweep reads the list of deadlines, a sweeper works off its front. A hold that is in the list all the time is not leaked.
func TestDeadlinesThatAreWorkedOffMeanwhile(t *testing.T) {
	t.Parallel()
	const listed, ours = 4000, 2700 // the place of ours
	b := newBooks(t)
	cell := stock.Cell{SKU: 7}
	var held stock.ReservationID
	held[15] = 1
	ms := time.Now().Add(-10 * time.Minute).UnixMilli()
	b.exec(`INSERT INTO ledger VALUES (7, 0, 0, 1, 1, 'adjust', REPEAT('x', 16), 0, 0, 0, 10, 0, 0, 0, 1700000000000, 10, 127, REPEAT('x', 20), 'load', NULL, NULL, NULL),
		(7, 0, 0, 1, 2, 'reserve', ?, 5, 1, 0, 9, 1, 0, ?, 1700000001000, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`, held[:], ms+ours)
	b.exec(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
		VALUES (?, 7, 0, 0, 5, 1, 'held', ?, 1700000001000, 1, 2, 1700000001000)`, held[:], ms+ours)
	b.projections()
	commands := [][]string{
		inRedis(cell, stock.Position{Epoch: 1, Seq: 2}, 9, 1, 0, stock.Settings{Hold: time.Minute}),
		record(cell, held, stock.StateHeld, 2, 5, 1, ms+ours),
	}
	for n := range listed {
		member := bigEndian(bigEndian(bigEndian(nil, 0, 4), 1, 8), uint64(n+2), 8)
		if n == ours {
			member = append(make([]byte, 4), held[:]...)
		}
		commands = append(commands, []string{"ZADD", keyOf(cell, "due"), fmt.Sprint(ms + int64(n)), string(member)})
	}
	b.do(commands...)
	s, pages := b.watch("ZRANGE " + keyOf(cell, "due"))
	pages.after = func(r rueidis.RedisResult) {
		if all, err := r.ToArray(); err == nil && len(all) >= 1000 {
			b.do([]string{"ZREMRANGEBYRANK", keyOf(cell, "due"), "0", "499"})
		}
	}
	if _, found := b.sweep(s, reconcile.Scope{}); len(found) > 0 || pages.calls.Load() < 3 {
		t.Errorf("after %d pages: %q", pages.calls.Load(), found)
	}

	// Many deadlines are the same, more than a page has.
	b.do([]string{"DEL", keyOf(cell, "due")})
	commands = commands[:0]
	for n := range listed {
		member := bigEndian(bigEndian(bigEndian(nil, 0, 4), 1, 8), uint64(n+2), 8)
		commands = append(commands, []string{"ZADD", keyOf(cell, "due"), fmt.Sprint(ms), string(member)})
	}
	b.do(append(commands, []string{"ZADD", keyOf(cell, "due"), fmt.Sprint(ms + ours), string(append(make([]byte, 4), held[:]...))})...)
	pages.after = nil
	if _, found := b.sweep(s, reconcile.Scope{}); len(found) > 0 {
		t.Errorf("with many deadlines at once: %q", found)
	}
	b.do([]string{"ZREM", keyOf(cell, "due"), string(append(make([]byte, 4), held[:]...))})
	if _, found := b.sweep(s, reconcile.Scope{}); !slices.Equal(found, []string{"7: leaked_hold, 1, undersell"}) {
		t.Errorf("without its deadline: %q", found)
	}
}

// Where MySQL has more rows than a look reads, nobody concludes from a part of them.
func TestWhatIsCutIsUnverified(t *testing.T) {
	t.Parallel()
	for name, add := range map[string]string{
		"rows of a user": `INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
			SELECT UNHEX(CONCAT(REPEAT('1', 16), LPAD(HEX(seq), 16, '0'))), 1, 0, 0, 1001, 1, 'confirmed', 0, 1700000001000, 1, 2, 1700000001000 FROM seq_1_to_200010`,
		"changes of settings": `INSERT INTO ledger SELECT 1, 0, 0, 1, seq, 'adjust', REPEAT('x', 16), 0, 0, 0, 8, 0, 2, 0, 1700000001001, 0, 127, REPEAT('x', 20), 'set',
			NULL, NULL, NULL FROM seq_3_to_100010`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := purchases(t, 1)
			b.exec(add)
			b.exec("DELETE FROM product_inventories")
			b.exec("DELETE FROM applied_marks")
			b.projections()
			last := stock.Position{Epoch: 1}
			if err := b.mysql.QueryRowContext(t.Context(), "SELECT seq FROM product_inventories").Scan(&last.Seq); err != nil {
				t.Fatal(err)
			}
			cell := stock.Cell{SKU: 1}
			b.do(inRedis(cell, last, 8, 0, 2, stock.Settings{Limit: 5}), count(cell, 1001, 300_000))
			s, _ := b.watch("HMGET")
			report, found := b.sweep(s, reconcile.Scope{})
			if !slices.Equal(found, []string{"1: unverifiable, 0, bookkeeping"}) || report.Summary.Verdict != reconcile.NotChecked {
				t.Errorf("%q", found)
			}
		})
	}
}

// If a store ends a call by itself, it counts as not read.
func TestCanceledCallsAreUnread(t *testing.T) {
	t.Parallel()
	w := newServers(t)
	s := w.sweeper(func(func(*event.Batch) error) error { return fmt.Errorf("read kafka: %w", context.Canceled) })
	report, err := s.Sweep(t.Context(), reconcile.Scope{})
	if err != nil || report.Summary.Verdict != reconcile.NotChecked || len(report.Summary.Unread) != 1 {
		t.Errorf("%+v, %v", report, err)
	}
}

// Dead letters are read by cell. Many about one cell keep nobody from comparing others.
func TestManyDeadLetters(t *testing.T) {
	t.Parallel()
	b := purchases(t, 3)
	b.exec(`INSERT INTO dead_letters (letter_id, reason, detail, sku_id, pool, bucket, epoch, seq, data)
		SELECT LPAD(seq, 32, '0'), 'fork', 'why', IF(seq = 1, 2, 1), 0, 0, 1, 2, 'x' FROM seq_1_to_10010`)
	s, _ := b.watch("HMGET")
	report, found := b.sweep(s, reconcile.Scope{})
	if !slices.Equal(found, []string{"1: unverifiable, 0, bookkeeping", "2: fork, 0, oversell"}) || report.Summary.InSync != 1 {
		t.Errorf("sweep: %q, %+v", found, report.Summary)
	}
	var cells int
	selects := b.statements(s, func() {
		older, last, more, err := s.OlderAfter(t.Context(), stock.Cell{})
		if err != nil || more || last.SKU != 3 || older.Summary.InSync != 2 || !slices.Equal(inShort(older), []string{"1: unverifiable, 0, bookkeeping"}) {
			t.Errorf("pass: %+v, %v", older, err)
		}
		cells = int(older.Summary.Cells)
	})
	if cells != 3 || selects > 30 {
		t.Errorf("%d statements about %d cells", selects, cells)
	}
}
