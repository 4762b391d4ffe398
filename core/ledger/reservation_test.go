package ledger_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/stock"
)

// TestReservationAndItsEvents reads a reservation with events among those of others, in its own cell and in another.
func TestReservationAndItsEvents(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	id, other := stock.ReservationID{1, 2, 15: 3}, stock.ReservationID{1, 2, 15: 4}
	cell := stock.Cell{SKU: 5, Pool: 7, Bucket: 1}
	b.exec(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
		VALUES (?, 5, 7, 1, 3, 2, 'released', 99, 5, 1, 4, 6)`, id[:])
	event := func(seq int, bucket uint16, of stock.ReservationID, kind string, held int64) ledger.Event {
		b.exec(`INSERT INTO ledger (sku_id, pool, bucket, epoch, seq, kind, reservation_id, user_id, quantity, fingerprint, available_stock,
			reserved_stock, sold_stock, deadline_ms, redis_ms) VALUES (5, 7, ?, 1, ?, ?, ?, 3, 2, 1, ?, ?, 1, 99, ?)`,
			bucket, seq, kind, of[:], 10-held, held, 1000+seq)
		return ledger.Event{Kind: kind, Epoch: 1, Seq: uint64(seq), RedisMS: int64(1000 + seq), Avail: 10 - held, Held: held, Sold: 1}
	}
	var want []ledger.Event
	released := event(4, 1, id, "release", 0)
	want = append(want, event(2, 1, id, "reserve", 2), released)
	event(3, 1, other, "reserve", 4)
	event(3, 0, id, "reserve", 4)

	found, err := b.Reservation(t.Context(), id)
	if diff := cmp.Diff(&stock.Reservation{ID: id, State: stock.StateReleased, Cell: cell, User: 3, Quantity: 2, Seq: 4, DeadlineMS: 99}, found); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if none, err := b.Reservation(t.Context(), other); err != nil || none != nil {
		t.Errorf("one that MySQL does not know: %+v, %v", none, err)
	}
	if none, _, err := b.Return(t.Context(), id); err != nil || none != nil {
		t.Errorf("a reservation is no return: %+v, %v", none, err)
	}
	b.exec("UPDATE reservations SET state = 'returned' WHERE reservation_id = ?", id[:])
	if back, _, err := b.Return(t.Context(), id); err != nil || back == nil || back.State != stock.StateReturned || back.Cell != cell {
		t.Errorf("a return: %+v, %v", back, err)
	}
	events, err := b.Events(t.Context(), cell, id)
	if diff := cmp.Diff(want, events); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if events, err := b.Events(t.Context(), cell, stock.ReservationID{9}); err != nil || events == nil || len(events) != 0 {
		t.Errorf("of another: %v, %v, want an empty list", events, err)
	}

	change := stock.ReservationID{8}
	b.exec(`INSERT INTO ledger (sku_id, pool, bucket, epoch, seq, kind, reservation_id, user_id, quantity, fingerprint, available_stock,
		reserved_stock, sold_stock, deadline_ms, redis_ms, delta, fields, settings, reason) VALUES (5, 7, 1, 1, 5, 'adjust', ?, 0, 0, 1, 7, 0, 1, 0, 1005, -3, 0, REPEAT('\0', 20), 'counted')`, change[:])
	events, err = b.Events(t.Context(), cell, change)
	if err != nil || len(events) != 1 || events[0].Delta == nil || *events[0].Delta != -3 || events[0].Reason != "counted" {
		t.Errorf("an adjustment: %+v, %v", events, err)
	}
	for seq := range 30 {
		event(10+seq, 1, change, "reserve", 1)
	}
	if events, err := b.Events(t.Context(), cell, change); err != nil || len(events) != 20 ||
		!slices.IsSortedFunc(events, func(a, b ledger.Event) int { return int(a.Seq) - int(b.Seq) }) {
		t.Errorf("of many: %d, %v, want the first 20", len(events), err)
	}
}

// A dead letter may be the only trace of a return in MySQL. Until somebody deals with it, no answer says that the
// return never arrived.
func TestReturnInADeadLetter(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	id, other := stock.ReservationID{0, 3, 0xff, 0xc3, 0x28, 15: 7}, stock.ReservationID{0, 3, 0xff, 15: 8}
	letter := func(n byte, of stock.ReservationID) {
		data := event.Append(nil, event.Batch{Partition: 3, TimeMS: 5, Events: []event.Event{{
			Kind: event.KindReturn, Reservation: of, Cell: stock.Cell{SKU: 5}, User: 3, Quantity: 1, Position: stock.Position{Epoch: 1, Seq: 9},
			Change: event.Change{Reason: "did not fit"},
		}}})
		b.exec("INSERT INTO dead_letters (letter_id, reason, detail, sku_id, pool, bucket, epoch, seq, data) VALUES (?, 'refused', '', 5, 0, 0, 1, 9, ?)",
			append(make([]byte, 31), n), data)
	}
	want := func(what string, id stock.ReservationID, is error) {
		t.Helper()
		if found, _, err := b.Return(t.Context(), id); found != nil || !errors.Is(err, is) {
			t.Errorf("%s: %+v, error %v, want %v", what, found, err, is)
		}
	}
	letter(1, other)
	want("a letter of another return", id, nil)
	letter(2, id)
	want("its letter", id, ledger.ErrMayBeLetter)
	b.exec(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
		VALUES (?, 5, 0, 0, 3, 1, 'returned', 0, 5, 1, 9, 6)`, other[:])
	if found, _, err := b.Return(t.Context(), other); err != nil || found == nil {
		t.Errorf("one that has a row too: %+v, %v", found, err)
	}
	b.exec("UPDATE dead_letters SET resolved_at = NOW(3)")
	want("resolved", id, nil)
	b.exec("INSERT INTO dead_letters (letter_id, reason, detail, data) VALUES (?, 'unknown_version', '', 'what nobody can read')", make([]byte, 32))
	want("a message that nobody can read", id, ledger.ErrMayBeLetter)
}
