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

// lane is a queue of requests to one Redis node. While anything waits, one base runner exists that
// takes all of it whenever its call returns; extra runners take full vectors only, so that vectors
// stay large.
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

// node is the lanes of one Redis node: nobody waits for a replica because of others.
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
	slot := partition*opCount + int(op)

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
		g.open(op, partition, b.cfg.Now())
		l.open[slot] = g
		l.queue = append(l.queue, g)
	}
	t := g.add(r)
	l.queued++
	// Adjustments travel alone: a store may call a whole vector off because of one of them.
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
		go b.run(l, base)
	}
	return t, nil
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
		if g.full {
			l.queue = append(l.queue[:i], l.queue[i+1:]...)
			l.queued -= len(g.vector.Requests)
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
		vectors = b.call(groups, vectors[:0], l.replicate)
		clear(groups) // they may be in use again
	}
}

// call decides groups in one pipeline and answers all who wait for them.
func (b *Batcher) call(groups []*group, vectors []*stock.Vector, replicate bool) []*stock.Vector {
	sent := b.cfg.Now()
	for _, g := range groups {
		v := &g.vector
		b.cells.Prepare(v.Partition, v.Requests)
		v.Replicate = replicate
		vectors = append(vectors, v)
		b.meter.sending(v, sent.Sub(g.since))
	}
	b.inFlight.Add(1)
	b.do(vectors)
	b.inFlight.Add(-1)

	for _, g := range groups {
		b.finish(g, sent)
	}
	b.reroute()
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
		g.answer()
		return
	}
	b.cells.Observe(v.Partition, v.Cells, sent)
	g.proof = proof{replicate: v.Replicate, replicated: v.Replicated}
	entry := v.Entry
	replica, log := b.levels(v.Cells)
	if replica {
		b.replicas.Store(true)
	}
	if log && entry.ID != "" {
		g.proof.log = newLogging()
	}
	waited := g.proof.log
	g.answer()
	if entry.ID != "" {
		b.publish(entry, waited)
	}
}
