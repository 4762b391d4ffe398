package reconcile

import (
	"cmp"
	"fmt"
	"slices"

	"sluice/core/event"
	"sluice/core/stock"
)

// span is a run of consecutive events that no store has.
type span struct {
	epoch       uint32
	first, last uint64
	left, found stock.Balances // the balances after the event before the span, and those that the next event found
	sinceMS     int64
}

func (s span) has(m stock.Position) bool {
	return m.Epoch == s.epoch && m.Seq >= s.first && m.Seq <= s.last
}

// breach is an event whose balances do not follow from the event before.
type breach struct {
	at          Event
	left, found stock.Balances
	sinceMS     int64
	edited      bool // its own balances are wrong: the event after it follows from the right ones
	vetted      bool // a vetting has restated the balances since
}

// chain is the known history of a cell, with one event at each position.
type chain struct {
	list     []Event
	rivals   [][2]Event // pairs of events at one position
	late     []Event    // events after the one from which a rebase went on: their effects were declared lost
	missing  []span     // without those that a rebase declared lost
	breaches []breach
	truth    map[stock.Position]stock.Balances // the right balances after each event whose own are wrong
	forked   map[stock.Position]bool
}

// newChain orders the known events and walks along them up to the cut. Dead letters say where forks are known to be.
func newChain(v *View) *chain {
	c := &chain{truth: map[stock.Position]stock.Balances{}, forked: map[stock.Position]bool{}}
	for _, l := range v.Letters {
		if isFork(l.Reason) {
			c.forked[l.Position] = true
		}
	}
	c.merge(v)
	c.walk(v)
	return c
}

// merge puts events in order. If several stores have the event of a position, it keeps the ledger's, or else the
// outbox'.
func (c *chain) merge(v *View) {
	all := slices.DeleteFunc(slices.Clone(v.Events), func(e Event) bool { return e.Less(v.From) })
	ends := map[uint32]uint64{} // by epoch: the seq at which a rebase has ended it
	for i := range all {
		if e := &all[i]; e.Kind == event.KindRebase {
			ends[e.Change.From.Epoch] = e.Change.From.Seq
		}
	}
	rank := map[Store]int{InLedger: 0, InOutbox: 1, InKafka: 2}
	slices.SortStableFunc(all, func(a, b Event) int {
		return cmp.Or(a.Compare(b.Position), cmp.Compare(rank[a.Store], rank[b.Store]))
	})
	for i := range all {
		e := &all[i]
		if end, ended := ends[e.Epoch]; ended && e.Seq > end {
			c.late = append(c.late, *e)
			continue
		}
		if len(c.list) == 0 || c.list[len(c.list)-1].Position != e.Position {
			c.list = append(c.list, *e)
			continue
		}
		if kept := &c.list[len(c.list)-1]; !kept.same(e) && !c.forked[e.Position] {
			c.forked[e.Position] = true
			c.rivals = append(c.rivals, [2]Event{*kept, *e})
		}
	}
}

// walk finds the places up to the cut where the history has a gap, or does not follow from itself. Beyond the cut, an
// event may be under way that nobody has read.
func (c *chain) walk(v *View) {
	cut := v.Redis.Position
	w := walker{at: v.From, known: true, forked: c.forked} // before its first event a cell is empty
	if v.From.Seq == 0 {
		w.at.Epoch = 1
	} else if c.at(v.From) == nil && !cut.Less(v.From) {
		w.at.Seq-- // somebody has taken the row out of the ledger
		w.known = false
	}
	for i := range c.list {
		e := &c.list[i]
		if cut.Less(e.Position) {
			break
		}
		var next *Event
		if i+1 < len(c.list) {
			next = &c.list[i+1]
		}
		w.step(e, next, v.Redis)
		if w.left != e.after() {
			c.truth[e.Position] = w.left
		}
	}
	w.end(cut, v.Redis.Balances)
	c.missing, c.breaches = w.missing, w.breaches
}

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

// step goes on to an event. next is the event after it, or nil if there is none. A rebase states the balances,
// because whoever made it knew what was missing.
func (w *walker) step(e, next *Event, redis *stock.CellState) {
	left := e.after()
	switch {
	case e.Kind == event.KindRebase:
		w.missing = nil
		if e.Settles() {
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

// edited reports whether the event itself is wrong. What comes after it shows that: the next event, or Redis if it is
// the last one.
func (e *Event) edited(left stock.Balances, next *Event, redis *stock.CellState) bool {
	should := e.applied(left)
	if next != nil && next.Epoch == e.Epoch && next.Seq == e.Seq+1 {
		return next.before() == should
	}
	return redis != nil && redis.Position == e.Position && redis.Balances == should
}

// afterOf returns the balances that an event really left.
func (c *chain) afterOf(e *Event) stock.Balances {
	if b, ok := c.truth[e.Position]; ok {
		return b
	}
	return e.after()
}

// at returns the event of a position, or nil if it is not known.
func (c *chain) at(m stock.Position) *Event {
	i, ok := slices.BinarySearchFunc(c.list, m, func(e Event, m stock.Position) int { return e.Compare(m) })
	if !ok {
		return nil
	}
	return &c.list[i]
}

// isMissing reports whether the event of a position must have existed and no store has it.
func (c *chain) isMissing(m stock.Position) bool {
	return slices.ContainsFunc(c.missing, func(s span) bool { return s.has(m) })
}

// lacks reports whether the event of a seq must have existed, in any epoch, and no store has it.
func (c *chain) lacks(seq uint64) bool {
	return slices.ContainsFunc(c.missing, func(s span) bool { return s.first <= seq && seq <= s.last })
}

// lastInLedger returns the newest event of the ledger, or nil if there is none.
func (c *chain) lastInLedger() *Event {
	for i := len(c.list) - 1; i >= 0; i-- {
		if c.list[i].Store == InLedger {
			return &c.list[i]
		}
	}
	return nil
}

func (s span) says() string {
	if s.first == s.last {
		return fmt.Sprintf("no event at %d.%d: neither ledger nor outbox nor Kafka has it", s.epoch, s.first)
	}
	return fmt.Sprintf("no events from %d.%d to %d.%d: neither ledger nor outbox nor Kafka has them", s.epoch, s.first, s.epoch, s.last)
}
