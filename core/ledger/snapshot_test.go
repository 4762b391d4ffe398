package ledger_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/ledger"
	"sluice/core/stock"
)

// event puts a row into the ledger.
func (b *books) event(cell stock.Cell, seq uint64, avail int64) {
	b.t.Helper()
	b.exec(`INSERT INTO ledger (sku_id, pool, bucket, epoch, seq, kind, reservation_id, user_id, quantity, fingerprint, available_stock,
		reserved_stock, sold_stock, deadline_ms, redis_ms, delta, fields, settings, reason)
		VALUES (?, ?, ?, 1, ?, 'adjust', REPEAT('x', 16), 0, 0, 0, ?, 0, 0, 0, 1700000000000, ?, 0, REPEAT(CHAR(0), 20), 'why')`,
		cell.SKU, cell.Pool, cell.Bucket, seq, avail, avail)
}

// TestBriefsTellWhatIsWhole compares the stock table with the ledger, and counts its rows from the applied mark on.
func TestBriefsTellWhatIsWhole(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	whole := map[stock.Cell]bool{}
	for sku, c := range map[int64]struct {
		seqs    []uint64
		applied int
		last    int64 // available, as the last event left it
		whole   bool
	}{
		1: {[]uint64{1, 2, 3, 4, 5, 6, 7}, 0, 5, true},
		2: {[]uint64{1, 2, 4, 5, 6, 7}, 0, 5, false}, // a gap
		3: {[]uint64{1, 2, 4, 5, 6, 7}, 3, 5, true},  // that is older than the mark
		4: {[]uint64{1, 2, 3, 4, 5, 6}, 0, 5, false}, // the last one is missing
		5: {[]uint64{7}, 7, 5, true},
		6: {[]uint64{7}, 7, 4, false}, // other balances
	} {
		cell := stock.Cell{SKU: sku, Pool: uint32(sku % 2), Bucket: uint16(sku % 3)}
		b.cell(sku, cell.Pool, cell.Bucket, 5) // at 1.7
		for _, seq := range c.seqs {
			b.event(cell, seq, c.last)
		}
		if c.applied > 0 {
			b.exec("INSERT INTO applied_marks VALUES (?, ?, ?, 1, ?)", sku, cell.Pool, cell.Bucket, c.applied)
		}
		whole[cell] = c.whole
	}
	s, err := b.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var order []string
	got := map[stock.Cell]bool{}
	take := func(brief *ledger.Brief) error {
		got[brief.Cell] = brief.Whole()
		order = append(order, fmt.Sprintf("%d at %d.%d: %d", brief.Cell.SKU, brief.Epoch, brief.Seq, brief.Avail))
		return nil
	}
	for after, n := (stock.Cell{}), 1; n > 0; {
		n = 0
		if err := s.BriefsAfter(t.Context(), after, nil, 4, func(brief *ledger.Brief) error {
			n++
			after = brief.Cell
			return take(brief)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(whole, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1 at 1.7: 5", "2 at 1.7: 5", "3 at 1.7: 5", "4 at 1.7: 5", "5 at 1.7: 5", "6 at 1.7: 5"}, order); diff != "" {
		t.Error(diff)
	}
	order = nil
	pool := uint32(1)
	if err := s.BriefsAfter(t.Context(), stock.Cell{SKU: 1, Pool: 1, Bucket: 1}, &pool, 10, take); err != nil || len(order) != 2 {
		t.Errorf("of one pool, after SKU 1: %v, %v", order, err)
	}
	order = nil
	if err := s.Briefs(t.Context(), []stock.Cell{{SKU: 2, Bucket: 2}, {SKU: 3, Pool: 1}, {SKU: 99}}, take); err != nil || len(order) != 2 {
		t.Errorf("of some cells: %v, %v", order, err)
	}
	ends := map[int64]string{}
	some := []stock.Cell{{SKU: 3, Pool: 1}, {SKU: 4, Bucket: 1}, {SKU: 99}}
	note := func(c stock.Cell, at stock.Position) { ends[c.SKU] += fmt.Sprintf("%d.%d ", at.Epoch, at.Seq) }
	err = errors.Join(s.Highest(t.Context(), some, note), s.Marks(t.Context(), some, note))
	if diff := cmp.Diff(map[int64]string{3: "1.7 1.3 ", 4: "1.6 "}, ends); diff != "" || err != nil {
		t.Errorf("%s, %v", diff, err)
	}
	var many []string
	from := []stock.Position{{Epoch: 1, Seq: 4}, {Epoch: 1, Seq: 2}, {}}
	if err := s.EventsFrom(t.Context(), some, from, 3, func(e *ledger.Recorded) {
		many = append(many, fmt.Sprintf("%d: %d", e.Cell.SKU, e.Seq))
	}); err != nil || !cmp.Equal(many, []string{"3: 4", "3: 5", "3: 6", "4: 2", "4: 3", "4: 4"}) {
		t.Errorf("events of some cells: %q, %v", many, err)
	}
	var seqs []uint64
	if err := s.Events(t.Context(), stock.Cell{SKU: 2, Bucket: 2}, stock.Position{Epoch: 1, Seq: 2}, 3, func(e *ledger.Recorded) {
		seqs = append(seqs, e.Seq)
	}); err != nil || !cmp.Equal(seqs, []uint64{2, 4, 5}) {
		t.Errorf("events: %v, %v", seqs, err)
	}
}

// TestBriefsCountFewEvents: events far above an applied mark are not counted, and their cells do not pass as whole.
func TestBriefsCountFewEvents(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	for sku, seq := range map[int64]uint64{1: 2_000_001, 2: 2_000_002} {
		cell := stock.Cell{SKU: sku}
		b.cell(sku, 0, 0, 5)
		b.exec("UPDATE product_inventories SET seq = ? WHERE sku_id = ?", seq, sku)
		b.exec("INSERT INTO applied_marks VALUES (?, 0, 0, 1, 1)", sku)
		for n := range uint64(3) {
			b.event(cell, seq-n, 5)
		}
	}
	counted := map[int64]uint64{}
	err := b.Moments().Briefs(t.Context(), []stock.Cell{{SKU: 1}, {SKU: 2}}, func(brief *ledger.Brief) error {
		counted[brief.Cell.SKU] = brief.Counted
		return nil
	})
	if diff := cmp.Diff(map[int64]uint64{1: 3, 2: 0}, counted); diff != "" || err != nil {
		t.Errorf("%s, %v", diff, err)
	}
}

// TestSnapshotIsOfOneMoment reads twice, and sees nothing of what happens in between.
func TestSnapshotIsOfOneMoment(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.cell(1, 0, 0, 5)
	s, err := b.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	read := func() (n int) {
		if err := s.CellsOf(t.Context(), 0, nil, 10, func(stock.Cell) { n++ }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := read()
	b.cell(2, 0, 0, 5)
	if after := read(); before != 1 || after != 1 {
		t.Errorf("%d cells, then %d", before, after)
	}
}
