package batch

import (
	"time"

	"sluice/core/stock"
)

// routeEvery is how often partitions are mapped to Redis nodes again, as long as there are requests.
const routeEvery = time.Second

// replicating reports whether a request is best sent to wait for a replica. A wrong guess costs a
// second round.
func (b *Batcher) replicating(r *stock.Request) bool {
	if !b.replicas.Load() {
		return false // no cell has that level: spares the look
	}
	state, _, ok := b.cells.Peek(r.Cell)
	return !ok && b.cfg.Ack == stock.AckReplica || ok && b.levelOf(&state) == stock.AckReplica
}

// reroute maps partitions to nodes again, by another goroutine, where that is due. Finding out where
// partitions are may take long while a cluster is in trouble.
func (b *Batcher) reroute() {
	last, now := b.routedAt.Load(), time.Now().UnixNano()
	if now-last < int64(routeEvery) || !b.routing.CompareAndSwap(false, true) {
		return
	}
	b.work.Go(b.route)
}

// route maps partitions to nodes. Where a partition's node is not known it stays where it was.
func (b *Batcher) route() {
	defer b.routing.Store(false)
	names := make([]string, len(b.routes))
	for p := range names {
		names[p], _ = b.store.NodeOf(p) // empty on an error
	}
	b.routedAt.Store(time.Now().UnixNano())

	b.mu.Lock()
	defer b.mu.Unlock()
	nodes := make(map[string]*node)
	for p, name := range names {
		if name == "" {
			name, names[p] = b.names[p], b.names[p]
		}
		if name != b.names[p] {
			b.prover.forget(p)
		}
		n := nodes[name]
		if n == nil {
			// Nodes have no names of their own, any can serve any server: so there are never more
			// of them than servers at one time.
			if len(nodes) == len(b.nodes) {
				b.nodes = append(b.nodes, newNode(len(b.routes), b.draining))
			}
			n = b.nodes[len(nodes)]
			nodes[name] = n
		}
		b.routes[p].Store(n)
	}
	b.names = names
}
