package batch

import (
	"sync"
	"sync/atomic"
	"time"

	"sluice/core/stock"
)

// shedsFor is how long a lane counts as shedding after it has last refused a request.
const shedsFor = time.Second

// takes says whether an operation takes units from shoppers. The others settle what was taken, or add to it: they have a
// share of a lane of their own, and go first.
func takes(op stock.Op) bool {
	return op == stock.OpReserve || op == stock.OpDeduct || op == stock.OpGather
}

// takers counts the requests of a lane that take units, and limits how many there may be: as many as the server decides in
// the time target. It learns that from each call: its oldest request found so many there, and has waited for so long.
//
// The server's fastest answer would be no measure: it is that of a vector of one, and a lane that is held to it sends
// small vectors only, which a server decides at a fraction of its rate.
type takers struct {
	target      time.Duration                     // from joining the lane to the answer of the call
	starved     func(now time.Time) time.Duration // how much of a wait the edge lately spent waiting for its own cores
	least, most int64                             // bounds of limit

	limit  atomic.Int64
	taking atomic.Int64 // that wait, or are in a call
	shed   atomic.Int64 // when the lane last refused one, in ns since the epoch

	share share // of users, while the lane sheds; the lane guards it

	learning sync.Mutex
	falling  time.Time // when a fall of the limit last began
	floor    int64     // below which that fall does not go
}

// begin readies a new one. least keeps a slow server's vectors full: one is in a call while another fills.
func (t *takers) begin(cfg Config) {
	t.target, t.most, t.starved = cfg.ShedAfter, int64(cfg.QueueMax), cfg.starved
	t.least = min(2*int64(cfg.VectorMax), t.most)
	t.limit.Store(t.most)
}

// full says whether no request that takes units gets in, and remembers that one was refused.
func (t *takers) full() bool {
	if t.taking.Load() < t.limit.Load() {
		return false
	}
	t.shed.Store(time.Now().UnixNano())
	return true
}

// join lets requests of a user in that take units, or says why not.
func (t *takers) join(user int64, requests int) error {
	if t.full() {
		return ErrFull
	}
	if shed := t.shed.Load(); shed != 0 {
		now := time.Now()
		if now.UnixNano()-shed > int64(shedsFor) {
			t.shed.CompareAndSwap(shed, 0)
		} else if !t.share.take(user, t.taking.Load(), t.limit.Load(), now) {
			t.shed.Store(now.UnixNano())
			return ErrShare
		}
	}
	t.taking.Add(int64(requests))
	return nil
}

// leave lets the requests of a call out.
func (t *takers) leave(groups []*group) {
	for _, g := range groups {
		if takes(g.vector.Op) {
			t.taking.Add(-int64(len(g.vector.Requests)))
		}
	}
}

// learn moves the limit after a call. One that failed raises nothing: a server that refuses everything at once decides nothing.
func (t *takers) learn(groups []*group, ended time.Time) {
	var oldest *group
	for _, g := range groups {
		if takes(g.vector.Op) && (oldest == nil || g.since.Before(oldest.since)) {
			oldest = g
		}
	}
	if oldest == nil {
		return
	}
	t.learning.Lock()
	defer t.learning.Unlock()
	limit := t.limit.Load()
	next := t.next(limit, oldest.found, ended.Sub(oldest.since), t.starved(ended))
	switch {
	case next < limit:
		if ended.Sub(t.falling) >= t.target {
			t.falling, t.floor = ended, limit/2
		}
		next = max(next, t.floor)
	case oldest.vector.Err != nil:
		return
	}
	t.limit.Store(min(max(next, t.least), t.most))
}

// next returns the limit after a request that found so many others has waited for so long. It rises to twice at most, and
// only if so many really came. If the wait was too long the limit falls, as deep as learn lets it: all calls of one moment, and
// those who waited for them, tell of the same stop of the server. A wait among few says nothing: so many get in anyway.
//
// What the edge spent waiting for its own cores is no time of the server's, and does not get shorter if fewer are let in: those who are
// refused take cores too. It lowers no limit. It excuses half of a wait at most, so nobody hides for long behind it, and raises nothing.
func (t *takers) next(limit, found int64, waited, own time.Duration) int64 {
	if waited <= t.target {
		return max(limit, min(t.carried(found, waited), 2*limit))
	}
	if server := waited - min(own, waited/2); server > t.target && found > t.least {
		return min(t.carried(found, server), limit)
	}
	return limit
}

// carried is how many a server decides in the target that decides so many in a time.
func (t *takers) carried(found int64, waited time.Duration) int64 {
	return int64(float64(found) * float64(t.target) / float64(max(waited, 1)))
}
