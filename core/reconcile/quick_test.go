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
func heldLongAgo(t *testing.T) (b books, cell stock.Cell) {
	t.Helper()
	const events, units, deadline = 1000, 1000, 4102444800000
	b, cell = newBooks(t), stock.Cell{SKU: 7}
	b.exec(fmt.Sprintf(`INSERT INTO ledger SELECT 7, 0, 0, 1, 1, 'adjust', REPEAT('x', 16), 0, 0, 0, %[1]d, 0, 0, 0, 1700000000000, %[1]d, 127, REPEAT('x', 20), 'load', NULL, NULL, NULL`, units))
	b.exec(fmt.Sprintf(`INSERT INTO ledger SELECT 7, 0, 0, 1, seq, IF(seq = 2 OR seq %% 2 = 1, 'reserve', 'release'),
		UNHEX(CONCAT(REPEAT('0', 16), LPAD(HEX((seq + 1) DIV 2), 16, '0'))), 5, 1, 0, %d - IF(seq %% 2 = 1, 2, 1), IF(seq %% 2 = 1, 2, 1), 0,
		%d, 1700000000000 + seq, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM seq_2_to_%d`, units, int64(deadline), events))
	b.exec(fmt.Sprintf(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
		SELECT UNHEX(CONCAT(REPEAT('0', 16), LPAD(HEX(seq), 16, '0'))), 7, 0, 0, 5, 1, IF(seq = 1, 'held', 'released'), %d,
		1700000000000 + GREATEST(2, 2 * seq - 1), 1, 2 * seq, 1700000000000 + 2 * seq FROM seq_1_to_%d`, int64(deadline), events/2))
	b.projections()
	last := b.reserved(cell, events+1, units-2, 2)
	b.do(inRedis(cell, stock.Position{Epoch: 1, Seq: last.Seq}, units-2, 2, 0, stock.Settings{Hold: time.Minute}),
		record(cell, stock.ReservationID{15: 1}, stock.StateHeld, 2, 5, 1, deadline), record(cell, last.Reservation, stock.StateHeld, last.Seq, 5, 1, deadline),
		entry(cell, 1_700_000_100_001, last))
	return b, cell
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
	b, cell := heldLongAgo(t)
	s := b.sweeper(func(func(*event.Batch) error) error { return nil })
	for _, step := range []struct {
		change     string
		look, full []reconcile.Type
	}{
		{"DO 1", nil, nil},
		{releaseHold, []reconcile.Type{reconcile.Unverifiable}, []reconcile.Type{reconcile.ProjectionStale}},
	} {
		b.exec(step.change)
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
	b, _ := heldLongAgo(t)
	s := b.sweeper(func(func(*event.Batch) error) error { return nil })
	s.Progress = func(p reconcile.Progress) {
		if p.Done == p.Partitions/2 {
			b.exec(releaseHold)
		}
	}
	report, err := s.Sweep(t.Context(), reconcile.Scope{})
	if err != nil || !slices.Equal(typesOf(report), []reconcile.Type{reconcile.ProjectionStale}) {
		t.Errorf("%+v, %v", report.Findings, err)
	}
}
