package batch

import (
	"time"

	"sluice/core/stock"
)

// routeEvery is how often the batcher maps partitions to Redis nodes again, as long as there are requests.
const routeEvery = time.Second

// replicating guesses whether a request has to wait for a replica. A wrong guess costs a second round.
func (b *Batcher) replicating(r *stock.Request) bool {
	if !b.replicas.Load() {
		return false // no cell has that level: spares the look
	}
	state, _, ok := b.cells.Peek(r.Cell)
	return !ok && b.cfg.Ack == stock.AckReplica || ok && b.levelOf(&state) == stock.AckReplica
}

// reroute starts route in another goroutine if it is due. While a cluster is in trouble, it may take long to find out
// where partitions are.
func (b *Batcher) reroute() {
	last, now := b.routedAt.Load(), time.Now().UnixNano()
	if now-last < int64(routeEvery) || !b.routing.CompareAndSwap(false, true) {
		return
	}
	b.work.Go(b.route)
}

// route maps partitions to nodes. A partition whose node is unknown stays where it was.
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
			// Nodes have no names of their own: any node can serve any server. So there are never more nodes than
			// servers at one time.
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
