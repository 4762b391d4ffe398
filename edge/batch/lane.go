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
func (b *Batcher) enqueue(op stock.Op, r *stock.Request, replicate bool) (ticket, error) {
	if err := r.Check(op, len(b.routes)); err != nil {
		return ticket{}, err
	}
	n := b.routes[r.ID.Partition()].Load()
	if breaker := n.breaker.Load(); breaker.open.Load() {
		return ticket{}, breaker.refuse(1)
	}
	l := &n.plain
	if replicate {
		l = &n.replicating
	}

	l.mu.Lock()
	t, start, err := l.queue.join(op, r)
	if err == nil && t.i == 0 {
		t.group.since = time.Now()
	}
	if start != nobody {
		b.work.Add(1) // under the lock: never after draining was set
	}
	l.mu.Unlock()

	if start != nobody {
		go (&runner{Batcher: b, node: n, lane: l, role: start}).run()
	}
	if errors.Is(err, ErrFull) {
		b.meter.full.Inc()
	}
	return t, err
}
