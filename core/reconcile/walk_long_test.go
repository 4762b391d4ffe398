package reconcile_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"sluice/core/event"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// A cell with many more events above its mark than are in memory at once is compared whole: what is wrong with the old ones is
// found, and one that Kafka has is under way.
func TestCellWithManyEventsIsCompared(t *testing.T) {
	t.Parallel()
	const events, units = 130_000, 1000
	w := newServers(t)
	exec := func(statement string, values ...any) {
		t.Helper()
		if _, err := w.mysql.ExecContext(t.Context(), statement, values...); err != nil {
			t.Fatal(err)
		}
	}
	// One hold at seq 2, and after it one unit reserved and released again and again.
	exec(`INSERT INTO ledger SELECT 7, 0, 0, 1, 1, 'adjust', REPEAT('x', 16), 0, 0, 0, ?, 0, 0, 0, 1700000000000, ?, 127, REPEAT('x', 20), 'load', NULL, NULL, NULL`, units, units)
	exec(fmt.Sprintf(`INSERT INTO ledger SELECT 7, 0, 0, 1, seq, IF(seq %% 2 = 1 OR seq = 2, 'reserve', 'release'),
		UNHEX(CONCAT(REPEAT('0', 16), LPAD(HEX((seq + 1) DIV 2), 16, '0'))), 5, 1, 0, %d - IF(seq %% 2 = 1, 2, 1), IF(seq %% 2 = 1, 2, 1), 0, 4102444800000,
		1700000000000 + seq, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM seq_2_to_%d`, units, events))
	exec(fmt.Sprintf(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
		SELECT UNHEX(CONCAT(REPEAT('0', 16), LPAD(HEX(seq), 16, '0'))), 7, 0, 0, 5, 1, 'released', 4102444800000, 1700000000000 + 2 * seq - 1, 1, 2 * seq,
		1700000000000 + 2 * seq FROM seq_2_to_%d`, events/2))
	exec(`INSERT INTO product_inventories (sku_id, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated)
		VALUES (7, ?, ?, 1, 0, 1, ?, NOW(3))`, units, units-1, events)
	exec(`INSERT INTO applied_marks VALUES (7, 0, 0, 1, 1)`)
	cell := stock.Cell{SKU: 7}
	big := func(dst []byte, v uint64, bytes int) []byte {
		for i := bytes - 1; i >= 0; i-- {
			dst = append(dst, byte(v>>(8*i)))
		}
		return dst
	}
	value := big(big(big(big(big(big([]byte{1}, units-1, 5), 1, 5), 0, 5), events, 6), units, 5), 1, 4)
	value = event.AppendSettings(value, stock.Settings{}, 0)
	err := w.client.Do(t.Context(), w.client.B().Hset().Key(fmt.Sprintf("{p%d}:cells", cell.Partition(partitions))).FieldValue().
		FieldValue(string(cell.Append(nil)), string(value)).Build()).Error()
	if err != nil {
		t.Fatal(err)
	}

	// The hold has neither record nor row. One row was edited, one release is nowhere, and one event is in Kafka alone.
	exec(`DELETE FROM ledger WHERE seq IN (20002, 100001)`)
	exec(`UPDATE ledger SET available_stock = available_stock + 3 WHERE seq = 50001`)
	published := event.Batch{TimeMS: 1_700_000_100_001, Events: []event.Event{w.reserved(cell, 100_001, units-2, 2)}}
	s := w.sweeper(func(yield func(*event.Batch) error) error { return yield(&published) })
	w.finds(t, &s, reconcile.Scope{}, 1, events/2, "gap, 1, bookkeeping", "fork, 3, bookkeeping", "projection_stale, 1, bookkeeping")

	// The release cannot have ended the hold.
	again := w.reserved(cell, 20_002, units-1, 1)
	again.Kind = event.KindRelease
	other := event.Batch{TimeMS: 1_700_000_020_002, Events: []event.Event{again}}
	s = w.sweeper(func(yield func(*event.Batch) error) error { return errors.Join(yield(&published), yield(&other)) })
	w.finds(t, &s, reconcile.Scope{SKU: 7}, 2, events/2, "fork, 3, bookkeeping", "leaked_hold, 1, undersell", "projection_stale, 1, bookkeeping")
}

// reserved is an event of the history as persisters have it.
func (w *servers) reserved(cell stock.Cell, seq uint64, avail, held int64) (e event.Event) {
	e.Cell, e.Position, e.Kind = cell, stock.Position{Epoch: 1, Seq: seq}, event.KindReserve
	binary.BigEndian.PutUint64(e.Reservation[8:], (seq+1)/2)
	e.User, e.Quantity, e.Avail, e.Held, e.DeadlineMS = 5, 1, avail, held, 4102444800000
	return e
}

// finds sweeps, and wants so many events under way, at least so many left out of the trail, and these findings.
func (w *servers) finds(t *testing.T, s *reconcile.Sweeper, scope reconcile.Scope, flying int64, leftOut int, want ...string) {
	t.Helper()
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	peak := before.HeapInuse
	s.Progress = func(reconcile.Progress) {
		runtime.ReadMemStats(&now)
		peak = max(peak, now.HeapInuse)
	}
	report, err := s.Sweep(t.Context(), scope)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for i := range report.Findings {
		f := &report.Findings[i]
		found = append(found, fmt.Sprintf("%s, %d, %s", f.Type, f.Units, f.Direction))
	}
	if !slices.Equal(found, want) || report.Summary.EventsInFlight != flying || report.Summary.Unverified != 0 {
		t.Errorf("found %q, want %q: %+v", found, want, report.Summary)
	}
	if len(report.Trails) != 1 || report.Trails[0].LeftOut < leftOut {
		t.Errorf("%d trails", len(report.Trails))
	}
	t.Logf("%d ms, %d MiB", report.Summary.EndedAt-report.Summary.StartedAt, (peak-before.HeapInuse)>>20)
}
