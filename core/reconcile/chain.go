package reconcile

import (
	"cmp"
	"fmt"
	"maps"
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

// newChain orders the known events and walks along them up to the cut.
func newChain(v *View) *chain {
	c, w := history(v)
	c.walk(&w, v, func(e *Event) bool { return !v.Redis.Less(e.Position) })
	w.end(v.Redis.Position, v.Redis.Balances)
	c.missing, c.breaches = w.missing, w.breaches
	return c
}

// history orders the known events, and returns a walker at where they begin. Dead letters say where forks are known to be.
func history(v *View) (*chain, walker) {
	c := &chain{truth: map[stock.Position]stock.Balances{}, forked: map[stock.Position]bool{}}
	if v.past != nil {
		c.rivals, c.late, c.forked = slices.Clone(v.past.rivals), slices.Clone(v.past.late), maps.Clone(v.past.forked)
	}
	for _, l := range v.Letters {
		if isFork(l.Reason) {
			c.forked[l.Position] = true
		}
	}
	c.merge(v)
	if v.past != nil {
		return c, v.past.goOn(c.forked)
	}
	w := walker{at: v.From, known: true, forked: c.forked} // before its first event a cell is empty
	if v.From.Seq == 0 {
		w.at.Epoch = 1
	} else if c.at(v.From) == nil && !v.Redis.Less(v.From) {
		w.at.Seq-- // somebody has taken the row out of the ledger
		w.known = false
	}
	return c, w
}

// merge puts events in order. If several stores have the event of a position, it keeps the ledger's, or else the
// outbox'.
func (c *chain) merge(v *View) {
	from := v.began()
	all := slices.DeleteFunc(slices.Clone(v.Events), func(e Event) bool { return e.Less(from) })
	ends := map[uint32]uint64{} // by epoch: the seq at which a rebase has ended it
	maps.Copy(ends, v.ends)
	for i := range all {
		if e := &all[i]; e.Kind == event.KindRebase {
			ends[e.Change.From.Epoch] = e.Change.From.Seq
		}
	}
	rank := map[Store]int{InLedger: 0, InOutbox: 1, InKafka: 2}
	slices.SortStableFunc(all, func(a, b Event) int {
		return cmp.Or(a.Compare(b.Position), cmp.Compare(rank[a.Store], rank[b.Store]))
	})
	c.list = all[:0]
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

// walk goes along the events from View.From on, as far as more says. It finds the places where the history has a gap, or
// does not follow from itself.
func (c *chain) walk(w *walker, v *View, more func(*Event) bool) {
	for i := range c.list {
		e := &c.list[i]
		if v.walked(e) {
			continue
		}
		if !more(e) {
			return
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
}

// edited reports whether the event itself is wrong. The next event shows that, or Redis if it is the last one.
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
