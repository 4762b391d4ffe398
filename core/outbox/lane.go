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

// lane is the queue of one Kafka partition. While one request is under way, and for a moment after it,
// the next one's entries gather: a request costs Kafka far more than an entry does. Somebody who waits
// for an entry ends that moment.
type lane struct {
	partition int
	wake      chan struct{} // holds a token when the queue may be no longer empty
	hurry     chan struct{} // holds a token when somebody waits

	mu       sync.Mutex
	closed   bool
	queue    []waiting
	inFlight []waiting // what the request under way carries
	pushed   uint64    // entries ever taken
	settled  uint64    // of those, the ones that are in Kafka or given up
	flushes  []flush
}

type flush struct {
	target uint64 // of lane.settled
	done   chan struct{}
}

func (l *lane) push(w waiting) bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.queue = append(l.queue, w)
	l.pushed++
	l.mu.Unlock()
	signal(l.wake)
	if w.done != nil {
		signal(l.hurry)
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
func (l *lane) next() []waiting {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, bytes := 0, int64(0)
	for n < len(l.queue) && n < writeEntriesMax && (n == 0 || bytes+l.queue[n].bytes() <= writeBytesMax) {
		bytes += l.queue[n].bytes()
		n++
	}
	l.inFlight = l.queue[:n:n]
	l.queue = l.queue[n:]
	if len(l.queue) == 0 {
		l.queue = nil // or its array would keep the data of all that was sent
	}
	return l.inFlight
}

// settle notes that the request under way has ended.
func (l *lane) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled += uint64(len(l.inFlight))
	l.inFlight = nil
	open := l.flushes[:0]
	for _, f := range l.flushes {
		if f.target <= l.settled {
			close(f.done)
		} else {
			open = append(open, f)
		}
	}
	l.flushes = open
}

// flushed returns a channel that is closed once everything taken so far is settled.
func (l *lane) flushed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := flush{target: l.pushed, done: make(chan struct{})}
	if f.target <= l.settled {
		close(f.done)
	} else {
		l.flushes = append(l.flushes, f)
		signal(l.hurry)
	}
	return f.done
}

// oldest tells since when the oldest entry that is not settled has been waiting.
func (l *lane) oldest() (since time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, entries := range [][]waiting{l.inFlight, l.queue} {
		if len(entries) > 0 {
			return entries[0].since, true
		}
	}
	return time.Time{}, false
}

func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

func (l *lane) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) == 0
}

// gather lets entries come together until somebody waits for one of them.
func (l *lane) gather(ctx context.Context) {
	select {
	case <-l.hurry:
	case <-time.After(linger):
	case <-ctx.Done():
	}
}
