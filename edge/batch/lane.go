package batch

import (
	"sync"
	"sync/atomic"
	"time"

	"sluice/core/stock"
)

// lane is a queue of requests to one Redis node, with its lock.
type lane struct {
	replicate bool // its calls wait for a replica

	mu     sync.Mutex
	queue  queue
	takers takers
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
		l.takers.begin(b.cfg)
	}
	return n
}

func (n *node) lanes() [2]*lane { return [2]*lane{&n.plain, &n.replicating} }

// enqueue puts a request into the group in which it will travel. again says that the lanes have let it in before.
func (b *Batcher) enqueue(op stock.Op, r *stock.Request, replicate, again bool) (t ticket, err error) {
	if err := r.Check(op, len(b.routes)); err != nil {
		return ticket{}, err
	}
	n, l, err := b.laneOf(r.ID.Partition(), replicate, 1)
	if err != nil {
		return ticket{}, err
	}
	var start role
	l.mu.Lock()
	if err = l.admit(op, r.User, 1, again); err == nil {
		t, start = l.queue.join(op, r)
		l.joined(t)
	}
	b.starts(start)
	l.mu.Unlock()
	b.start(n, l, start)
	b.meter.admitted(err)
	return t, err
}

// enqueuePart puts requests into one group. again says that the lanes have let them in before, or their basket's part at home: what
// has begun goes on, or nobody could tell the shopper how it ended.
func (b *Batcher) enqueuePart(op stock.Op, requests []stock.Request, replicate, again bool) (tickets []ticket, err error) {
	partition := requests[0].ID.Partition()
	if err := (&stock.Vector{Op: op, Partition: partition, Requests: requests}).Check(len(b.routes)); err != nil {
		return nil, err
	}
	n, l, err := b.laneOf(partition, replicate, len(requests))
	if err != nil {
		return nil, err
	}
	var start role
	l.mu.Lock()
	if err = l.admit(op, requests[0].User, len(requests), again); err == nil {
		tickets, start = l.queue.joinPart(op, requests)
		l.joined(tickets[0])
	}
	b.starts(start)
	l.mu.Unlock()
	b.start(n, l, start)
	b.meter.admitted(err)
	return tickets, err
}

// admit says whether requests of a user have room. Those that were let in before have.
func (l *lane) admit(op stock.Op, user int64, requests int, again bool) error {
	if again {
		if l.queue.draining {
			return ErrDraining
		}
		if takes(op) {
			l.takers.taking.Add(int64(requests))
		}
		return nil
	}
	if err := l.queue.admit(op); err != nil || !takes(op) {
		return err
	}
	return l.takers.join(user, requests)
}

// joined notes when the first request of a group came, and what it found.
func (l *lane) joined(first ticket) {
	if g := first.group; first.i == 0 {
		g.since, g.found = time.Now(), l.takers.taking.Load()
	}
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
