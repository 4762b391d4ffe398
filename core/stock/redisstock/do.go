package redisstock

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// Do decides the vectors, in one pipeline per Redis node. See stock.Store.
func (s *Store) Do(ctx context.Context, vectors ...*stock.Vector) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout(vectors))
	defer cancel()

	var plain []*stock.Vector
	var waiting map[rueidis.Client][]*stock.Vector // for a replica, by node
	for _, v := range vectors {
		v.Outcomes, v.Cells, v.Entry, v.TimeMS, v.Replicated = v.Outcomes[:0], v.Cells[:0], stock.Entry{}, 0, false
		if v.Err = v.Check(len(s.shards)); v.Err != nil {
			continue
		}
		if !v.Replicate {
			plain = append(plain, v)
			continue
		}
		node, err := s.nodes.of(ctx, s, v.Partition)
		if err != nil {
			v.Err = err
			continue
		}
		if waiting == nil {
			waiting = map[rueidis.Client][]*stock.Vector{}
		}
		waiting[node] = append(waiting[node], v)
	}

	var sending sync.WaitGroup
	for node, vectors := range waiting {
		sending.Go(func() { s.send(ctx, node, vectors, true) })
	}
	s.send(ctx, s.client, plain, false)
	sending.Wait()
}

// timeout bounds a call of vectors, and leaves the wait for a replica its own time: without a replica
// the effects are there all the same.
func (s *Store) timeout(vectors []*stock.Vector) time.Duration {
	for _, v := range vectors {
		if v.Replicate {
			return s.cfg.CallTimeout + s.cfg.ReplicaTimeout
		}
	}
	return s.cfg.CallTimeout
}

// send sends vectors through one client and reads the answers. With replicate, a wait for a replica follows
// them on their own connection. The client is then a single node's, because a redirected script would leave
// the wait behind.
func (s *Store) send(ctx context.Context, client rueidis.Client, vectors []*stock.Vector, replicate bool) {
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
	for _, v := range vectors {
		c.add(s, v)
	}
	if replicate {
		c.commands = append(c.commands, s.waiting(client, vectors[len(vectors)-1].Partition)...)
	}

	started := s.now()
	answers := client.DoMulti(ctx, c.commands...)
	took := s.now().Sub(started)

	reusable := true
	wrote, replicas := false, int64(0)
	if replicate {
		wrote, replicas = replicasOf(answers[len(vectors):])
	}
	for i, v := range vectors {
		sc := s.scripts[v.Op.String()]
		if err := answers[i].Error(); err != nil {
			v.Err = wrap(v.Op.String(), err)
			reusable = reusable && answers[i].NonRedisError() == nil
			s.nodes.suspect()
		} else if v.Err = readVector(v, answers[i]); v.Err == nil {
			v.Replicated = replicas > 0 && (wrote || v.Entry.ID != "")
			sc.decided(v.Outcomes)
		}
		sc.called(took, v.Err)
	}
	// A call that was given up may still be in the client's queue, with strings in this buffer.
	if reusable {
		s.calls.Put(c)
	}
}
