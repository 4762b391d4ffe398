package reconcile

import (
	"context"
	"maps"
	"slices"

	"sluice/core/ledger"
	"sluice/core/stock"
)

// staleRow is a row of the table of reservations that differs from an event. The event was the last one about the
// reservation when the row was read.
type staleRow struct {
	row *Row // nil: there is none
	is  Event
}

// differs reports whether a row differs from the last event about its reservation.
func differs(r *Row, cell stock.Cell, last *Event) bool {
	return r.State != last.Kind.State() || r.Quantity != last.Quantity || r.User != last.User || r.Cell != cell || r.Position() != last.Position
}

// compareRows compares the rows of reservations with the last events of a page about them. All are of one moment.
func (o *older) compareRows(ctx context.Context, s *ledger.Snapshot) error {
	var later []Row // they belong to later events
	err := s.Reservations(ctx, slices.Collect(maps.Keys(o.lasts)), func(r *Row) {
		e := o.lasts[r.ID]
		delete(o.lasts, r.ID)
		switch {
		case e.Less(r.Position()):
			if !o.mark.Less(r.Position()) {
				later = append(later, *r)
			}
		case differs(r, o.cell, &e):
			o.note(r.ID, r, e)
		}
	})
	if err != nil {
		return err
	}
	for id, e := range o.lasts {
		o.note(id, nil, e)
	}
	at := make([]ledger.Place, len(later))
	for i := range later {
		at[i] = ledger.Place{Cell: o.cell, At: later[i].Position()}
	}
	there := map[stock.Position]Event{}
	err = s.EventsOf(ctx, at, func(e *ledger.Recorded) { there[e.Position] = Event{e.Event, e.TimeMS, InLedger} })
	for i := range later {
		r := &later[i]
		if e, known := there[r.Position()]; known && e.Reservation != r.ID { // without an event there is a gap, which the walk finds
			o.note(r.ID, r, e)
		}
	}
	return err
}

func (o *older) note(id stock.ReservationID, r *Row, e Event) {
	if r != nil {
		row := *r
		r = &row
	}
	o.stale[id] = staleRow{r, e}
}

// staleRows reports rows of reservations that differ from their events.
func (j *judge) staleRows(rows map[stock.ReservationID]staleRow) {
	var all sum
	for _, id := range slices.SortedFunc(maps.Keys(rows), stock.ReservationID.Compare) {
		s := rows[id]
		no, says := Proof{Store: InReservations, Says: "no row", Reservation: id.String()}, "its last event"
		if s.row != nil {
			no = rowProof(s.row, "the row")
		}
		if s.is.Reservation != id {
			says = "the event of its position"
		}
		all.add(max(s.is.Quantity, units(s.row)), s.is.TimeMS, no, s.is.proof(says))
	}
	all.report(j, ProjectionStale, Bookkeeping)
}

// units returns the units of a row, or 0 if there is none.
func units(r *Row) int64 {
	if r == nil {
		return 0
	}
	return r.Quantity
}
