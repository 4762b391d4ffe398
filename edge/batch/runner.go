package batch

import (
	"context"
	"fmt"
	"time"

	"sluice/core/stock"
)

// runner sends the requests that wait in a lane, call after call, until its queue has no more for it.
type runner struct {
	*Batcher
	node    *node
	lane    *lane
	role    role
	groups  []*group
	vectors []*stock.Vector
	failed  bool // the last call
}

func (r *runner) run() {
	defer r.work.Done()
	for r.next() {
		r.call()
	}
}

// next gets the groups of the next call. It returns false if there are none.
func (r *runner) next() bool {
	r.lane.mu.Lock()
	defer r.lane.mu.Unlock()
	r.groups = r.lane.queue.next(r.role, r.failed, r.groups[:0])
	return len(r.groups) > 0
}

// call has groups decided in one pipeline, and answers everybody who waits for them.
func (r *runner) call() {
	breaker := r.node.breaker.Load()
	if breaker.open.Load() {
		r.refuse(breaker)
		return
	}
	sent := time.Now()
	r.vectors = r.vectors[:0]
	for _, g := range r.groups {
		v := &g.vector
		r.cells.Prepare(v.Partition, v.Requests)
		v.Replicate = r.lane.replicate
		r.vectors = append(r.vectors, v)
		r.meter.sending(v, sent.Sub(g.since))
	}
	r.inFlight.Add(1)
	r.do()
	r.inFlight.Add(-1)

	r.failed = false
	unheard := true // nobody has answered
	for _, g := range r.groups {
		check(&g.vector)
		r.failed = r.failed || g.vector.Err != nil
		unheard = unheard && silent(g.vector.Err)
	}
	ended := time.Now()
	r.lane.takers.learn(r.groups, ended)
	r.lane.takers.leave(r.groups)
	r.sawCall(breaker, sent, ended, unheard) // all this first: who is answered may come again at once
	for _, g := range r.groups {
		r.finish(g, sent)
	}
	clear(r.groups) // they may be in use again
	clear(r.vectors)
	r.reroute()
}

// refuse answers everybody who waits for groups that are not sent.
func (r *runner) refuse(breaker *breaker) {
	r.lane.takers.leave(r.groups)
	for _, g := range r.groups {
		g.vector.Err = breaker.refuse(len(g.vector.Requests))
		g.answer()
	}
	clear(r.groups)
}

// do calls the store. After a panic it is unknown whether the call was executed.
func (r *runner) do() {
	defer func() {
		if p := recover(); p != nil {
			r.meter.panicked(r.cfg.Log, p)
			for _, v := range r.vectors {
				v.Err = fmt.Errorf("%w: the call panicked: %v", stock.ErrUnknown, p)
			}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.CallTimeout)
	defer cancel()
	r.store.Do(ctx, r.vectors...)
}

// finish answers everybody who waits for a group, and does what follows from the answer.
func (r *runner) finish(g *group, sent time.Time) {
	v := &g.vector
	next := sequelOf(v, r.cfg.Ack)
	if next.forget {
		r.prover.forget(v.Partition)
	}
	if next.shut {
		r.cfg.OnShut()
	}
	if next.fenced {
		r.cfg.OnFence()
	}
	if next.replica {
		r.replicas.Store(true)
	}
	if next.observe {
		r.cells.Observe(v.Partition, v.Cells, sent)
		g.proof = proof{replicate: v.Replicate, replicated: v.Replicated, noReplica: v.NoReplica, mark: v.Mark}
	}
	if next.awaited {
		g.proof.delivery = newCompletion()
	}
	entry, awaited, mark := v.Entry, g.proof.delivery, v.Mark
	g.answer()
	switch {
	case next.awaited:
		r.publishWait(entry, awaited, mark, sent)
	case next.publish:
		r.publish(entry)
	}
}
