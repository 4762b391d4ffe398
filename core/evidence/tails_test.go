package evidence_test

import (
	"fmt"
	"strings"
	"testing"

	"sluice/core/event"
	"sluice/core/evidence"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// TestAfter reads tails of every length, from the ledger and from Kafka: each event once and in order, and the end of each epoch.
func TestAfter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	after, want, rebased := map[stock.Cell]stock.Position{}, map[stock.Cell]uint64{}, map[stock.Cell]uint64{}
	var rows []string
	row := func(cell stock.Cell, epoch, seq int) {
		kind, from := "'deduct', 1, NULL, NULL, NULL", "NULL, NULL"
		if uint64(seq) == rebased[cell] && seq > 0 {
			kind, from = "'rebase', 0, 0, 127, REPEAT(CHAR(0), 20)", fmt.Sprintf("%d, %d", epoch-1, seq-1)
		}
		rows = append(rows, fmt.Sprintf("(%d, 0, 0, %d, %d, REPEAT(CHAR(0), 16), 1, 0, 5, 0, 0, 0, 1700000000000, %s, %s)", cell.SKU, epoch, seq, kind, from))
	}
	for i, last := range []int{3, 4, 102, 103, 104, 350} { // about as many after the position as one statement reads first
		for k, rebase := range []int{0, 3, last} {
			cell := stock.Cell{SKU: int64(100*i + k + 1)}
			after[cell], want[cell], rebased[cell] = stock.Position{Epoch: 1, Seq: 2}, uint64(last), uint64(rebase)
			for seq := 1; seq <= last; seq++ {
				epoch := 1
				if rebase > 0 && seq >= rebase {
					epoch = 2
				}
				row(cell, epoch, seq)
			}
		}
	}
	_, err := w.db.ExecContext(t.Context(), "INSERT INTO ledger (sku_id, pool, bucket, epoch, seq, reservation_id, user_id, fingerprint, available_stock, "+
		"reserved_stock, sold_stock, deadline_ms, redis_ms, kind, quantity, delta, fields, settings, from_epoch, from_seq) VALUES "+strings.Join(rows, ","))
	if err != nil {
		t.Fatal(err)
	}
	both := stock.Cell{SKU: 1}
	for _, seq := range []uint64{3, 4} { // Kafka has one event that the ledger has too, and the next one
		w.inKafka(0, both, 1, seq)
	}
	want[both] = 4
	e := evidence.New(w.db, evidence.KafkaTail{Brokers: w.brokers, Topic: topic, Group: group})
	cells := 0
	err = e.After(t.Context(), after, func(cell stock.Cell, tail redisstock.Tail) error {
		cells++
		last := uint64(2)
		err := tail.Each(func(e *event.Event, _ int64) error {
			if e.Cell != cell || e.Seq != last+1 {
				t.Errorf("%v: seq %d of %v after %d", cell, e.Seq, e.Cell, last)
			}
			last = e.Seq
			return nil
		})
		if last != want[cell] {
			t.Errorf("%v ends at %d, want %d", cell, last, want[cell])
		}
		end := stock.Position{Epoch: 1, Seq: rebased[cell] - 1}
		if (rebased[cell] > 0) != (len(tail.Ends) == 1) || len(tail.Ends) == 1 && tail.Ends[0] != end {
			t.Errorf("%v, rebased at %d: ends of epochs are %v", cell, rebased[cell], tail.Ends)
		}
		return err
	})
	if err != nil || cells != len(after) {
		t.Errorf("%d cells of %d: %v", cells, len(after), err)
	}
}
