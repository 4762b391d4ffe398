package redisstock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
)

const clusterSlots = 16384

// primary is one server that has partitions.
type primary struct {
	addr       string // empty where there is one server only
	client     rueidis.Client
	partitions []int

	// A vetting reads and writes through one connection of its own. A server that restarts meanwhile, and may
	// have lost its tail, is not reached through it.
	conn   rueidis.DedicatedClient
	cancel func()

	scripts bool // are all loaded?
}

func (p *primary) String() string {
	if p.addr == "" {
		return "redis"
	}
	return "redis " + p.addr
}

// primariesOf lists the primaries of a cluster with their partitions, or the one server. Every slot must have
// one primary, and all nodes that answer must agree which: while they do not, a failover or a move is under
// way, and a primary of before may still think that it is one.
func primariesOf(ctx context.Context, client rueidis.Client, partitions int) ([]*primary, error) {
	if client.Mode() != rueidis.ClientModeCluster {
		only := &primary{client: client}
		if client.Mode() == rueidis.ClientModeSentinel { // whose client ends when they name another server
			for addr, node := range client.Nodes() {
				only = &primary{addr: addr, client: node}
			}
		}
		for p := range partitions {
			only.partitions = append(only.partitions, p)
		}
		return []*primary{only}, nil
	}
	var view slotView
	byID := map[string]*primary{}
	var failures []error
	for addr, node := range client.Nodes() {
		list, err := node.Do(ctx, node.B().ClusterNodes().Build()).ToString()
		if err != nil {
			failures = append(failures, fmt.Errorf("ask %s for its slots: %w", addr, err))
			continue
		}
		nodes := clusterNodes(list)
		if err := view.add(addr, nodes); err != nil {
			return nil, err
		}
		for _, n := range nodes {
			if n.myself {
				byID[n.id] = &primary{addr: addr, client: node}
			}
		}
	}
	reached := map[*primary]bool{}
	covered := 0
	for slot := range clusterSlots {
		if p := byID[view.owner[slot]]; p != nil {
			covered++
			reached[p] = true
		}
	}
	if covered < clusterSlots {
		return nil, errors.Join(append(failures, fmt.Errorf("only %d of %d slots have a primary", covered, clusterSlots))...)
	}
	for p := range partitions {
		command := client.B().Exists().Key(keysOf(p).mark).Build()
		slot := command.Slot()
		owner := byID[view.owner[slot]]
		owner.partitions = append(owner.partitions, p)
	}
	primaries := make([]*primary, 0, len(reached))
	for p := range reached {
		primaries = append(primaries, p)
	}
	slices.SortFunc(primaries, func(a, b *primary) int { return strings.Compare(a.addr, b.addr) })
	return primaries, nil
}

// slotView is which node has each slot, as the nodes asked so far agree.
type slotView struct {
	owner [clusterSlots]string // its id
	from  [clusterSlots]string // the address of who said so
}

// add takes the picture that the node at addr has. It fails where that differs from what another has said.
func (v *slotView) add(addr string, nodes []clusterNode) error {
	for _, n := range nodes {
		for _, slots := range n.slots {
			for slot := slots[0]; slot <= slots[1]; slot++ {
				if v.owner[slot] != "" && v.owner[slot] != n.id {
					return fmt.Errorf("%s and %s disagree about who has slot %d: a failover or a move is under way",
						v.from[slot], addr, slot)
				}
				v.owner[slot], v.from[slot] = n.id, addr
			}
		}
	}
	return nil
}

// clusterNode is what one node of a cluster says of a primary, perhaps of itself.
type clusterNode struct {
	id     string
	myself bool
	slots  [][2]int // first and last of each range
}

// clusterNodes reads the primaries, and the answering node, from an answer to CLUSTER NODES.
func clusterNodes(list string) []clusterNode {
	var nodes []clusterNode
	for line := range strings.Lines(strings.TrimPrefix(list, "txt:")) { // which the client leaves of RESP3
		fields := strings.Fields(line)
		const id, flags, firstSlot = 0, 2, 8
		if len(fields) < firstSlot {
			continue
		}
		flag := strings.Split(fields[flags], ",")
		n := clusterNode{id: fields[id], myself: slices.Contains(flag, "myself")}
		if slices.Contains(flag, "master") {
			for _, field := range fields[firstSlot:] {
				if slots, ok := slotRange(field); ok {
					n.slots = append(n.slots, slots)
				}
			}
		}
		if n.myself || len(n.slots) > 0 {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// slotRange reads "5" or "0-5460". A slot on the move, in brackets, is listed without them too.
func slotRange(field string) ([2]int, bool) {
	first, last, isRange := strings.Cut(field, "-")
	if !isRange {
		last = first
	}
	from, err1 := strconv.Atoi(first)
	to, err2 := strconv.Atoi(last)
	return [2]int{from, to}, err1 == nil && err2 == nil && 0 <= from && from <= to && to < clusterSlots
}

// ownSlots are the slots that the answering node has.
func ownSlots(nodes []clusterNode) [][2]int {
	for _, n := range nodes {
		if n.myself {
			return n.slots
		}
	}
	return nil
}
