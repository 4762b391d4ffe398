package redisstock

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// How long a picture of the cluster is believed, and how long it is if something speaks against it.
const (
	topologyMaxAge        = time.Second
	topologyMaxAgeSuspect = 100 * time.Millisecond
)

// nodes knows which node of a cluster has which partition. It is a hint, for lanes and for WAIT: the
// client routes by itself.
type nodes struct {
	current   atomic.Pointer[topology]
	refresh   sync.Mutex
	suspected atomic.Bool
}

type topology struct {
	readAt  time.Time
	addrs   []string // by partition
	clients map[string]rueidis.Client
}

// suspect tells that a call failed in a way that may be due to a change of the cluster.
func (n *nodes) suspect() { n.suspected.Store(true) }

// NodeOf is the address of the primary that has a partition, as of about a second ago; empty
// where there is one server only.
func (s *Store) NodeOf(partition int) (string, error) {
	if err := s.checkPartition(partition); err != nil {
		return "", err
	}
	if s.client.Mode() != rueidis.ClientModeCluster {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.CallTimeout)
	defer cancel()
	t, err := s.nodes.topology(ctx, s)
	if err != nil {
		return "", err
	}
	return t.addrs[partition], nil
}

// of is the client of the node that has a partition.
func (n *nodes) of(ctx context.Context, s *Store, partition int) (rueidis.Client, error) {
	if s.client.Mode() != rueidis.ClientModeCluster {
		return s.client, nil
	}
	t, err := n.topology(ctx, s)
	if err != nil {
		return nil, err
	}
	return t.clients[t.addrs[partition]], nil
}

// topology returns the picture of the cluster. One caller at a time renews an old one, while others
// go on with it.
func (n *nodes) topology(ctx context.Context, s *Store) (*topology, error) {
	t := n.current.Load()
	if t != nil {
		age := s.now().Sub(t.readAt)
		if age < topologyMaxAgeSuspect || age < topologyMaxAge && !n.suspected.Load() || !n.refresh.TryLock() {
			return t, nil
		}
	} else {
		n.refresh.Lock()
		if t := n.current.Load(); t != nil {
			n.refresh.Unlock()
			return t, nil
		}
	}
	defer n.refresh.Unlock()
	n.suspected.Store(false)
	fresh, err := s.readTopology(ctx)
	if err == nil {
		n.current.Store(fresh)
		return fresh, nil
	}
	if t == nil {
		return nil, fmt.Errorf("read topology of the cluster: %w: %w", stock.ErrNotApplied, err)
	}
	return t, nil // the old picture is the best there is
}

func (s *Store) readTopology(ctx context.Context) (*topology, error) {
	t := &topology{readAt: s.now(), addrs: make([]string, len(s.shards)), clients: s.client.Nodes()}
	owner := map[uint16]string{}
	for addr, node := range t.clients {
		list, err := node.Do(ctx, node.B().ClusterNodes().Build()).ToString()
		if err != nil {
			continue // a node that is down owns nothing; another one has its slots, or nobody
		}
		for _, slots := range slotsOfMyself(list) {
			for slot := slots[0]; slot <= slots[1]; slot++ {
				owner[uint16(slot)] = addr
			}
		}
	}
	for p := range t.addrs {
		command := s.client.B().Exists().Key(s.shards[p].cells).Build()
		addr, ok := owner[command.Slot()]
		if !ok {
			return nil, fmt.Errorf("nobody has partition %d", p)
		}
		t.addrs[p] = addr
	}
	return t, nil
}

// slotsOfMyself reads the ranges of slots that the answering node has as a primary from its answer to
// CLUSTER NODES.
func slotsOfMyself(list string) [][2]int {
	var ranges [][2]int
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		const flags, firstSlot = 2, 8
		if len(fields) <= firstSlot || !strings.Contains(fields[flags], "myself,master") {
			continue
		}
		for _, field := range fields[firstSlot:] {
			first, last, isRange := strings.Cut(field, "-")
			if !isRange {
				last = first
			}
			from, err1 := strconv.Atoi(first)
			to, err2 := strconv.Atoi(last)
			if err1 == nil && err2 == nil { // a slot on the move, in brackets, is listed before too
				ranges = append(ranges, [2]int{from, to})
			}
		}
	}
	return ranges
}
