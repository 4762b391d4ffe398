package redisstock

import (
	"context"
	"slices"
	"sync"
	"time"

	"sluice/core/stock"
)

// Do decides the vectors, in one pipeline per Redis node. See stock.Store.
func (s *Store) Do(ctx context.Context, vectors ...*stock.Vector) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout(vectors))
	defer cancel()

	var plain []*stock.Vector
	var waiting map[node][]*stock.Vector // for a replica
	for _, v := range vectors {
		v.Outcomes, v.Cells, v.Entry, v.TimeMS = v.Outcomes[:0], v.Cells[:0], stock.Entry{}, 0
		v.Replicated, v.NoReplica, v.Mark = false, false, stock.Mark{}
		if v.Err = v.Check(len(s.partitions)); v.Err != nil {
			continue
		}
		if v.Err = s.trusts(v); v.Err != nil {
			continue
		}
		if !v.Replicate {
			plain = append(plain, v)
			continue
		}
		to, err := s.nodes.of(ctx, s, v.Partition)
		if err != nil {
			v.Err = err
			continue
		}
		if waiting == nil {
			waiting = map[node][]*stock.Vector{}
		}
		waiting[to] = append(waiting[to], v)
	}

	var sending sync.WaitGroup
	for to, vectors := range waiting {
		sending.Go(func() {
			has := s.hasReplica(ctx, to, vectors[0].Partition)
			s.send(ctx, to, vectors, has) // without a replica, scripts refuse to take units, and nothing is proven
			for _, v := range vectors {
				v.NoReplica = !has
			}
		})
	}
	s.send(ctx, node{client: s.client}, plain, false)
	sending.Wait()
}

// trusts returns an error if the vector must not be sent, because this process does not trust the data.
func (s *Store) trusts(v *stock.Vector) error {
	creates := func(r stock.Request) bool { return r.Adjustment.Create }
	if s.marks.of(v.Partition).Nonce == 0 ||
		v.Op == stock.OpAdjust && !s.marks.mayCreate(v.Partition) && slices.ContainsFunc(v.Requests, creates) {
		return untrusted(v.Op.String())
	}
	return nil
}

// timeout bounds a call of vectors. The waits for a replica, before and after the call, have time of their own, because
// the effects are there even without a replica.
func (s *Store) timeout(vectors []*stock.Vector) time.Duration {
	for _, v := range vectors {
		if v.Replicate {
			return s.cfg.CallTimeout + 2*s.cfg.ReplicaTimeout
		}
	}
	return s.cfg.CallTimeout
}

// send sends vectors through a node's client and reads the answers. With replicate, a wait for a replica follows them on
// the same connection. Then all vectors must belong to one node: the client would redirect a script of another node,
// and the wait would not follow it.
func (s *Store) send(ctx context.Context, to node, vectors []*stock.Vector, replicate bool) {
	if len(vectors) == 0 {
		return
	}
	if ctx.Err() != nil {
		for _, v := range vectors {
			v.Err = notSent(ctx, v.Op.String())
		}
		return
	}
	c := s.calls.Get().(*call)
	c.reset()
	c.unproven = s.unproven
	if replicate {
		c.unproven = "0"
	}
	for _, v := range vectors {
		c.add(s, v)
	}
	if replicate {
		c.commands = append(c.commands, s.waiting(to.client, vectors[len(vectors)-1].Partition)...)
	}

	started := s.now()
	answers := to.client.DoMulti(ctx, c.commands...)
	took := s.now().Sub(started)

	reusable := true
	var waited wait
	if replicate {
		waited = waitFrom(answers[len(vectors):])
		to.replica.saw(s.now(), waited)
	}
	for i, v := range vectors {
		sc := s.scripts[v.Op.String()]
		if err := answers[i].Error(); err != nil {
			v.Err = wrap(v.Op.String(), err)
			reusable = reusable && answers[i].NonRedisError() == nil
			s.nodes.suspect()
		} else if effects, err := readVector(v, answers[i]); err != nil {
			v.Err = err
		} else {
			v.Mark = stock.Mark{Nonce: c.trusted[i].Nonce, Effects: effects}
			s.marks.saw(v.Partition, v.Mark)
			v.Replicated = waited.replicas > 0 && (waited.wrote == nil || v.Entry.ID != "")
			sc.decided(v.Outcomes)
		}
		sc.called(took, v.Err)
	}
	// If the call was given up, its commands may still be in the client's queue, with strings that point into its buffer.
	if reusable {
		s.calls.Put(c)
	}
}
