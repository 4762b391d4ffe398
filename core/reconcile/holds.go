package reconcile

import (
	"fmt"
	"maps"
	"slices"

	"sluice/core/stock"
)

// told is a reservation at the cut, as the events and MySQL have it.
type told struct {
	state    stock.State
	quantity int64
	position stock.Position
	timeMS   int64
	user     int64
	row      *Row
	event    *Event // the last event up to the cut; nil if only the row is known
}

func recordProof(r *stock.Reservation, says string) Proof {
	return Proof{Store: InRedis, Says: r.State.String() + ": " + says, Seq: r.Seq, Reservation: r.ID.String(), User: userID(r.User), Units: r.Quantity}
}

func rowProof(r *Row, says string) Proof {
	return Proof{
		Store: InReservations, Says: r.State.String() + ": " + says, Epoch: r.Epoch, Seq: r.Seq, Reservation: r.ID.String(),
		User: userID(r.User), Units: r.Quantity,
	}
}

func (t *told) proof(id stock.ReservationID, says string) Proof {
	if t.event != nil {
		p := t.event.proof(t.state.String() + ": " + says)
		p.Counters = nil
		return p
	}
	r := *t.row
	r.ID = id
	return rowProof(&r, says)
}

// Doubtful returns the positions of reservations whose row and record disagree. The events of the ledger at these
// positions decide. Positions from View.From on are left out, because their events are known already.
func (v *View) Doubtful() []stock.Position {
	if v.Redis == nil {
		return nil
	}
	rows, doubtful := v.rows(), map[stock.Position]bool{}
	seen := map[stock.ReservationID]bool{}
	for i := range v.Records {
		r := &v.Records[i]
		seen[r.ID] = true
		row := rows[r.ID]
		if r.State != stock.StateNone && r.Cell == v.Cell && (row == nil || row.Seq != r.Seq || row.State != r.State || row.Quantity != r.Quantity) {
			for _, m := range v.placesOf(r.Seq) {
				doubtful[m] = true
			}
			if row != nil {
				doubtful[row.Position()] = true
			}
		} else if row != nil && row.State == stock.StateHeld && (r.State == stock.StateNone || r.Cell != v.Cell) {
			doubtful[row.Position()] = true
		}
	}
	for id, row := range rows {
		if !seen[id] && row.State == stock.StateHeld {
			doubtful[row.Position()] = true
		}
	}
	for i := range v.Events { // under way, while the ledger may have later ones that a walk went along
		if e := &v.Events[i]; e.Less(v.From) && rows[e.Reservation] != nil {
			doubtful[rows[e.Reservation].Position()] = true
		}
	}
	open := v.open()
	for id, row := range rows {
		if e, ok := open[id]; ok && row.Position() != e.Position || v.cropped && v.Redis.Less(row.Position()) {
			doubtful[row.Position()] = true
		}
	}
	maps.DeleteFunc(doubtful, func(m stock.Position, _ bool) bool { return !m.Less(v.From) && (!v.cropped || !v.Redis.Less(m)) })
	return slices.SortedFunc(maps.Keys(doubtful), stock.Position.Compare)
}

// epochsMax is the number of epochs in which sluice looks for the event of a record. Each repair and each loss begins
// an epoch.
const epochsMax = 100

// placesOf returns the positions that a seq may have, the newest first. A record has no epoch, and the seq goes on
// over epochs.
func (v *View) placesOf(seq uint64) (places []stock.Position) {
	for epoch := v.Redis.Epoch; epoch > 0 && len(places) < epochsMax; epoch-- {
		places = append(places, stock.Position{Epoch: epoch, Seq: seq})
	}
	return places
}

func (v *View) rows() map[stock.ReservationID]*Row {
	rows := make(map[stock.ReservationID]*Row, len(v.Rows))
	for i := range v.Rows {
		rows[v.Rows[i].ID] = &v.Rows[i]
	}
	return rows
}

// atCut returns each reservation at the cut, and finds the wrong rows of MySQL.
func (j *judge) atCut() (known map[stock.ReservationID]*told) {
	known = map[stock.ReservationID]*told{}
	spots := map[stock.Position]*Event{}
	for i := range j.Spots {
		spots[j.Spots[i].Position] = &j.Spots[i]
	}
	about := map[stock.ReservationID][]*Event{}
	for i := range j.list {
		if e := &j.list[i]; !e.Kind.Adjusts() && !e.Less(j.rowsFrom) {
			about[e.Reservation] = append(about[e.Reservation], e)
		}
	}
	rows := j.rows()
	records := map[stock.ReservationID]*stock.Reservation{}
	for i := range j.Records {
		records[j.Records[i].ID] = &j.Records[i]
	}
	for id, row := range rows {
		events := about[id]
		for _, m := range append(j.placesOf(seqOf(records[id])), row.Position()) {
			if e := spots[m]; e != nil && e.Reservation == id && !slices.Contains(events, e) {
				events = append(events, e)
			}
		}
		about[id] = events
	}
	for i := range j.Spots { // rows that are gone
		if e := &j.Spots[i]; rows[e.Reservation] == nil && !e.Kind.Adjusts() && !slices.Contains(about[e.Reservation], e) {
			about[e.Reservation] = append(about[e.Reservation], e)
		}
	}
	for id, events := range about {
		slices.SortFunc(events, func(a, b *Event) int { return a.Compare(b.Position) })
		j.checkRow(id, rows[id], events)
		if t := j.tellOf(rows[id], events); t != nil {
			known[id] = t
		}
	}
	return known
}

func seqOf(r *stock.Reservation) uint64 {
	if r == nil {
		return 0
	}
	return r.Seq
}

// tellOf returns a reservation at the cut from its row and its events, or nil if both lack it.
func (j *judge) tellOf(row *Row, events []*Event) *told {
	var t *told
	if row != nil && !j.Redis.Less(row.Position()) {
		t = &told{state: row.State, quantity: row.Quantity, position: row.Position(), timeMS: row.UpdatedMS, user: row.User, row: row}
	}
	for _, e := range events {
		if j.Redis.Less(e.Position) {
			j.unsure = j.unsure || t == nil // the reservation may have been held
			break
		}
		if t == nil || !e.Less(t.position) {
			t = &told{state: e.Kind.State(), quantity: e.Quantity, position: e.Position, timeMS: e.TimeMS, user: e.User, row: row, event: e}
		} else if t.event == nil && t.row != nil && j.spotless(t.row, events) {
			// The row is ahead of the ledger: somebody has edited it.
			t = &told{state: e.Kind.State(), quantity: e.Quantity, position: e.Position, timeMS: e.TimeMS, user: e.User, row: row, event: e}
		}
	}
	return t
}

// spotless reports whether the ledger was asked for the event of a row, and has no event or another one there.
func (j *judge) spotless(row *Row, events []*Event) bool {
	return !slices.ContainsFunc(events, func(e *Event) bool { return e.Position == row.Position() }) && !j.isMissing(row.Position())
}

// checkRow compares MySQL's row of a reservation with the last event that the ledger has of it.
func (j *judge) checkRow(id stock.ReservationID, row *Row, events []*Event) {
	var last *Event
	for _, e := range events {
		if e.Store == InLedger {
			last = e
		}
	}
	switch {
	case last == nil || j.forked[last.Position]:
	case row == nil && j.left(last):
	case row == nil:
		j.add(ProjectionStale, last.Quantity, Bookkeeping, last.TimeMS, Proof{Store: InReservations, Says: "no row", Reservation: id.String()}, last.proof("its last event"))
		j.planRow(id, last.Quantity, stock.Position{}, last)
	case differs(row, j.Cell, last):
		if last.Less(row.Position()) && !j.spotless(row, events) {
			return
		}
		j.add(ProjectionStale, max(last.Quantity, row.Quantity), Bookkeeping, last.TimeMS, rowProof(row, "the row"), last.proof("its last event"))
		j.planRow(id, max(last.Quantity, row.Quantity), row.Position(), last)
	}
}

// holds counts the held reservations one by one, and compares them with the events.
func (j *judge) holds() {
	if len(j.forked) > 0 {
		return // nobody knows to which of the two histories the records belong
	}
	known := j.atCut()
	seen := map[stock.ReservationID]*stock.Reservation{}
	var leaked, orphaned, doubled sum
	for i := range j.Records {
		r := &j.Records[i]
		if r.State == stock.StateNone || r.Cell != j.Cell {
			continue
		}
		seen[r.ID] = r
		if j.later(r) || j.lacks(r.Seq) {
			continue // later than the cut, or already reported as a gap
		}
		t := known[r.ID]
		held := int64(0)
		if t != nil && t.state == stock.StateHeld {
			held = t.quantity
		}
		has := int64(0)
		if r.State == stock.StateHeld {
			has = r.Quantity
		}
		switch {
		case has == held:
		case has < held:
			leaked.add(held-has, t.timeMS, recordProof(r, "the record"), t.proof(r.ID, "the last event about it"))
			if again := j.heldAgain(r.ID, r, t); again != nil {
				j.planRecord(LeakedHold, held-has, Undersell, r, again)
			}
		case t != nil && t.state != stock.StateHeld:
			doubled.add(has, t.timeMS, recordProof(r, "the record"), t.proof(r.ID, "the last event about it"))
			ended := *r
			ended.State, ended.Seq, ended.Counted = t.state, t.position.Seq, r.Counted && t.state == stock.StateConfirmed
			j.planRecord(DoubleRelease, has, Oversell, r, &ended)
		case t != nil:
			orphaned.add(has-held, t.timeMS, recordProof(r, "the record"), t.proof(r.ID, "the last event about it"))
			if again := j.heldAgain(r.ID, r, t); again != nil {
				j.planRecord(OrphanReservation, has-held, Oversell, r, again)
			}
		case j.tooOld(r):
			j.unsure = true
			j.add(Unverifiable, 0, Bookkeeping, j.NowMS, recordProof(r, fmt.Sprintf("its last event is not of the last %d epochs of the cell: sluice reconcile --sku %d --sale %d reads them all", epochsMax, j.Cell.SKU, j.Cell.Pool)))
		default:
			orphaned.add(has, j.NowMS, recordProof(r, "no event tells of it"))
			j.planRecord(OrphanReservation, has, Oversell, r, &stock.Reservation{ID: r.ID})
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(known), stock.ReservationID.Compare) {
		if t := known[id]; t.state == stock.StateHeld && seen[id] == nil && !j.mayHaveEnded(t.position) {
			leaked.add(t.quantity, t.timeMS, t.proof(id, "Redis has no record of it"))
			if again := j.heldAgain(id, nil, t); again != nil {
				j.planRecord(LeakedHold, t.quantity, Undersell, nil, again)
			}
		}
	}
	for _, id := range j.Overdue {
		if t := known[id]; t != nil && t.state == stock.StateHeld && seen[id] != nil {
			leaked.add(t.quantity, t.timeMS, t.proof(id, "its deadline has passed, and no list of deadlines has it"))
			j.planRecord(LeakedHold, t.quantity, Undersell, seen[id], seen[id])
		}
	}
	j.compareHeld(known, &leaked, len(leaked.proof)+len(orphaned.proof)+len(doubled.proof) == 0)
	leaked.report(j, LeakedHold, Undersell)
	orphaned.report(j, OrphanReservation, Oversell)
	doubled.report(j, DoubleRelease, Oversell)
}

// tooOld reports whether the event of a record may be of an epoch in which nobody has looked for it.
func (j *judge) tooOld(r *stock.Reservation) bool {
	return j.Redis.Epoch > epochsMax && j.began().Seq > 0 && r.Seq < j.began().Seq
}

// mayHaveEnded reports whether a missing event may have ended a reservation that was held at a position.
func (j *judge) mayHaveEnded(held stock.Position) bool {
	return slices.ContainsFunc(j.missing, func(s span) bool { return held.Less(stock.Position{Epoch: s.epoch, Seq: s.last}) })
}

// compareHeld compares the held units with the sum of the reservations. If the history is whole, the last event has the
// held units. If more units are held, they belong to no record and to no row of MySQL. If fewer are held, reservations
// were settled that the history does not have. This is reported only if each reservation agrees with its events
// (agree); otherwise the reservation's own finding explains it.
func (j *judge) compareHeld(known map[stock.ReservationID]*told, leaked *sum, agree bool) {
	e := j.at(j.Redis.Position)
	if e == nil || j.brief || j.unsure || j.cropped || len(j.missing) > 0 || len(j.breaches) > 0 || j.has(ProjectionStale) {
		return
	}
	open := int64(0)
	for _, t := range known {
		if t.state == stock.StateHeld {
			open += t.quantity
		}
	}
	held := j.afterOf(e).Held
	switch {
	case held > open:
		leaked.add(held-open, e.TimeMS, e.proof("more is held than the reservations that are known"))
		j.untold = true
		f := finding(LeakedHold, j.Cell, held-open, Undersell, e.TimeMS)
		j.steps = append(j.steps, cannot(&f, fmt.Sprintf("older events tell whose they are: sluice reconcile --sku %d --sale %d --repair reads them all", j.Cell.SKU, j.Cell.Pool)))
	case held < open && agree:
		j.short = open - held
		j.add(CounterEdit, j.short, Oversell, e.TimeMS, e.proof("less is held than its reservations hold"),
			Proof{Store: InReservations, Says: "the sum of the held reservations", Units: open})
	}
}

// sum collects findings of one type, which a report shows as one.
type sum struct {
	units, sinceMS int64
	proof          []Proof
}

func (s *sum) add(units, sinceMS int64, proof ...Proof) {
	if len(s.proof) == 0 || sinceMS < s.sinceMS {
		s.sinceMS = sinceMS
	}
	s.units += units
	s.proof = append(s.proof, proof...)
}

func (s *sum) report(j *judge, t Type, way Direction) {
	if len(s.proof) > 0 {
		j.add(t, s.units, way, s.sinceMS, s.proof...)
	}
}
