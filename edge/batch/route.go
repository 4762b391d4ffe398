package batch

import (
	"slices"
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

// route maps partitions to nodes.
func (b *Batcher) route() {
	defer b.routing.Store(false)
	names := make([]string, len(b.routes))
	for p := range names {
		names[p], _ = b.store.NodeOf(p) // empty on an error
	}
	b.routedAt.Store(time.Now().UnixNano())

	b.mu.Lock()
	defer b.mu.Unlock()
	placed := place(names, b.names)
	b.breakers.keep(func(server string) bool { return slices.Contains(placed.names, server) })
	for p, node := range placed.nodes {
		// Nodes have no names of their own: any node can serve any server. So there are never more nodes than servers
		// at one time.
		if node == len(b.nodes) {
			b.nodes = append(b.nodes, b.newNode())
		}
		b.nodes[node].breaker.Store(b.breakers.of(placed.names[p]))
		b.routes[p].Store(b.nodes[node])
	}
	serving := slices.Clone(b.nodes[:slices.Max(placed.nodes)+1])
	b.routed.Store(&serving)
	for _, p := range placed.moved {
		b.prover.forget(p)
	}
	b.names = placed.names
}

// partitionOf returns a partition of a server, if it has one.
func (b *Batcher) partitionOf(server string) (partition int, serves bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	partition = slices.Index(b.names, server)
	return partition, partition >= 0
}

// placing says which node serves which partition.
type placing struct {
	names []string // of the servers, by partition
	nodes []int    // by partition, numbered as they occur
	moved []int    // partitions that have another server than before
}

// place gives all partitions of a server the same node. A partition whose server is unknown, so that its name is empty,
// stays where it was.
func place(names, before []string) placing {
	p := placing{names: slices.Clone(names), nodes: make([]int, len(names))}
	numbers := make(map[string]int)
	for partition, name := range names {
		if name == "" {
			name = before[partition]
			p.names[partition] = name
		}
		if name != before[partition] {
			p.moved = append(p.moved, partition)
		}
		number, known := numbers[name]
		if !known {
			number = len(numbers)
			numbers[name] = number
		}
		p.nodes[partition] = number
	}
	return p
}
