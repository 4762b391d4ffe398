package reconcile

import (
	"slices"

	"sluice/core/event"
	"sluice/core/stock"
)

// walker walks along the events of a cell in order. It finds missing events, and events that do not follow from the
// one before.
type walker struct {
	at     stock.Position
	known  bool // the balances at this place are known
	left   stock.Balances
	leftMS int64
	forked map[stock.Position]bool // positions after which nobody knows the balances

	missing  []span
	breaches []breach
}

// step goes on to an event. next is the event after it, or nil if there is none. A rebase declares the balances,
// because its author knew which events were missing.
func (w *walker) step(e, next *Event, redis *stock.CellState) {
	left := e.after()
	switch {
	case e.Kind == event.KindRebase:
		w.missing = nil
		if e.Corrects() {
			w.breaches = nil
		}
		for i := range w.breaches {
			w.breaches[i].vetted = true
		}
	case e.Epoch != w.at.Epoch: // nobody knows where the old epoch ended
		w.at, w.known = stock.Position{Epoch: e.Epoch}, false
		fallthrough
	case e.Seq > w.at.Seq+1:
		w.lack(e.Seq-1, e.before())
	case e.Seq == w.at.Seq+1 && w.known && e.before() != w.left && !w.forked[w.at] && !w.forked[e.Position]:
		b := breach{at: *e, left: w.left, found: e.before(), sinceMS: w.leftMS, edited: e.edited(w.left, next, redis)}
		w.breaches = append(w.breaches, b)
		if b.edited {
			left = e.applied(w.left)
		}
	}
	w.at, w.known, w.left, w.leftMS = e.Position, true, left, e.TimeMS
}

// end ends the walk at a position at which these balances were found.
func (w *walker) end(at stock.Position, found stock.Balances) {
	if !w.at.Less(at) {
		return
	}
	if w.at.Epoch != at.Epoch {
		w.at, w.known, w.leftMS = stock.Position{Epoch: at.Epoch}, false, 0
	}
	w.lack(at.Seq, found)
}

// lack notes that everything between the walker's place and a seq is missing.
func (w *walker) lack(last uint64, found stock.Balances) {
	if last <= w.at.Seq {
		return
	}
	s := span{w.at.Epoch, w.at.Seq + 1, last, w.left, found, w.leftMS}
	if !w.known {
		s.left = found
	}
	w.missing = append(w.missing, s)
}

// past is the result of a walk that ended before View.From.
type past struct {
	walker

	from   stock.Position // where it began
	rivals [][2]Event
	late   []Event
	open   map[stock.ReservationID]Event // the last events of the reservations that it left held
	events int                           // along which it went
}

// goOn returns a walker that goes on where the walk ended.
func (p *past) goOn(forked map[stock.Position]bool) walker {
	w := p.walker
	w.forked, w.missing, w.breaches = forked, slices.Clone(w.missing), slices.Clone(w.breaches)
	return w
}

// found returns how many findings the walk has.
func (p *past) found() int { return len(p.missing) + len(p.breaches) + len(p.rivals) + len(p.late) }

// began returns the position from which on the view or its walk has all events.
func (v *View) began() stock.Position {
	if v.past != nil {
		return v.past.from
	}
	return v.From
}

// shorten walks along the older events and drops those that the ledger has. It keeps a number of events up to the cut, and up
// to the position to which the ledger was read. It also keeps each event that the ledger lacks, because it is under way.
func (v *View) shorten(read stock.Position, keep int) {
	v.shortenTail(keep)
	if v.Redis == nil {
		return
	}
	if v.Redis.Less(read) {
		read = v.Redis.Position
	}
	c, w := history(v)
	n, up := slices.BinarySearchFunc(c.list, read, func(e Event, m stock.Position) int { return e.Compare(m) })
	if up {
		n++
	}
	if n -= keep; n < 1 || !v.From.Less(c.list[n].Position) {
		return
	}
	to := c.list[n].Position
	c.walk(&w, v, func(e *Event) bool { return e.Less(to) })
	p := &past{from: v.began(), open: map[stock.ReservationID]Event{}}
	if v.past != nil {
		p.open, p.events = v.past.open, v.past.events
	}
	for _, pair := range c.rivals {
		if pair[0].Less(to) {
			p.rivals = append(p.rivals, pair)
		} else {
			delete(w.forked, pair[0].Position) // they are met again
		}
	}
	p.walker = w
	p.late = slices.DeleteFunc(c.late, func(e Event) bool { return !e.Less(to) })
	left := make([]Event, 0, len(v.Events))
	for _, e := range c.list[:n] {
		if !v.walked(&e) {
			p.step(&e)
		}
		if e.Store != InLedger {
			left = append(left, e)
		}
	}
	for i := range v.Events {
		if !v.Events[i].Less(to) {
			left = append(left, v.Events[i])
		}
	}
	v.past, v.From, v.Events = p, to, left
}

// step notes an event of the walk.
func (p *past) step(e *Event) {
	p.events++
	switch {
	case e.Kind.Adjusts():
	case e.Kind.State() == stock.StateHeld:
		p.open[e.Reservation] = *e
	default:
		delete(p.open, e.Reservation)
	}
}

// shortenTail drops events of the ledger beyond the cut, except the first ones and the last: these show what Redis has lost.
func (v *View) shortenTail(keep int) {
	isBeyond := func(e Event) bool { return e.Store == InLedger && (v.Redis == nil || v.Redis.Less(e.Position)) }
	var beyond []Event
	for _, e := range v.Events {
		if isBeyond(e) {
			beyond = append(beyond, e)
		}
	}
	if len(beyond) <= max(keep, 2*proofsMax) {
		return
	}
	slices.SortFunc(beyond, func(a, b Event) int { return a.Compare(b.Position) })
	v.Events = slices.DeleteFunc(v.Events, isBeyond)
	v.Events = append(append(v.Events, beyond[:proofsMax]...), beyond[len(beyond)-1])
	v.cropped = true
}

// inLedger returns how many of the view's events are of the ledger.
func (v *View) inLedger() (n int) {
	for i := range v.Events {
		if v.Events[i].Store == InLedger {
			n++
		}
	}
	return n
}

// open returns the reservations that the walk left held, with their last events.
func (v *View) open() map[stock.ReservationID]Event {
	if v.past == nil {
		return nil
	}
	return v.past.open
}

// unlisted returns the last events of open reservations whose row in MySQL is missing, or is of another event.
func (v *View) unlisted() (events []Event) {
	rows := v.rows()
	for id, e := range v.open() {
		if row := rows[id]; row == nil || row.Position() != e.Position {
			events = append(events, e)
		}
	}
	return events
}
