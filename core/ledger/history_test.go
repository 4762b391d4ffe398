package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"sluice/core/ledger"
	"sluice/core/stock"
)

// TestHistoriesArePagedAndWhole reads the events of cells in pages of every size. Each event comes, in its cell's order, and twice at
// most, where a page ends.
func TestHistoriesArePagedAndWhole(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	var cells []stock.Cell
	want := map[stock.Cell]uint64{}
	for sku, events := range []uint64{3, 1, 11, 0, 2, 5} {
		for bucket := range uint16(2) {
			cell := stock.Cell{SKU: int64(sku + 1), Pool: uint32(sku % 2), Bucket: bucket}
			cells, want[cell] = append(cells, cell), events
			for seq := range events {
				b.event(cell, seq+1, 5)
			}
		}
	}
	b.event(stock.Cell{SKU: 99}, 1, 5) // nobody asks for it
	slices.Reverse(cells)
	s, err := b.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, page := range []int{2, 3, 5, 11, 1000} {
		got, done := map[stock.Cell]uint64{}, map[stock.Cell]bool{}
		var under stock.Cell
		err := s.Histories(t.Context(), cells, page, func(e *ledger.Recorded) error {
			if e.Cell != under {
				done[under], under = true, e.Cell
			}
			last := got[e.Cell]
			if done[e.Cell] || e.Seq != last+1 && e.Seq != last {
				return fmt.Errorf("%v at %d after %d, had ended: %v", e.Cell, e.Seq, last, done[e.Cell])
			}
			got[e.Cell] = e.Seq
			return nil
		})
		if err != nil {
			t.Fatalf("page of %d: %v", page, err)
		}
		for cell, events := range want {
			if got[cell] != events {
				t.Errorf("page of %d: %d events of %v, want %d", page, got[cell], cell, events)
			}
		}
	}
	enough := errors.New("enough")
	if err := s.Histories(t.Context(), cells, 2, func(*ledger.Recorded) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("stopped with %v", err)
	}
}

// TestEpochEndsAreWhereRebasesSay has cells of one and of three epochs.
func TestEpochEndsAreWhereRebasesSay(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	plain, rebased := stock.Cell{SKU: 1}, stock.Cell{SKU: 2, Pool: 7}
	for _, cell := range []stock.Cell{plain, rebased} {
		for seq := range uint64(4) {
			b.event(cell, seq+1, 5)
		}
	}
	for epoch, from := range map[int]int{2: 3, 3: 6} { // the event 1.4 came after the loss of it was declared
		b.exec(`INSERT INTO ledger (sku_id, pool, bucket, epoch, seq, kind, reservation_id, user_id, quantity, fingerprint, available_stock,
			reserved_stock, sold_stock, deadline_ms, redis_ms, delta, fields, settings, reason, from_epoch, from_seq)
			VALUES (2, 7, 0, ?, ?, 'rebase', REPEAT(CHAR(0), 16), 0, 0, 0, 5, 0, 0, 0, 1700000000000, 0, 255, REPEAT(CHAR(0), 20), 'why', ?, ?)`,
			epoch, from+1, epoch-1, from)
	}
	s, err := b.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got := map[stock.Position]bool{}
	err = s.EpochEnds(t.Context(), map[stock.Cell]stock.Position{plain: {Epoch: 1, Seq: 4}, rebased: {Epoch: 3, Seq: 7}},
		func(c stock.Cell, at stock.Position) { got[at] = c == rebased })
	if err != nil || len(got) != 2 || !got[stock.Position{Epoch: 1, Seq: 3}] || !got[stock.Position{Epoch: 2, Seq: 6}] {
		t.Errorf("%v, %v", got, err)
	}
}
