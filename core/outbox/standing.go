package outbox

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// standing says how a relay sees the outbox of one partition.
type standing uint8

const (
	young   standing = iota // every entry is young: the relay leaves it to the edge that made it
	owed                    // an old entry is after the mark: somebody must publish it
	relayed                 // every old entry was published: Kafka should have it, MySQL does not have it yet
	passed                  // as relayed, but the persisters have read past the first entry and should have deleted it
)

var standings = [...]string{young: "young", owed: "owed", relayed: "relayed", passed: "passed"}

// cause is something that a look at an outbox finds. One look may find several, in this order.
type cause uint8

const (
	nothingOld   cause = iota
	resetByOther       // another process has found that Kafka lost acknowledged entries, and has reset the mark
	lossFound          // this process's publisher has found such a loss, and this relay has not reset the mark for it
	beyondMark         // an old entry is after the mark
	withinMark         // no old entry is after the mark
	readPast           // the persisters have read past the first entry, which was published
	longPast           // they did so long ago: a deletion that is still under way cannot explain it
)

// move says how the relay acts on a cause.
type move struct {
	to      standing
	publish bool // the old entries after the mark, if the relay gets the lease
	reset   bool // the mark, so that every entry is after it
	forget  bool // which entries this process has delivered, so that the relay leaves none of them out
	forgive bool // the losses found so far: they need no reset of the mark any more
	slow    bool // the next publication of the same entry: the relay waits twice as long for it
}

// moves is the whole decision of a relay.
//
// A relay resets the mark for a loss without the lease. The holder of the lease may not know of the loss, and keeps
// the lease for as long as it has work. The publisher that found the loss has already forgotten what it delivered.
// For that reason a loss needs no reset while no entry is old: the relay publishes the young ones anyway, in their time.
var moves = map[cause]move{
	nothingOld:   {to: young, forgive: true},
	resetByOther: {to: owed, forget: true},
	lossFound:    {to: owed, reset: true, forgive: true},
	beyondMark:   {to: owed, publish: true},
	withinMark:   {to: relayed},
	readPast:     {to: passed},
	longPast:     {to: owed, publish: true, reset: true, forget: true, slow: true},
}

// outlook is a relay's memory of one partition's outbox. The age of an entry is the time for which the relay has known
// it. The entry's id holds Redis time, which does not help because clocks differ. It changes only in see, step and
// made.
type outlook struct {
	seen []sighting // of the last entry of earlier looks, in the order of time; none is old yet
	old  string     // the newest entry that is old; empty: none is

	first  string        // the first entry, if it was published and is still there
	copies []int64       // for each Kafka partition of look.kept, the offset before which a copy of first must be; nil: unknown
	read   time.Time     // when the persisters had read up to copies; zero: not yet
	wait   time.Duration // from read until the relay publishes first again

	losses int   // of this process's publisher, for which this relay has reset the mark
	resets int64 // of the mark that this relay has seen
}

type sighting struct {
	at time.Time
	id string
}

// look has the state of an outbox with an old entry, as a relay has just read it.
type look struct {
	now    time.Time
	first  string // the first entry
	mark   string // the last entry that a relay has published
	resets int64  // of the mark, in all
	losses int    // that this process's publisher has found, in all
	// kept is what the persisters have left to read in each Kafka partition that may have the entry; nil: unknown.
	kept []Range
}

// see notes the ends of the outbox, and reports whether it has an old entry. Looks are far enough apart to keep seen
// short.
func (w *outlook) see(now time.Time, age time.Duration, first, last string) bool {
	w.seen = append(w.seen, sighting{now, last})
	for len(w.seen) > 0 && now.Sub(w.seen[0].at) >= age {
		w.old = w.seen[0].id
		w.seen = w.seen[1:]
	}
	return first != "" && !entryLess(w.old, first)
}

// step returns the causes that a look finds, in order. again is the first wait for the persisters to delete an entry
// that they have read past.
func (w *outlook) step(l look, again time.Duration) (found []cause) {
	if l.resets != w.resets {
		found = append(found, resetByOther)
		w.resets = l.resets
		w.written()
	}
	if w.losses < l.losses { // in every look, until the relay has reset the mark for the loss
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

// made notes that the relay has made a move; the publishing of a move comes after it. losses are those that the look
// saw. If the move resets the mark, resets counts this reset too.
func (w *outlook) made(m move, losses int, resets int64) {
	if m.reset {
		w.resets = resets
		w.written()
	}
	if m.forgive {
		w.losses = losses
	}
	if m.slow {
		w.wait = min(2*w.wait, againMax)
	}
}

// past reports whether the persisters must have read the first entry, if Kafka has it. When a look finds an entry
// that was published and is still there, past notes where Kafka ends. The persisters are past the entry once they
// have read up to there. If nobody knows how far they have read, nothing counts as lost.
func (w *outlook) past(l look, again time.Duration) bool {
	if len(l.kept) == 0 || entryLess(l.mark, l.first) {
		return false
	}
	if l.first != w.first {
		w.first, w.wait = l.first, again
		w.written()
	}
	if len(w.copies) != len(l.kept) { // not known, or the topic was given more partitions
		w.copies = slices.Repeat([]int64{math.MaxInt64}, len(l.kept))
	}
	read := true
	for i, kept := range l.kept {
		w.copies[i] = min(w.copies[i], kept.End) // Kafka can end earlier than before, after a loss
		read = read && kept.First >= w.copies[i]
	}
	if w.read.IsZero() && read {
		w.read = l.now
	}
	return !w.read.IsZero()
}

// written notes that the entries are published again, now or soon: past has to find out anew where Kafka ends.
func (w *outlook) written() { w.copies, w.read = nil, time.Time{} }

// entryLess orders the ids of outbox entries, which are two numbers each. The empty id comes before all others.
func entryLess(a, b string) bool {
	aMS, aN := entryNumbers(a)
	bMS, bN := entryNumbers(b)
	return cmp.Or(cmp.Compare(aMS, bMS), cmp.Compare(aN, bN)) < 0
}

// entryNumbers returns the two numbers of an id that Redis made.
func entryNumbers(id string) (ms, n uint64) {
	first, second, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseUint(first, 10, 64)
	n, _ = strconv.ParseUint(second, 10, 64)
	return ms, n
}
