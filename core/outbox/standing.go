package outbox

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// standing is where the outbox of one partition stands for a relay.
type standing uint8

const (
	young   standing = iota // all that is there is left to the edge that made it
	owed                    // an old entry is beyond the mark
	relayed                 // no old entry is: Kafka should have them all, and MySQL has not got them yet
	passed                  // besides, the persisters have read past the first, which they should have deleted
)

var standings = [...]string{young: "young", owed: "owed", relayed: "relayed", passed: "passed"}

// cause is what a look at an outbox finds. Several may be found in one look, in this order.
type cause uint8

const (
	nothingOld   cause = iota
	resetByOther       // another process found that Kafka lacks what it had acknowledged, and has reset the mark
	lossFound          // this process's publisher found that, and the mark has not been reset for it here
	beyondMark         // an old entry is beyond the mark
	withinMark         // no old entry is beyond the mark
	readPast           // the persisters have read past the first, published entry
	longPast           // they had so long ago that a deletion under way is no reason any more
)

// move is what follows from a cause.
type move struct {
	to      standing
	publish bool // all beyond the mark, for who gets the lease
	reset   bool // the mark, so that everything is beyond it
	forget  bool // what this process has delivered: none of it is left out
}

// moves is the whole of what a relay decides. A loss is made good without the lease: who has it may not know of the
// loss, and keep it for as long as there is work. The publisher that found it has forgotten by itself.
var moves = map[cause]move{
	nothingOld:   {to: young},
	resetByOther: {to: owed, forget: true},
	lossFound:    {to: owed, reset: true},
	beyondMark:   {to: owed, publish: true},
	withinMark:   {to: relayed},
	readPast:     {to: passed},
	longPast:     {to: owed, publish: true, reset: true, forget: true},
}

// watch is what a relay has seen of one partition's outbox. Ages are measured by how long the relay has
// known an entry: its id holds Redis time, and clocks differ.
type watch struct {
	seen []sighting // of last entries, in the order of time, not yet old
	old  string     // the newest entry that is old; empty: none is known to be

	first  string        // entry, published but still there
	copies int64         // offset before which Kafka has it, if it has it; or unknown
	read   time.Time     // when the persisters had read that far; zero: not yet
	wait   time.Duration // after that it is published again

	losses int   // those of this process's publisher that were made good here
	resets int64 // of the mark, as far as they were seen
}

type sighting struct {
	at time.Time
	id string
}

// look is what a relay sees of an outbox in which something is old.
type look struct {
	now    time.Time
	first  string // entry that is there
	mark   string // the last entry that was relayed
	resets int64  // of the mark, ever
	losses int    // that this process's publisher has found, ever
	kept   *Range // what the persisters have left to read in Kafka; nil: not known
}

// unknown is the offset of what may just have been published.
const unknown = -1

// see notes the ends of the outbox, and tells whether something in it is old. Looks are far enough apart for seen to
// stay short.
func (w *watch) see(now time.Time, age time.Duration, first, last string) bool {
	w.seen = append(w.seen, sighting{now, last})
	for len(w.seen) > 0 && now.Sub(w.seen[0].at) >= age {
		w.old = w.seen[0].id
		w.seen = w.seen[1:]
	}
	return first != "" && !entryLess(w.old, first)
}

// step is what a look finds, in order. again is how long an entry may stay at first after the persisters have read
// past it.
func (w *watch) step(l look, again time.Duration) (found []cause) {
	if l.resets != w.resets {
		found = append(found, resetByOther)
		w.resets = l.resets
		w.written()
	}
	if w.losses < l.losses { // until the mark is reset for it
		found = append(found, lossFound)
		w.written()
		l.mark = ""
	}
	past := w.past(l, again)
	switch {
	case past && l.now.Sub(w.read) >= w.wait:
		return append(found, longPast)
	case entryLess(l.mark, w.old):
		return append(found, beyondMark)
	case past:
		return append(found, readPast)
	}
	return append(found, withinMark)
}

// past tells whether the persisters have read on from where Kafka ended when the first entry was found to be there
// although it had been published. If nobody knows how far they are, nothing counts as lost.
func (w *watch) past(l look, again time.Duration) bool {
	if l.kept == nil || entryLess(l.mark, l.first) {
		return false
	}
	if l.first != w.first {
		w.first, w.wait = l.first, again
		w.written()
	}
	if w.copies == unknown || w.copies > l.kept.End { // it can end earlier than it did
		w.copies = l.kept.End
	}
	if w.read.IsZero() && l.kept.First >= w.copies {
		w.read = l.now
	}
	return !w.read.IsZero()
}

// written notes that the entries were published, or are to be published again.
func (w *watch) written() { w.copies, w.read = unknown, time.Time{} }

// entryLess orders ids of outbox entries, which are two numbers. The empty id is before all others.
func entryLess(a, b string) bool {
	aMS, aN := entryNumbers(a)
	bMS, bN := entryNumbers(b)
	return cmp.Or(cmp.Compare(aMS, bMS), cmp.Compare(aN, bN)) < 0
}

// entryNumbers reads an id that Redis made.
func entryNumbers(id string) (ms, n uint64) {
	first, second, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseUint(first, 10, 64)
	n, _ = strconv.ParseUint(second, 10, 64)
	return ms, n
}
