package batch

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"sluice/core/stock"
)

// lane is a queue of requests to one Redis node, with its lock.
type lane struct {
	replicate bool // its calls wait for a replica

	mu    sync.Mutex
	queue queue
}

// node has the lanes of one Redis node. There are two, so that a request that needs no replica never waits for one.
type node struct {
	plain, replicating lane

	breaker atomic.Pointer[breaker] // of the server that the node serves
}

func (b *Batcher) newNode() *node {
	n := &node{}
	n.replicating.replicate = true
	for _, l := range n.lanes() {
		l.queue = newQueue(b.cfg, len(b.routes), func() *group { return b.groups.Get().(*group) })
		l.queue.draining = b.draining
	}
	return n
}

func (n *node) lanes() [2]*lane { return [2]*lane{&n.plain, &n.replicating} }

// enqueue puts a request into the group in which it will travel.
func (b *Batcher) enqueue(op stock.Op, r *stock.Request, replicate bool) (t ticket, err error) {
	if err := r.Check(op, len(b.routes)); err != nil {
		return ticket{}, err
	}
	n, l, err := b.laneOf(r.ID.Partition(), replicate, 1)
	if err != nil {
		return ticket{}, err
	}
	l.mu.Lock()
	t, start, err := l.queue.join(op, r)
	if err == nil && t.i == 0 {
		t.group.since = time.Now()
	}
	b.starts(start)
	l.mu.Unlock()
	b.start(n, l, start)
	if errors.Is(err, ErrFull) {
		b.meter.full.Inc()
	}
	return t, err
}

// enqueuePart puts requests into one group.
func (b *Batcher) enqueuePart(op stock.Op, requests []stock.Request, replicate bool) (tickets []ticket, err error) {
	partition := requests[0].ID.Partition()
	if err := (&stock.Vector{Op: op, Partition: partition, Requests: requests}).Check(len(b.routes)); err != nil {
		return nil, err
	}
	n, l, err := b.laneOf(partition, replicate, len(requests))
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	tickets, start, err := l.queue.joinPart(op, requests)
	if err == nil && tickets[0].i == 0 {
		tickets[0].group.since = time.Now()
	}
	b.starts(start)
	l.mu.Unlock()
	b.start(n, l, start)
	if errors.Is(err, ErrFull) {
		b.meter.full.Inc()
	}
	return tickets, err
}

// laneOf returns the lane in which requests of a partition wait. It fails while the partition's server does not answer.
func (b *Batcher) laneOf(partition int, replicate bool, requests int) (*node, *lane, error) {
	n := b.routes[partition].Load()
	if breaker := n.breaker.Load(); breaker.open.Load() {
		return nil, nil, breaker.refuse(requests)
	}
	if replicate {
		return n, &n.replicating, nil
	}
	return n, &n.plain, nil
}

// starts counts a runner that has to start, under the lock of its lane: never after draining was set.
func (b *Batcher) starts(r role) {
	if r != nobody {
		b.work.Add(1)
	}
}

func (b *Batcher) start(n *node, l *lane, r role) {
	if r != nobody {
		go (&runner{Batcher: b, node: n, lane: l, role: r}).run()
	}
}
