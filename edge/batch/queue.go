package batch

import (
	"math"

	"sluice/core/stock"
)

// opCount is one more than the highest operation.
const opCount = int(stock.OpVoid) + 1

// callVectors is the number of vectors of one call. If requests are spread over many partitions, the other vectors
// gather more requests during the call. They become up to twice as large, which saves 15 % of Redis' CPU. The number
// also bounds how long one call takes.
const callVectors = 8

// queue decides which group a request joins, when a runner starts, and which groups a runner sends. It does no I/O,
// starts nothing and reads no clock: a lane guards it, and does what it says.
type queue struct {
	requestsMax int           // so many requests of a class may wait
	extrasMax   int           // so many runners may exist beside the base
	fresh       func() *group // returns a group that nobody uses

	waiting  [classes][]*group // oldest first
	requests [classes]int      // in waiting
	open     []*group          // the group that still accepts requests, by partition and operation
	full     int               // full groups in waiting
	base     bool              // the base runner exists
	extras   int               // extra runners that exist
	draining bool
}

// The classes of requests. Each has its own room in a queue.
const (
	settling = iota // goes first
	taking
	classes
)

func classOf(op stock.Op) int {
	if takes(op) {
		return taking
	}
	return settling
}

// role says which groups a runner sends. While requests wait, one base runner exists.
type role uint8

const (
	nobody role = iota
	base        // sends the oldest groups, whenever its call returns
	extra       // sends full groups only, so that vectors stay large
)

func newQueue(cfg Config, partitions int, fresh func() *group) queue {
	return queue{requestsMax: cfg.QueueMax, extrasMax: cfg.InFlightMax - 1, fresh: fresh, open: make([]*group, partitions*opCount)}
}

// slotOf returns the place of a partition and operation in queue.open.
func slotOf(partition int, op stock.Op) int { return partition*opCount + int(op) }

// join puts a request that was admitted into the group in which it will travel, and says which runner has to start.
func (q *queue) join(op stock.Op, r *stock.Request) (t ticket, start role) {
	g := q.groupFor(op, r.ID.Partition(), 1)
	t = g.add(r)
	return t, q.joined(g, 1)
}

// joinPart is join for requests that travel in one group.
func (q *queue) joinPart(op stock.Op, requests []stock.Request) (tickets []ticket, start role) {
	g := q.groupFor(op, requests[0].ID.Partition(), len(requests))
	tickets = make([]ticket, len(requests))
	for i := range requests {
		tickets[i] = g.add(&requests[i])
	}
	return tickets, q.joined(g, len(requests))
}

// admit says whether there is room for a request of an operation.
func (q *queue) admit(op stock.Op) error {
	switch {
	case q.draining:
		return ErrDraining
	case q.requests[classOf(op)] >= q.requestsMax:
		return ErrFull
	}
	return nil
}

// groupFor returns a group with room for some requests. If the open group has too little room, it is full from now on.
func (q *queue) groupFor(op stock.Op, partition, requests int) *group {
	slot := slotOf(partition, op)
	if g := q.open[slot]; g != nil && len(g.vector.Requests)+requests > cap(g.vector.Requests) {
		q.close(g)
	}
	if q.open[slot] == nil {
		g := q.fresh()
		g.open(op, partition)
		q.open[slot] = g
		class := classOf(op)
		q.waiting[class] = append(q.waiting[class], g)
	}
	return q.open[slot]
}

// close makes a group full: nobody joins it any more.
func (q *queue) close(g *group) {
	g.full = true
	q.open[slotOf(g.vector.Partition, g.vector.Op)] = nil
	q.full++
}

// joined counts requests that have joined a group, and says which runner has to start.
func (q *queue) joined(g *group, requests int) role {
	q.requests[classOf(g.vector.Op)] += requests
	// Adjustments travel alone, because a store may refuse a whole vector for one of them.
	if len(g.vector.Requests) >= cap(g.vector.Requests) || g.vector.Op == stock.OpAdjust {
		q.close(g)
	}
	switch {
	case !q.base:
		q.base = true
		return base
	case q.full > q.extras && q.extras < q.extrasMax:
		q.extras++
		return extra
	}
	return nobody
}

// next moves the groups of a runner's next call to dst. If there are none, the runner ends. failed says that the
// runner's last call has failed.
func (q *queue) next(who role, failed bool, dst []*group) []*group {
	most := callVectors
	switch {
	case who == extra:
		most = 1
	case failed:
		most = math.MaxInt // the server does not answer: requests must not wait for many more calls to it
	}
	for class := range q.waiting {
		room := most
		if class == settling && most > 1 && len(q.waiting[taking]) > 0 {
			room-- // settling goes first, but does not stop the taking
		}
		waiting := q.waiting[class][:0]
		for _, g := range q.waiting[class] {
			if len(dst) >= room || who == extra && !g.full {
				waiting = append(waiting, g)
				continue
			}
			dst = append(dst, g)
			q.requests[class] -= len(g.vector.Requests)
			if g.full {
				q.full--
			} else {
				q.open[slotOf(g.vector.Partition, g.vector.Op)] = nil
			}
		}
		clear(q.waiting[class][len(waiting):])
		q.waiting[class] = waiting
	}
	switch {
	case len(dst) > 0:
	case who == base:
		q.base = false
	default:
		q.extras--
	}
	return dst
}
