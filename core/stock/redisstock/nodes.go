package redisstock

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/stock"
	"sluice/core/tally"
)

// How long the store believes its picture of the cluster, and how long if something speaks against it.
const (
	topologyMaxAge        = time.Second
	topologyMaxAgeSuspect = 100 * time.Millisecond
)

// nodes knows which node of a cluster has which partition. It is a hint, for the lanes of batchers and for WAIT: the
// client routes by itself.
type nodes struct {
	current   atomic.Pointer[topology]
	only      replica // if there is no cluster
	suspected atomic.Bool

	mu       sync.Mutex
	renewing chan struct{} // closes when the running renewal ends; nil: none runs
}

type topology struct {
	readAt time.Time // when the reading ended, even if some nodes did not answer
	addrs  []string  // by partition; empty if no node is known to have it
	nodes  map[string]node
}

// node is one server. If any server will do, its client is the cluster's.
type node struct {
	client  rueidis.Client
	replica *replica
}

// suspect notes that a call failed, perhaps because the cluster has changed.
func (n *nodes) suspect() { n.suspected.Store(true) }

// NodeOf returns the address of the primary that has a partition. It asks the cluster at most once a second, and answers
// from the last picture. The address is empty if there is only one server, or if no node is known to have the partition.
func (s *Store) NodeOf(partition int) (string, error) {
	if err := s.checkPartition(partition); err != nil {
		return "", err
	}
	return s.nodes.addr(context.Background(), s, partition)
}

// addr is NodeOf for a partition that exists.
func (n *nodes) addr(ctx context.Context, s *Store, partition int) (string, error) {
	if s.client.Mode() != rueidis.ClientModeCluster {
		return "", nil
	}
	t, err := n.topology(ctx, s)
	if err != nil {
		return "", err
	}
	return t.addrs[partition], nil
}

// of returns the node that has a partition.
func (n *nodes) of(ctx context.Context, s *Store, partition int) (node, error) {
	if s.client.Mode() != rueidis.ClientModeCluster {
		return node{s.client, &n.only}, nil
	}
	t, err := n.topology(ctx, s)
	if err != nil {
		return node{}, err
	}
	found, ok := t.nodes[t.addrs[partition]]
	if !ok {
		n.suspect()
		return node{}, fmt.Errorf("find node: %w: nobody has partition %d", stock.ErrNotApplied, partition)
	}
	return found, nil
}

// topology returns the picture of the cluster. It renews an old picture in the background, and calls go on with the old
// one, because a node that hangs must not stop calls to the others. It waits only for the first picture.
func (n *nodes) topology(ctx context.Context, s *Store) (*topology, error) {
	t := n.current.Load()
	if t != nil {
		age := s.now().Sub(t.readAt)
		if age >= topologyMaxAge || age >= topologyMaxAgeSuspect && n.suspected.Load() {
			n.renew(ctx, s)
		}
		return t, nil
	}
	select {
	case <-n.renew(ctx, s):
		return n.current.Load(), nil
	case <-ctx.Done():
		return nil, notSent(ctx, "read topology of the cluster")
	}
}

// renew starts a reading of the topology, unless one is running, and returns a channel that closes when it has ended. The
// reading takes at most half the time of a call, so that a call that waits for it has the other half.
func (n *nodes) renew(ctx context.Context, s *Store) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.renewing != nil {
		return n.renewing
	}
	done := make(chan struct{})
	n.renewing = done
	n.suspected.Store(false)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.CallTimeout/2)
		defer cancel()
		n.current.Store(s.readTopology(ctx, n.current.Load()))
		n.mu.Lock()
		defer n.mu.Unlock()
		n.renewing = nil
		close(done)
	}()
	return done
}

// readTopology asks all nodes at once. If nobody answers for a partition, it keeps the node of the last picture.
func (s *Store) readTopology(ctx context.Context, before *topology) *topology {
	t := &topology{addrs: make([]string, len(s.partitions)), nodes: map[string]node{}}
	for addr, client := range s.client.Nodes() {
		t.nodes[addr] = node{client, &replica{}}
		if before != nil && before.nodes[addr].replica != nil {
			t.nodes[addr] = node{client, before.nodes[addr].replica}
		}
	}
	type answer struct {
		addr  string
		slots [][2]int
	}
	answers := make(chan answer, len(t.nodes))
	for addr, node := range t.nodes {
		go func() {
			list, _ := node.client.Do(ctx, node.client.B().ClusterNodes().Build()).ToString() // empty on an error
			answers <- answer{addr, ownSlots(clusterNodes(list))}
		}()
	}
	owner := map[uint16]string{}
	for range t.nodes {
		select {
		case a := <-answers:
			for _, slots := range a.slots {
				for slot := slots[0]; slot <= slots[1]; slot++ {
					owner[uint16(slot)] = a.addr
				}
			}
		case <-ctx.Done(): // the client may take longer, where it is about to connect
		}
	}
	for p := range t.addrs {
		command := s.client.B().Exists().Key(s.partitions[p].cells).Build()
		t.addrs[p] = owner[command.Slot()]
		if t.addrs[p] == "" && before != nil {
			if _, there := t.nodes[before.addrs[p]]; there {
				t.addrs[p] = before.addrs[p]
			}
		}
	}
	t.readAt = s.now()
	return t
}

// askAll sends a command about every partition.
func (s *Store) askAll(ctx context.Context, command func(k keys) rueidis.Completed) []rueidis.RedisResult {
	return s.askEach(ctx, s.all(), func(i int) rueidis.Completed { return command(s.partitions[i].keys) })
}

// all lists the partitions.
func (s *Store) all() []int {
	all := make([]int, len(s.partitions))
	for p := range all {
		all[p] = p
	}
	return all
}

// askEach sends commands; of names the partition of each. The answers come within the time of a call.
func (s *Store) askEach(ctx context.Context, of []int, command func(i int) rueidis.Completed) []rueidis.RedisResult {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	return s.askWithin(ctx, of, command)
}

// askWithin is askEach with the time that ctx gives. It asks the nodes of a cluster separately, so that one that hangs,
// perhaps while the client connects to it, does not delay the others. Nor does one that the cluster has given up make them
// fail: the client refuses all commands that it is given at once if it knows no node for one of them.
func (s *Store) askWithin(ctx context.Context, of []int, command func(i int) rueidis.Completed) []rueidis.RedisResult {
	byNode := map[string][]int{}
	answers := make([]rueidis.RedisResult, len(of))
	for i, p := range of {
		addr, err := s.nodes.addr(ctx, s, p)
		if err == nil {
			byNode[addr] = append(byNode[addr], i)
			err = fmt.Errorf("ask redis %s: %w", addr, context.DeadlineExceeded)
		}
		answers[i] = rueidis.NewErrorResult(err)
	}
	type part struct {
		which   []int
		answers []rueidis.RedisResult
	}
	parts := make(chan part, len(byNode))
	for _, which := range byNode {
		commands := make([]rueidis.Completed, len(which))
		for k, i := range which {
			commands[k] = command(i)
		}
		tally.Add(ctx, 1)
		go func() { parts <- part{which, s.client.DoMulti(ctx, commands...)} }()
	}
	for range byNode {
		select {
		case got := <-parts:
			for k, i := range got.which {
				answers[i] = got.answers[k]
			}
		case <-ctx.Done():
			return answers
		}
	}
	return answers
}
