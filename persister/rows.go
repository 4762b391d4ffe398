package persister

import (
	"cmp"
	"fmt"
	"slices"

	"sluice/core/event"
	"sluice/core/stock"
)

// origin is where an event was read.
type origin struct {
	partition int // Kafka's
	offset    int64
	entry     string // id of the outbox entry, if the message names it
}

// row is one event on its way into MySQL.
type row struct {
	event.Event
	partition int   // that its batch names
	timeMS    int64 // Redis time of its batch
	from      *origin
}

// String names the event for people.
func (r *row) String() string {
	return fmt.Sprintf("%v at epoch %d seq %d of %v", r.Kind, r.Epoch, r.Seq, r.Cell)
}

// same reports whether two rows are one event that arrived twice. It compares everything, even the time. If Redis lost an
// effect and a script ran again, the two events may differ in nothing else.
func (r *row) same(s *row) bool { return r.Event == s.Event && r.timeMS == s.timeMS }

// fits reports whether an event can have these numbers. Somebody may have edited the ledger.
func (r *row) fits() bool {
	return r.Check() == nil && max(r.Avail, r.Held, r.Sold) <= stock.UnitsMax && r.User >= 0 && r.Seq <= stock.SeqMax &&
		min(r.DeadlineMS, r.timeMS) >= 0 && max(r.DeadlineMS, r.timeMS) <= stock.TimeMaxMS
}

// follows tells whether the event found these balances.
func (r *row) follows(avail, held, sold int64) bool {
	a, h, s := r.Before()
	return a == avail && h == held && s == sold
}

// byPosition orders rows by cell, then by position: the order of the ledger's primary key, in which concurrent
// transactions take their locks.
func byPosition(a, b *row) int {
	return cmp.Or(a.Cell.Compare(b.Cell), a.Compare(b.Position))
}

// unique sorts rows in place and removes repetitions. It also removes rivals, which have the key of another row and
// other content, and returns them. If several rows are rivals, the one that arrived first stays.
func unique(rows []*row) (kept, rivals []*row) {
	slices.SortStableFunc(rows, byPosition)
	kept = rows[:0]
	for _, r := range rows {
		switch {
		case len(kept) == 0 || byPosition(kept[len(kept)-1], r) != 0:
			kept = append(kept, r)
		case !kept[len(kept)-1].same(r):
			rivals = append(rivals, r)
		}
	}
	return kept, rivals
}

// newestOfCells picks each cell's row with the highest position out of rows that are sorted by position.
func newestOfCells(rows []*row) []*row {
	var newest []*row
	for i, r := range rows {
		if i+1 == len(rows) || rows[i+1].Cell != r.Cell {
			newest = append(newest, r)
		}
	}
	return newest
}

// reservationRow is the newest event of a reservation, and the time at which the reservation was made.
type reservationRow struct {
	*row
	reservedMS int64 // Redis time of its reserve, deduct or return; 0: the rows do not have that event
}

// newestOfReservations picks each reservation's row with the highest position out of rows that are sorted by
// position. A reservation belongs to one cell. Adjustments are none.
func newestOfReservations(rows []*row) []reservationRow {
	at := make(map[stock.ReservationID]int, len(rows))
	newest := make([]reservationRow, 0, len(rows))
	for _, r := range rows {
		if r.Kind.Adjusts() {
			continue
		}
		i, ok := at[r.Reservation]
		if !ok {
			i = len(newest)
			at[r.Reservation] = i
			newest = append(newest, reservationRow{})
		}
		newest[i].row = r
		if r.Kind == event.KindReserve || r.Kind == event.KindDeduct || r.Kind == event.KindReturn {
			newest[i].reservedMS = max(newest[i].reservedMS, r.timeMS)
		}
	}
	slices.SortFunc(newest, func(a, b reservationRow) int { return slices.Compare(a.Reservation[:], b.Reservation[:]) })
	return newest
}
