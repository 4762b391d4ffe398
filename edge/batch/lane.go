package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/core/stock"
)

// opCount is one more than the highest operation.
const opCount = int(stock.OpAdjust) + 1

// routeEvery is how often partitions are mapped to Redis nodes again.
const routeEvery = time.Second

// lane is the queue of one Redis node. While anything waits, one base runner exists that takes all
// of it whenever its call returns; extra runners take full vectors only, so that vectors stay large.
type lane struct {
	mu       sync.Mutex
	queue    []*group
	open     []*group // the group that still takes requests, by partition and operation
	queued   int      // requests of queue
	full     int      // groups of queue that are full
	base     bool     // the base runner exists
	extra    int      // extra runners
	draining bool
}

func (b *Batcher) enqueue(op stock.Op, r *stock.Request, replicate bool) (*group, int, error) {
	partition := r.ID.Partition()
	if partition >= len(b.routes) || int(op) >= opCount {
		return nil, 0, fmt.Errorf("%w: %v in partition %d of %d", stock.ErrProtocol, op, partition, len(b.routes))
	}
	l := b.routes[partition].Load()
	slot := partition*opCount + int(op)

	l.mu.Lock()
	if l.draining || l.queued >= b.cfg.QueueMax {
		draining := l.draining
		l.mu.Unlock()
		if draining {
			return nil, 0, ErrDraining
		}
		b.meter.full.Inc()
		return nil, 0, ErrFull
	}
	g := l.open[slot]
	if g == nil {
		g = b.groups.Get().(*group)
		g.open(op, partition, b.cfg.Now())
		l.open[slot] = g
		l.queue = append(l.queue, g)
	}
	i := len(g.vector.Requests)
	g.vector.Requests = append(g.vector.Requests, *r)
	g.replicate = g.replicate || replicate
	l.queued++
	if i+1 == b.cfg.VectorMax {
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
		go b.run(l, base)
	}
	return g, i, nil
}

// take moves what the runner is to send from the queue to groups. It reports false when there is
// nothing, and the runner must end.
func (l *lane) take(base bool, groups []*group) ([]*group, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if base {
		if len(l.queue) == 0 {
			l.base = false
			return nil, false
		}
		groups, l.queue = l.queue, groups[:0]
		for _, g := range groups {
			l.open[g.vector.Partition*opCount+int(g.vector.Op)] = nil
		}
		l.queued, l.full = 0, 0
		return groups, true
	}
	if l.full == 0 {
		l.extra--
		return nil, false
	}
	for i, g := range l.queue {
		if n := len(g.vector.Requests); n == cap(g.vector.Requests) {
			l.queue = append(l.queue[:i], l.queue[i+1:]...)
			l.queued -= n
			l.full--
			return append(groups[:0], g), true
		}
	}
	panic("batch: a full group is missing")
}

// run sends what waits in a lane until there is nothing for it to take.
func (b *Batcher) run(l *lane, base bool) {
	defer b.work.Done()
	groups := make([]*group, 0, 16)
	vectors := make([]*stock.Vector, 0, 16)
	for {
		var more bool
		if groups, more = l.take(base, groups); !more {
			return
		}
		vectors = b.call(groups, vectors[:0])
		clear(groups) // they may be in use again
	}
}

// call decides groups in one pipeline and answers all who wait for them.
func (b *Batcher) call(groups []*group, vectors []*stock.Vector) []*stock.Vector {
	sent := b.cfg.Now()
	for _, g := range groups {
		v := &g.vector
		g.left.Store(int32(len(v.Requests)))
		known := b.cells.Prepare(v.Partition, v.Requests)
		v.Replicate = g.replicate || known || b.cfg.Ack == stock.AckReplica
		vectors = append(vectors, v)
		b.meter.sending(v, sent.Sub(g.since))
	}
	b.inFlight.Add(1)
	b.do(vectors)
	b.inFlight.Add(-1)

	for _, g := range groups {
		b.finish(g, sent)
	}
	if b.cfg.Now().UnixNano()-b.routedAt.Load() > int64(routeEvery) {
		b.route()
	}
	return vectors
}

// do calls the store. After a panic nobody knows what was executed.
func (b *Batcher) do(vectors []*stock.Vector) {
	defer func() {
		if p := recover(); p != nil {
			b.meter.panicked(b.cfg.Log, p)
			for _, v := range vectors {
				v.Err = fmt.Errorf("%w: the call panicked: %v", stock.ErrUnknown, p)
			}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.CallTimeout)
	defer cancel()
	b.store.Do(ctx, vectors...)
}

// finish answers all who wait for a group, and publishes what it did.
func (b *Batcher) finish(g *group, sent time.Time) {
	v := &g.vector
	check(v)
	if v.Err != nil {
		b.prover.forget(v.Partition)
		if errors.Is(v.Err, stock.ErrShut) {
			b.cfg.OnShut()
		}
		close(g.done)
		return
	}
	b.cells.Observe(v.Partition, v.Cells, sent)
	g.proof = proof{replicate: v.Replicate, replicated: v.Replicated}
	entry := v.Entry
	if entry.ID != "" && b.wantsLog(v.Cells) {
		g.proof.log = newLogging()
	}
	log := g.proof.log
	close(g.done) // from here on the group is its readers'
	if entry.ID != "" {
		b.publish(entry, log)
	}
}

// route maps partitions to lanes, one for each Redis node. Partitions whose node is not known stay
// where they are.
func (b *Batcher) route() {
	b.routing.Lock()
	defer b.routing.Unlock()
	b.routedAt.Store(b.cfg.Now().UnixNano())
	lanes := make(map[string]*lane)
	for p := range b.routes {
		node, err := b.store.NodeOf(p)
		if err != nil {
			node = b.nodes[p]
		}
		if node != b.nodes[p] {
			b.nodes[p] = node
			b.prover.forget(p)
		}
		l := lanes[node]
		if l == nil {
			// Lanes have no names: any lane can serve any node, so there are never more of them
			// than nodes at one time.
			if len(lanes) == len(b.lanes) {
				b.lanes = append(b.lanes, &lane{open: make([]*group, len(b.routes)*opCount), draining: b.drained})
			}
			l = b.lanes[len(lanes)]
			lanes[node] = l
		}
		b.routes[p].Store(l)
	}
}
