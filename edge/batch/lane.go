package batch

import (
	"sync"
	"time"

	"sluice/core/stock"
)

// opCount is one more than the highest operation.
const opCount = int(stock.OpAdjust) + 1

// lane is a queue of requests to one Redis node. While requests wait, one base runner exists. Whenever its call
// returns, it takes the oldest vectors. Extra runners take full vectors only, so that vectors stay large.
type lane struct {
	replicate bool // its calls wait for a replica

	mu       sync.Mutex
	queue    []*group
	open     []*group // the group that still takes requests, by partition and operation
	queued   int      // requests of queue
	full     int      // groups of queue that are full
	base     bool     // the base runner exists
	extra    int      // extra runners
	draining bool
}

// node has the lanes of one Redis node. There are two, so that a request that needs no replica never waits for one.
type node struct {
	plain, replicating lane
}

func newNode(partitions int, draining bool) *node {
	n := &node{}
	n.replicating.replicate = true
	for _, l := range n.lanes() {
		l.open = make([]*group, partitions*opCount)
		l.draining = draining
	}
	return n
}

func (n *node) lanes() [2]*lane { return [2]*lane{&n.plain, &n.replicating} }

// slotOf returns the place of a partition and operation in lane.open.
func slotOf(partition int, op stock.Op) int { return partition*opCount + int(op) }

// enqueue puts a request into the group in which it will travel.
func (b *Batcher) enqueue(op stock.Op, r *stock.Request, replicate bool) (ticket, error) {
	if err := r.Check(op, len(b.routes)); err != nil {
		return ticket{}, err
	}
	partition := r.ID.Partition()
	l := &b.routes[partition].Load().plain
	if replicate {
		l = &b.routes[partition].Load().replicating
	}
	slot := slotOf(partition, op)

	l.mu.Lock()
	if l.draining || l.queued >= b.cfg.QueueMax {
		draining := l.draining
		l.mu.Unlock()
		if draining {
			return ticket{}, ErrDraining
		}
		b.meter.full.Inc()
		return ticket{}, ErrFull
	}
	g := l.open[slot]
	if g == nil {
		g = b.groups.Get().(*group)
		g.open(op, partition, time.Now())
		l.open[slot] = g
		l.queue = append(l.queue, g)
	}
	t := g.add(r)
	l.queued++
	// Adjustments travel alone, because a store may refuse a whole vector for one of them.
	if g.full = t.i+1 == cap(g.vector.Requests) || op == stock.OpAdjust; g.full {
		l.open[slot] = nil
		l.full++
	}
	base := !l.base
	extra := !base && l.full > l.extra && l.extra < b.cfg.InFlightMax-1
	if base {
		l.base = true
	}
	if extra {
		l.extra++
	}
	if base || extra {
		b.work.Add(1) // under the lock: never after draining was set
	}
	l.mu.Unlock()

	if base || extra {
		go (&runner{Batcher: b, lane: l, base: base}).run()
	}
	return t, nil
}

// take moves the oldest groups from the queue to dst, at most most of them. With full it moves full groups only.
func (l *lane) take(dst []*group, most int, full bool) []*group {
	waiting := l.queue[:0]
	for _, g := range l.queue {
		if len(dst) == most || full && !g.full {
			waiting = append(waiting, g)
			continue
		}
		dst = append(dst, g)
		l.queued -= len(g.vector.Requests)
		if g.full {
			l.full--
		} else {
			l.open[slotOf(g.vector.Partition, g.vector.Op)] = nil
		}
	}
	clear(l.queue[len(waiting):])
	l.queue = waiting
	return dst
}
