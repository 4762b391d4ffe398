package front

import (
	"strconv"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"sluice/core/problem"
)

// Answer is what the catalog has answered. It never changes once others may see it, but for its counts.
type Answer struct {
	Body    []byte           // JSON; nil: a refusal
	ETag    []byte           // with its quotes
	Matches bool             // two answers with this ETag are the same, so who has one needs no second
	Refusal *problem.Problem // nil: an answer with a body

	target  string // what was asked for
	route   *Route
	version uint64    // of what it shows; 0: it has none
	tags    [2]string // what events tell about it: what it shows, and whose it is
	begun   int64     // when it was asked for, in Unix ms
	until   int64     // how long it is fresh

	read     atomic.Uint64 // how often, since somebody looked
	checked  atomic.Uint64 // it agrees with so many events
	pinned   bool          // it stays in memory
	restored bool          // it is from before the start
}

// copy is the same answer, that stays in memory or not.
func (a *Answer) copy(pinned bool) *Answer {
	c := &Answer{
		Body: a.Body, ETag: a.ETag, Matches: a.Matches, Refusal: a.Refusal, target: a.target, route: a.route, version: a.version, tags: a.tags,
		begun: a.begun, until: a.until, pinned: pinned, restored: a.restored,
	}
	c.checked.Store(a.checked.Load())
	return c
}

// overhead is about what an answer takes in memory beside its texts.
const overhead = 400

func (a *Answer) bytes() int {
	n := overhead + len(a.target) + len(a.Body) + len(a.ETag)
	if a.Refusal != nil {
		n += len(a.Refusal.Detail) + len(a.Refusal.Pointer)
	}
	return n
}

// hashed is an ETag for a body of which the catalog gives none.
func hashed(body []byte) []byte {
	return append(strconv.AppendUint([]byte{'"', 'h'}, xxhash.Sum64(body), 36), '"')
}
