package outbox

import (
	"context"
	"sync"
	"time"

	"sluice/core/stock"
)

// waiting is an entry on its way to Kafka.
type waiting struct {
	stock.Entry
	since time.Time
	done  func(error) // nil: nobody waits
}

func (w *waiting) bytes() int64 { return int64(len(w.Data)) + entryOverhead }

// queue holds the entries for one Kafka partition. While one request is under way, and for a moment after it, the
// entries of the next request gather, because a request costs Kafka far more than an entry does. An entry that
// somebody waits for ends that moment.
type queue struct {
	partition int
	wake      chan struct{} // holds a token when the queue may have entries
	hurry     chan struct{} // holds a token when somebody waits

	mu       sync.Mutex
	closed   bool
	queued   []waiting
	inFlight []waiting // entries of the request under way
	pushed   uint64    // entries accepted, in all
	finished uint64    // of these, entries that are in Kafka or given up
	flushes  []flush
}

type flush struct {
	target uint64 // of queue.finished
	done   chan struct{}
}

func (q *queue) push(w waiting) bool {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false
	}
	q.queued = append(q.queued, w)
	q.pushed++
	q.mu.Unlock()
	signal(q.wake)
	if w.done != nil {
		signal(q.hurry)
	}
	return true
}

// signal leaves a token, unless one is there already.
func signal(tokens chan struct{}) {
	select {
	case tokens <- struct{}{}:
	default:
	}
}

// next takes the entries of one request off the queue.
func (q *queue) next() []waiting {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, bytes := 0, int64(0)
	for n < len(q.queued) && n < writeEntriesMax && (n == 0 || bytes+q.queued[n].bytes() <= writeBytesMax) {
		bytes += q.queued[n].bytes()
		n++
	}
	q.inFlight = q.queued[:n:n]
	q.queued = q.queued[n:]
	if len(q.queued) == 0 {
		q.queued = nil // otherwise its array would keep the data of everything sent
	}
	return q.inFlight
}

// finish notes that the request under way has ended.
func (q *queue) finish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.finished += uint64(len(q.inFlight))
	q.inFlight = nil
	open := q.flushes[:0]
	for _, f := range q.flushes {
		if f.target <= q.finished {
			close(f.done)
		} else {
			open = append(open, f)
		}
	}
	q.flushes = open
}

// flushed returns a channel that closes once every entry accepted so far is finished.
func (q *queue) flushed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := flush{target: q.pushed, done: make(chan struct{})}
	if f.target <= q.finished {
		close(f.done)
	} else {
		q.flushes = append(q.flushes, f)
		signal(q.hurry)
	}
	return f.done
}

// oldest returns since when the oldest unfinished entry has been waiting.
func (q *queue) oldest() (since time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, entries := range [][]waiting{q.inFlight, q.queued} {
		if len(entries) > 0 {
			return entries[0].since, true
		}
	}
	return time.Time{}, false
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.queued) == 0
}

// gather waits for further entries: for a moment, or until somebody waits for one.
func (q *queue) gather(ctx context.Context) {
	select {
	case <-q.hurry:
	case <-time.After(linger):
	case <-ctx.Done():
	}
}
