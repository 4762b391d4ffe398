package reconcile

import (
	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/stock"
)

// The bounds of a sweep's memory for condensed reservations. Beyond them, it compares reservations one by one.
const (
	holdsMax = 200_000 // cells
	laterMax = 200_000 // records that changed while they were scanned
)

// holds condenses the held reservations of a cell, in Redis and in MySQL. The two are of different positions. The events between
// them say how they have to differ. So millions of reservations are compared without a look at each.
type holds struct {
	at    stock.Position // of the counters that the scan has read
	redis ledger.HeldSum // the records that were held at that position, and still are
	// later has the records that changed after that position, with their user and units. Whether they were held at the position,
	// their events tell.
	later   map[stock.ReservationID]change
	crowded bool // there was no room for all of them

	rowsAt stock.Position // of the projection at the moment at which the rows were read
	rows   ledger.HeldSum
	known  bool // the rows have been read
	plain  bool // they have as many units as the projection, which is as the ledger's event at its position left it
}

// change is a record that has changed.
type change struct{ user, units int64 }

// condense adds a record to the condensed reservations of its cell. It reports whether the record need not be compared by itself.
func (p *partition) condense(cell *seen, r *stock.Reservation) bool {
	held, later := r.State == stock.StateHeld, r.Seq > cell.Seq
	if !held && !later {
		return false
	}
	h := cell.holds
	if h == nil {
		if cell.crowded || !p.room() {
			cell.crowded = true
			return false
		}
		h = &holds{at: cell.Position}
		cell.holds = h
	}
	if !later {
		h.redis.Add(r.ID, r.User, r.Quantity, r.Seq)
		return true
	}
	if h.later == nil {
		h.later = map[stock.ReservationID]change{}
	}
	if h.crowded = h.crowded || p.changed.Add(1) > laterMax; !h.crowded {
		h.later[r.ID] = change{r.User, r.Quantity}
	}
	return true
}

// room reports whether the sweep may condense the reservations of another cell.
func (w *sweep) room() bool {
	if w.whole || w.asked != nil {
		return false
	}
	return w.condensed.Add(1) <= holdsMax
}

// read notes what MySQL has.
func (h *holds) read(b *ledger.Brief) {
	h.rowsAt, h.rows, h.known, h.plain = b.Position, b.Rows, true, b.Whole() && !b.RowsDiffer
}

// same reports whether both have the same reservations, at the same position.
func (h *holds) same() bool {
	return h.known && h.at == h.rowsAt && len(h.later) == 0 && !h.crowded && h.redis == h.rows
}

// first returns the lower of the two positions, behind which even needs all events. There is none if the epochs differ, or if one of
// the two is not known.
func (h *holds) first() (from stock.Position, ok bool) {
	if h == nil || !h.known || h.at.Epoch != h.rowsAt.Epoch || h.crowded {
		return from, false
	}
	if h.rowsAt.Less(h.at) {
		return h.rowsAt, true
	}
	return h.at, true
}

// even reports whether the held reservations of Redis and MySQL differ exactly by the events between their positions. events are in
// order. It returns changed records of which no event tells.
func (h *holds) even(events []Event) (even bool, odd []stock.ReservationID) {
	if h.at == h.rowsAt && len(h.later) == 0 {
		return h.redis == h.rows, nil // with the seqs, which nobody can tell once events lie between
	}
	redis, rows := h.redis, h.rows
	next := map[stock.ReservationID]*Event{} // the next event about each, from where the scan has read the cell
	for i := range events {
		if e := &events[i]; h.at.Less(e.Position) && !e.Kind.Adjusts() && next[e.Reservation] == nil {
			next[e.Reservation] = e
		}
	}
	for id, r := range h.later {
		e := next[id]
		switch {
		case e == nil:
			odd = append(odd, id)
		case ends(e.Kind) || e.Kind == event.KindExtend:
			redis.Add(id, r.user, r.units, 0)
		}
	}
	at, to, sum, want := h.at, h.rowsAt, &redis, &rows
	if to.Less(at) {
		at, to, sum, want = to, at, want, sum
	}
	for i := range events {
		e := &events[i]
		if !at.Less(e.Position) || to.Less(e.Position) {
			continue
		}
		if at.Seq++; e.Position != at {
			return false, odd
		}
		switch {
		case e.Kind == event.KindReserve:
			sum.Add(e.Reservation, e.User, e.Quantity, 0)
		case ends(e.Kind):
			sum.Remove(e.Reservation, e.User, e.Quantity)
		}
	}
	return len(odd) == 0 && at == to && sum.Units == want.Units && sum.Checks == want.Checks, odd
}

// ends reports whether an event of the kind ends a hold.
func ends(k event.Kind) bool {
	return k == event.KindConfirm || k == event.KindRelease || k == event.KindExpire || k == event.KindRevoke
}
