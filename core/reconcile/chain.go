package reconcile

import (
	"cmp"
	"fmt"
	"slices"

	"sluice/core/event"
	"sluice/core/stock"
)

// span is a run of events that nobody has.
type span struct {
	epoch       uint32
	first, last uint64
	left, found stock.Balances // by the event before it, and by what comes after it
	sinceMS     int64
}

func (s span) has(m stock.Position) bool {
	return m.Epoch == s.epoch && m.Seq >= s.first && m.Seq <= s.last
}

// breach is an event that does not follow from the one before.
type breach struct {
	at          Event
	left, found stock.Balances
	sinceMS     int64
	edited      bool // its own balances are wrong: those after it follow from what it should have left
}

// chain is a cell's history as far as it is known, one event at each position.
type chain struct {
	list     []Event
	rivals   [][2]Event // two that are at one position
	late     []Event    // beyond the event that a rebase went on from: their effects were declared lost
	missing  []span     // except those that a rebase declared lost
	breaches []breach
	truth    map[stock.Position]stock.Balances // after each event, where its own are wrong
	forked   map[stock.Position]bool
}

// newChain orders what is known and walks along it up to the cut. Letters tell where forks are known to be.
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

// merge puts events in order. Of those at one position the ledger's is kept, else the outbox'.
func (c *chain) merge(v *View) {
	all := slices.DeleteFunc(slices.Clone(v.Events), func(e Event) bool { return e.Less(v.From) })
	ends := map[uint32]uint64{} // by epoch: the seq at which a rebase ended it
	for i := range all {
		if e := &all[i]; e.Kind == event.KindRebase {
			ends[e.Change.From.Epoch] = e.Change.From.Seq
		}
	}
	rank := map[Store]int{InLedger: 0, InOutbox: 1, InKafka: 2}
	slices.SortStableFunc(all, func(a, b Event) int {
		return cmp.Or(comparePositions(a.Position, b.Position), cmp.Compare(rank[a.Store], rank[b.Store]))
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

func comparePositions(a, b stock.Position) int {
	return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq))
}

// walk finds where the history up to the cut has gaps, and where it does not follow from itself. Beyond the cut an event
// may be under way that nobody has read. A rebase states what there is: whoever made it knew what was missing by then.
func (c *chain) walk(v *View) {
	cut := v.Redis.Position
	w := walker{at: v.From, known: true} // before its first event a cell is empty
	if v.From.Seq == 0 {
		w.at.Epoch = 1
	} else if c.at(v.From) == nil && !cut.Less(v.From) {
		w.at.Seq-- // somebody took the row out of the ledger
		w.known = false
	}
	for i := range c.list {
		e := &c.list[i]
		if cut.Less(e.Position) {
			break
		}
		if e.Kind == event.KindRebase {
			c.missing = nil
			if e.Settles() {
				c.breaches = nil
			}
			w = walker{at: e.Position, known: true, left: e.after(), leftMS: e.TimeMS}
			continue
		}
		if e.Epoch != w.at.Epoch { // where the old epoch ended nobody knows
			w.at, w.known = stock.Position{Epoch: e.Epoch}, false
		}
		if e.Seq > w.at.Seq+1 {
			c.missing = append(c.missing, w.span(e.Seq-1, e.before()))
		} else if e.Seq == w.at.Seq+1 && w.known && e.before() != w.left && !c.forked[w.at] && !c.forked[e.Position] {
			b := breach{at: *e, left: w.left, found: e.before(), sinceMS: w.leftMS, edited: c.isEdited(i, w.left, v.Redis)}
			c.breaches = append(c.breaches, b)
			if b.edited {
				c.truth[e.Position] = e.applied(w.left)
			}
		}
		w = walker{at: e.Position, known: true, left: c.afterOf(e), leftMS: e.TimeMS}
	}
	if w.at.Less(cut) {
		if w.at.Epoch != cut.Epoch {
			w = walker{at: stock.Position{Epoch: cut.Epoch}}
		}
		c.missing = append(c.missing, w.span(cut.Seq, v.Redis.Balances))
	}
}

// walker is where a walk has come to.
type walker struct {
	at     stock.Position
	known  bool // what was left there
	left   stock.Balances
	leftMS int64
}

// span is all from where the walk is up to a seq.
func (w *walker) span(last uint64, found stock.Balances) span {
	s := span{w.at.Epoch, w.at.Seq + 1, last, w.left, found, w.leftMS}
	if !w.known {
		s.left = found
	}
	return s
}

// isEdited tells whether the event at i is wrong itself, as what comes after it shows: the event after it, or Redis where
// it is the last one.
func (c *chain) isEdited(i int, left stock.Balances, redis *stock.CellState) bool {
	e := &c.list[i]
	should := e.applied(left)
	if i+1 < len(c.list) && c.list[i+1].Epoch == e.Epoch && c.list[i+1].Seq == e.Seq+1 {
		return c.list[i+1].before() == should
	}
	return redis != nil && redis.Position == e.Position && redis.Balances == should
}

// afterOf are the balances that an event really left.
func (c *chain) afterOf(e *Event) stock.Balances {
	if b, ok := c.truth[e.Position]; ok {
		return b
	}
	return e.after()
}

// at is the event of a position, nil if it is not known.
func (c *chain) at(m stock.Position) *Event {
	i, ok := slices.BinarySearchFunc(c.list, m, func(e Event, m stock.Position) int { return comparePositions(e.Position, m) })
	if !ok {
		return nil
	}
	return &c.list[i]
}

// isMissing tells whether nobody has the event of a position that must have been.
func (c *chain) isMissing(m stock.Position) bool {
	return slices.ContainsFunc(c.missing, func(s span) bool { return s.has(m) })
}

// lacks tells whether nobody has the event of a seq that must have been, in whichever epoch.
func (c *chain) lacks(seq uint64) bool {
	return slices.ContainsFunc(c.missing, func(s span) bool { return s.first <= seq && seq <= s.last })
}

// lastInLedger is the newest event that the ledger has, nil if there is none.
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
