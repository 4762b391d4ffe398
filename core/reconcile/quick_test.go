package reconcile_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sluice/core/event"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// heldLongAgo is a cell with a hold at seq 2, which is older than the events that a look reads. Its last event is in the outbox.
func heldLongAgo(t *testing.T) (w *servers, cell stock.Cell, exec func(statement string)) {
	t.Helper()
	const events, units = 1000, 1000
	w, cell = newServers(t), stock.Cell{SKU: 7}
	exec = func(statement string) {
		t.Helper()
		if _, err := w.mysql.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec(fmt.Sprintf(`INSERT INTO ledger SELECT 7, 0, 0, 1, 1, 'adjust', REPEAT('x', 16), 0, 0, 0, %[1]d, 0, 0, 0, 1700000000000, %[1]d, 127, REPEAT('x', 20), 'load', NULL, NULL, NULL`, units))
	exec(fmt.Sprintf(`INSERT INTO ledger SELECT 7, 0, 0, 1, seq, IF(seq = 2 OR seq %% 2 = 1, 'reserve', 'release'),
		UNHEX(CONCAT(REPEAT('0', 16), LPAD(HEX((seq + 1) DIV 2), 16, '0'))), 5, 1, 0, %d - IF(seq %% 2 = 1, 2, 1), IF(seq %% 2 = 1, 2, 1), 0,
		4102444800000, 1700000000000 + seq, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM seq_2_to_%d`, units, events))
	exec(fmt.Sprintf(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
		SELECT UNHEX(CONCAT(REPEAT('0', 16), LPAD(HEX(seq), 16, '0'))), 7, 0, 0, 5, 1, IF(seq = 1, 'held', 'released'), 4102444800000,
		1700000000000 + GREATEST(2, 2 * seq - 1), 1, 2 * seq, 1700000000000 + 2 * seq FROM seq_1_to_%d`, events/2))
	exec(fmt.Sprintf(`INSERT INTO product_inventories (sku_id, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated)
		VALUES (7, %d, %d, 1, 0, 1, %d, NOW(3))`, units, units-1, events))
	exec(fmt.Sprintf(`INSERT INTO applied_marks VALUES (7, 0, 0, 1, %d)`, events))

	key := func(name string) string { return fmt.Sprintf("{p%d}:%s", cell.Partition(partitions), name) }
	do := func(command ...string) {
		t.Helper()
		if err := w.client.Do(t.Context(), w.client.B().Arbitrary(command...).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	big := func(dst []byte, v uint64, bytes int) []byte {
		for i := bytes - 1; i >= 0; i-- {
			dst = append(dst, byte(v>>(8*i)))
		}
		return dst
	}
	last := w.reserved(cell, events+1, units-2, 2)
	value := big(big(big(big(big(big([]byte{1}, units-2, 5), 2, 5), 0, 5), last.Seq, 6), units, 5), 1, 4)
	do("HSET", key("cells"), string(cell.Append(nil)), string(event.AppendSettings(value, stock.Settings{Hold: time.Minute}, 0)))
	for id, seq := range map[stock.ReservationID]uint64{{15: 1}: 2, last.Reservation: last.Seq} {
		record := big(big([]byte{1, byte(stock.StateHeld)}, seq, 6), 4102444800000, 6)
		do("HSET", key("res"), string(id[:]), string(cell.Append(big(big(big(record, 5, 8), 1, 3), 0, 4))))
	}
	do("XADD", key("outbox"), "*", "e", string(event.Append(nil, event.Batch{TimeMS: 1_700_000_100_001, Events: []event.Event{last}})))
	return w, cell, exec
}

const releaseHold = `UPDATE reservations SET state = 'released' WHERE seq = 2`

func typesOf(r *reconcile.Report) (types []reconcile.Type) {
	for i := range r.Findings {
		types = append(types, r.Findings[i].Type)
	}
	return types
}

// A look at what has changed reads neither the edited row of an old hold nor its record. It does not conclude that the units
// are nobody's: the sweep finds the row, and says what it is.
func TestLookLeavesToTheSweepWhatItDoesNotRead(t *testing.T) {
	t.Parallel()
	w, cell, exec := heldLongAgo(t)
	s := w.sweeper(func(func(*event.Batch) error) error { return nil })
	for _, step := range []struct {
		change     string
		look, full []reconcile.Type
	}{
		{"DO 1", nil, nil},
		{releaseHold, []reconcile.Type{reconcile.Unverifiable}, []reconcile.Type{reconcile.ProjectionStale}},
	} {
		exec(step.change)
		look, err := s.Look(t.Context(), []stock.Cell{cell})
		if err != nil || !slices.Equal(typesOf(look), step.look) {
			t.Errorf("after %s a look finds %+v, %v", step.change, look.Findings, err)
		}
		full, err := s.Sweep(t.Context(), reconcile.Scope{})
		if err != nil || !slices.Equal(typesOf(full), step.full) {
			t.Errorf("after %s a sweep finds %+v, %v", step.change, full.Findings, err)
		}
	}
}

// The same row is edited while a sweep runs, after it has compared rows with records and before it looks closely.
func TestSweepSearchesForHoldsThatItHasNotRead(t *testing.T) {
	t.Parallel()
	w, _, exec := heldLongAgo(t)
	s := w.sweeper(func(func(*event.Batch) error) error { return nil })
	s.Progress = func(p reconcile.Progress) {
		if p.Done == p.Partitions/2 {
			exec(releaseHold)
		}
	}
	report, err := s.Sweep(t.Context(), reconcile.Scope{})
	if err != nil || !slices.Equal(typesOf(report), []reconcile.Type{reconcile.ProjectionStale}) {
		t.Errorf("%+v, %v", report.Findings, err)
	}
}
