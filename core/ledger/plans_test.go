package ledger_test

import (
	"testing"

	"sluice/core/ledger"
	"sluice/core/stock"
)

// TestReadersLookRowsUp reads a thousand of many cells. The server looks up each of them. It must not join long lists as
// tables: that way it may read everything.
func TestReadersLookRowsUp(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.exec(`INSERT INTO ledger (sku_id, pool, bucket, epoch, seq, kind, reservation_id, user_id, quantity, fingerprint, available_stock,
		reserved_stock, sold_stock, deadline_ms, redis_ms)
		SELECT seq DIV 2, 0, 0, 1, 1 + seq MOD 2, 'reserve', UNHEX(LPAD(HEX(seq), 32, '0')), 7, 1, 0, 9, 1, 0, 9000, 8000 FROM seq_2_to_40001`)
	b.exec(`INSERT INTO product_inventories (sku_id, pool, bucket, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated)
		SELECT seq, 0, 0, 10, 9, 1, 0, 1, 2, NOW(3) FROM seq_1_to_20000`)
	b.exec(`INSERT INTO applied_marks (sku_id, pool, bucket, epoch, seq) SELECT seq, 0, 0, 1, 1 FROM seq_1_to_20000`)
	b.exec(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
		SELECT UNHEX(LPAD(HEX(seq), 32, '0')), seq DIV 2, 0, 0, seq DIV 2, 1, 'held', 9000, 8000, 1, 2, 8000 FROM seq_2_to_40001`)
	var cells []stock.Cell
	var from []stock.Position
	var users []int64
	var ids []stock.ReservationID
	after := map[stock.Cell]stock.Position{}
	for sku := int64(1); sku <= 20_000; sku += 20 {
		c := stock.Cell{SKU: sku}
		cells, from, users = append(cells, c), append(from, stock.Position{Epoch: 1, Seq: 2}), append(users, sku)
		ids = append(ids, stock.ReservationID{14: byte(sku >> 7), 15: byte(2 * sku)})
		if len(after) < 200 {
			after[c] = stock.Position{Epoch: 1, Seq: 1}
		}
	}
	s, n := b.Moments(), 0
	event := func(*ledger.Recorded) { n++ }
	position := func(stock.Cell, stock.Position) { n++ }
	row := func(*ledger.Row) { n++ }
	for _, read := range []struct {
		name string
		want int // found
		most int // rows read: one for each key, and where a key has many rows, these and the one behind them
		do   func() error
	}{
		{"Histories", 2000, 3100, func() error {
			return s.Histories(t.Context(), cells, 20_000, func(*ledger.Recorded) error { n++; return nil })
		}},
		{"EventsAfter", 200, 700, func() error { return s.EventsAfter(t.Context(), after, 10, event) }},
		{"EventsFrom", 1000, 3100, func() error { return s.EventsFrom(t.Context(), cells, from, 10, event) }},
		{"Highest", 1000, 1100, func() error { return s.Highest(t.Context(), cells, position) }},
		{"Marks", 1000, 1100, func() error { return s.Marks(t.Context(), cells, position) }},
		{"Briefs", 1000, 3100, func() error { return s.Briefs(t.Context(), cells, func(*ledger.Brief) error { n++; return nil }) }},
		{"Held", 2000, 3100, func() error { return s.Held(t.Context(), cells, 10_000, row) }},
		{"Reservations", 1000, 1100, func() error { return s.Reservations(t.Context(), ids, row) }},
		{"OwnedBy", 2, 3100, func() error { return s.OwnedBy(t.Context(), cells[:1], [][]int64{users}, 10, row) }},
		{"FirstTimes", 200, 300, func() error { return s.FirstTimes(t.Context(), after, func(stock.Cell, int64) { n++ }) }},
	} {
		n = 0
		reads := b.reads(read.do)
		if n != read.want || reads > read.most {
			t.Errorf("%s: %d rows read, want %d at most; %d found, want %d", read.name, reads, read.most, n, read.want)
		}
	}
}
