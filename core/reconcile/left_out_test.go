package reconcile_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/core/event"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// While a dead letter or a gap keeps the mark of a cell from moving, its many events are read once an hour. In between the cell is
// unverified.
func TestManyEventsAboveAMarkAreReadOnceAnHour(t *testing.T) {
	t.Parallel()
	b, _ := heldLongAgo(t)
	b.exec("UPDATE applied_marks SET seq = 10")
	b.exec("DELETE FROM ledger WHERE seq = 20")
	s := b.sweeper(func(func(*event.Batch) error) error { return nil })
	s.SetWalkOften(500)
	var later time.Duration
	s.Now = func() time.Time { return time.Now().Add(later) }
	for _, c := range []struct {
		after time.Duration
		want  reconcile.Type
	}{{0, reconcile.Gap}, {time.Minute, reconcile.Unverifiable}, {59 * time.Minute, reconcile.Unverifiable}, {61 * time.Minute, reconcile.Gap}} {
		later = c.after
		report, err := s.Sweep(t.Context(), reconcile.Scope{})
		if err != nil || !slices.Equal(typesOf(report), []reconcile.Type{c.want}) {
			t.Errorf("after %v: %+v, %v", c.after, report.Findings, err)
		}
	}
}

// hold makes a cell with holds of one unit each, from seq 2 on. The events of the first ones are in the outbox, and no
// store has the others.
func (b books) hold(cell stock.Cell, underWay, orphans int, deadlineMS int64) {
	b.t.Helper()
	all, batch := 5000, event.Batch{TimeMS: 1_700_000_002_000}
	b.exec(`INSERT INTO ledger SELECT ?, 0, 0, 1, 1, 'adjust', REPEAT('x', 16), 0, 0, 0, ?, 0, 0, 0, 1700000000000, ?, 127, REPEAT('x', 20), 'load', NULL, NULL, NULL`, cell.SKU, all, all)
	b.projections()
	last := int64(underWay)
	commands := [][]string{inRedis(cell, stock.Position{Epoch: 1, Seq: uint64(underWay) + 1}, int64(all)-last, last, 0, stock.Settings{Hold: time.Minute})}
	for n := range underWay + orphans {
		var id stock.ReservationID
		binary.BigEndian.PutUint64(id[2:], uint64(n)+1)
		seq := min(uint64(n), uint64(underWay)-1) + 2
		commands = append(commands, record(cell, id, stock.StateHeld, seq, 5, 1, deadlineMS))
		if n >= underWay {
			continue
		}
		e := event.Event{Cell: cell, Position: stock.Position{Epoch: 1, Seq: seq}, Kind: event.KindReserve, Reservation: id, User: 5, Quantity: 1, DeadlineMS: deadlineMS}
		e.Avail, e.Held = int64(all)-int64(n)-1, int64(n)+1
		batch.Events = append(batch.Events, e)
		if len(batch.Events) == 100 || n == underWay-1 {
			commands = append(commands, []string{"XADD", keyOf(cell, "outbox"), "*", "e", string(event.Append(nil, batch))})
			batch.Events = nil
		}
	}
	b.do(commands...)
}

// A sweep that has no room for all odd reservations of a cell looks at those that nothing explains. If these are too
// many as well, it says so.
func TestOddReservationsBeyondTheRoomAreSearched(t *testing.T) {
	t.Parallel()
	const never = 4102444800000
	for _, c := range []struct {
		underWay, orphans int
		want              string
	}{
		{2500, 0, ""},
		{2500, 20, "1: orphan_reservation, 20, oversell"},
	} {
		t.Run(fmt.Sprint(c.orphans), func(t *testing.T) {
			t.Parallel()
			b := newBooks(t)
			b.hold(stock.Cell{SKU: 1}, c.underWay, c.orphans, never)
			s := b.sweeper(func(func(*event.Batch) error) error { return nil })
			report, found := b.sweep(&s, reconcile.Scope{})
			if strings.Join(found, "; ") != c.want || report.Summary.EventsInFlight == 0 {
				t.Errorf("%q, want %q: %+v", found, c.want, report.Summary)
			}
		})
	}
}

// If nobody ends reservations, a sweep looks for some of them in the lists of deadlines, and says that it leaves out the others.
func TestLateReservationsBeyondTheRoomAreNamed(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.hold(stock.Cell{SKU: 1}, 2001, 0, 1_700_000_000_000)
	s := b.sweeper(func(func(*event.Batch) error) error { return nil })
	report, _ := b.sweep(&s, reconcile.Scope{})
	unread := report.Summary.Unread
	if len(unread) != 1 || !strings.Contains(unread[0].Error, "more than 2000 held reservations") {
		t.Errorf("%+v", unread)
	}
}

// A look reads an outbox up to a bound. Beyond that the cells of its partition are unverified, and those of others are compared.
func TestLongOutboxesAreUnverified(t *testing.T) {
	t.Parallel()
	const never = 4102444800000
	b := newBooks(t)
	long, other := stock.Cell{SKU: 1}, stock.Cell{SKU: 2}
	for other.Partition(partitions) == long.Partition(partitions) {
		other.SKU++
	}
	entry := string(event.Append(nil, event.Batch{TimeMS: 1_700_000_002_000, Events: []event.Event{b.reserved(stock.Cell{SKU: 99}, 3, 8, 2)}}))
	for range 11 {
		commands := make([][]string, 10_000)
		for i := range commands {
			commands[i] = []string{"XADD", keyOf(long, "outbox"), "*", "e", entry}
		}
		b.do(commands...)
	}
	b.hold(long, 5, 0, never)
	b.exec("DELETE FROM product_inventories")
	b.exec("DELETE FROM applied_marks")
	b.hold(other, 5, 0, never)
	s := b.sweeper(func(func(*event.Batch) error) error { return nil })
	report, found := b.sweep(&s, reconcile.Scope{})
	if !slices.Equal(found, []string{"1: unverifiable, 0, bookkeeping"}) || report.Summary.InFlight != 1 || report.Summary.Unverified != 1 {
		t.Errorf("%q: %+v", found, report.Summary)
	}
	if len(found) > 0 && !strings.Contains(report.Findings[0].Proof[0].Says, "more than 100000 entries") {
		t.Errorf("%+v", report.Findings[0].Proof)
	}
}
