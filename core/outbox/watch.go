package outbox

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// watch is what a relay has seen of one partition's outbox. Ages are measured by how long the relay has
// known an entry: its id holds Redis time, and clocks differ.
type watch struct {
	seen []sighting // of last entries, in the order of time, not yet old
	old  string     // the newest entry that is old; empty: none is known to be

	stuck  string        // the first entry, published but still there
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

// see notes the partition's last entry. Looks are far enough apart for seen to stay short.
func (w *watch) see(now time.Time, age time.Duration, last string) {
	w.seen = append(w.seen, sighting{now, last})
	for len(w.seen) > 0 && now.Sub(w.seen[0].at) >= age {
		w.old = w.seen[0].id
		w.seen = w.seen[1:]
	}
}

// unknown is the offset of what may just have been published.
const unknown = -1

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
