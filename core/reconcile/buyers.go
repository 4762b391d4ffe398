package reconcile

import (
	"fmt"
	"maps"

	"sluice/core/show"
	"sluice/core/stock"
)

func userID(user int64) show.ID { return show.ID(user) }

// buyers compares the count of each user with the user's reservations that count: those that are held or confirmed
// and were made while a limit applied. A record says whether it counts. If the record is forgotten, the history of
// the limit says so, to the millisecond. So several counts may be right. A return lowers the count by as much of it
// as is left, so the count may be lower by all that the user has returned.
func (j *judge) buyers() {
	if len(j.Buyers) == 0 || len(j.forked) > 0 || len(j.missing) > 0 || j.cropped {
		return
	}
	records := map[stock.ReservationID]*stock.Reservation{}
	for i := range j.Records {
		records[j.Records[i].ID] = &j.Records[i]
	}
	maps.Copy(records, j.amended) // a count is right if it fits the records as they will be after the repair
	later := map[int64]bool{}     // the count may contain effects later than the cut
	for i := range j.Records {
		if r := &j.Records[i]; j.later(r) {
			later[r.User] = true
		}
	}
	ended := map[stock.ReservationID]*Event{} // by reservation: the last event, which MySQL may lack
	for i := range j.list {
		e := &j.list[i]
		if j.Redis.Less(e.Position) {
			later[e.User] = true
		} else if !e.Kind.Adjusts() && !j.left(e) {
			ended[e.Reservation] = e
		}
	}
	made, rowsOf, eventsOf := map[stock.ReservationID]int64{}, map[int64][]*Row{}, map[int64][]*Event{} // by user
	for i := range j.Rows {
		r := &j.Rows[i]
		made[r.ID] = r.ReservedMS
		if ended[r.ID] == nil && !j.summedUp(r) {
			rowsOf[r.User] = append(rowsOf[r.User], r)
		}
	}
	for _, e := range ended {
		eventsOf[e.User] = append(eventsOf[e.User], e)
	}
	for _, b := range j.Buyers {
		if later[b.User] {
			continue
		}
		least, most, returned := j.Left[b.User], j.Left[b.User], int64(0)
		counts := func(id stock.ReservationID, state stock.State, quantity, reservedMS int64) {
			if state == stock.StateReturned {
				returned += quantity
			}
			if state != stock.StateHeld && state != stock.StateConfirmed {
				return
			}
			surely, maybe := j.limited(reservedMS)
			if r := records[id]; r != nil && r.State != stock.StateNone {
				surely, maybe = r.Counted, r.Counted
			}
			if surely {
				least += quantity
			}
			if surely || maybe {
				most += quantity
			}
		}
		for _, r := range rowsOf[b.User] {
			counts(r.ID, r.State, r.Quantity, r.ReservedMS)
		}
		for _, e := range eventsOf[b.User] {
			counts(e.Reservation, e.Kind.State(), e.Quantity, made[e.Reservation])
		}
		least = max(0, least-returned)
		says := fmt.Sprintf("reservations that count: %d units", least)
		if most > least {
			says = fmt.Sprintf("reservations that count: %d to %d units", least, most)
		}
		count := Proof{Store: InRedis, Says: "the user's count", User: userID(b.User), Units: b.Units}
		sum := Proof{Store: InReservations, Says: says, User: userID(b.User), Units: least}
		switch {
		case b.Units < least: // the user may have more than the limit
			j.add(BuyerCount, least-b.Units, Oversell, j.sinceLast(), count, sum)
			j.planCount(b, least, least-b.Units, Oversell)
		case b.Units > most:
			sum.Units = most
			j.add(BuyerCount, b.Units-most, Undersell, j.sinceLast(), count, sum)
			j.planCount(b, most, b.Units-most, Undersell)
		}
	}
}

// sinceLast returns when the cell's last event happened.
func (j *judge) sinceLast() int64 {
	if e := j.at(j.Redis.Position); e != nil {
		return e.TimeMS
	}
	return j.UpdatedMS
}

// limited reports whether a limit certainly, or perhaps, applied to a reservation of a Redis time.
func (j *judge) limited(atMS int64) (surely, maybe bool) {
	if atMS == 0 {
		return false, true
	}
	from := func(fromMS int64, applied bool) {
		switch {
		case fromMS < atMS:
			surely, maybe = applied, applied
		case fromMS == atMS:
			surely, maybe = surely && applied, maybe || applied
		}
	}
	for _, l := range j.Limits {
		from(l.FromMS, l.Applied)
	}
	for i := range j.list { // the ones that the ledger lacks so far
		if e := &j.list[i]; e.Kind.Adjusts() && e.Store != InLedger {
			from(e.TimeMS, e.Change.Settings.Limit > 0)
		}
	}
	return surely, maybe
}
