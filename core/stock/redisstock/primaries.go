package redisstock

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

const clusterSlots = 16384

// primary is one server that has partitions.
type primary struct {
	addr       string // empty if there is only one server
	client     rueidis.Client
	partitions []int

	// A vetting reads and writes through one connection of its own. It does not reach a server that restarts meanwhile
	// and may have lost its last effects.
	conn   rueidis.DedicatedClient
	cancel func()

	scripts scriptsThere
}

func (p *primary) String() string {
	if p.addr == "" {
		return "redis"
	}
	return "redis " + p.addr
}

// samePrimaries fails if a partition has moved to another server since the primaries were listed.
func samePrimaries(ctx context.Context, client rueidis.Client, listed []*primary, partitions int) error {
	now, err := primariesOf(ctx, client, partitions)
	if err != nil {
		return err
	}
	same := func(a, b *primary) bool { return a.addr == b.addr && slices.Equal(a.partitions, b.partitions) }
	if !slices.EqualFunc(listed, now, same) {
		return errors.New("partitions have moved to other primaries meanwhile")
	}
	return nil
}

// primariesOf lists the primaries of a cluster with their partitions, or the only server. Every slot must have one
// primary, and all nodes that answer must agree which. While they disagree, a failover or a move is under way, and an
// old primary may still believe that it is one.
func primariesOf(ctx context.Context, client rueidis.Client, partitions int) ([]*primary, error) {
	if client.Mode() != rueidis.ClientModeCluster {
		only := &primary{client: client}
		if client.Mode() == rueidis.ClientModeSentinel { // the client ends when the Sentinels name another server
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
	var failures, disagreements []error
	for _, answer := range askNodes(ctx, client) {
		if answer.err != nil {
			failures = append(failures, fmt.Errorf("ask %s for its slots: %w", answer.addr, answer.err))
			continue
		}
		if err := view.add(answer.addr, answer.nodes); err != nil {
			disagreements = append(disagreements, err)
		}
		for _, n := range answer.nodes {
			if n.myself {
				byID[n.id] = &primary{addr: answer.addr, client: answer.client}
			}
		}
	}
	if len(disagreements) > 0 {
		return nil, errors.Join(append(disagreements[:1], failures...)...)
	}
	reached := map[*primary]bool{}
	covered := 0
	var missing []string // addresses, as the other nodes know them
	for slot := range clusterSlots {
		owner := view.owner[slot]
		if p := byID[owner.id]; p != nil {
			covered++
			reached[p] = true
		} else if !slices.Contains(missing, owner.addr) {
			missing = append(missing, owner.addr)
		}
	}
	if covered < clusterSlots {
		err := fmt.Errorf("only %d of %d slots have a primary%s", covered, clusterSlots, missingText(missing))
		return nil, errors.Join(append(failures, err)...)
	}
	for p := range partitions {
		command := client.B().Exists().Key(keysOf(p).mark).Build()
		slot := command.Slot()
		owner := byID[view.owner[slot].id]
		owner.partitions = append(owner.partitions, p)
	}
	primaries := make([]*primary, 0, len(reached))
	for p := range reached {
		primaries = append(primaries, p)
	}
	slices.SortFunc(primaries, func(a, b *primary) int { return strings.Compare(a.addr, b.addr) })
	return primaries, nil
}

// missingText names the primaries that do not answer. An empty address stands for slots that nobody has.
func missingText(addrs []string) string {
	var text string
	for _, addr := range addrs {
		if addr == "" {
			text += "; nobody has the others"
		} else {
			text += "; " + addr + " does not answer"
		}
	}
	return text
}

// slotsTimeout bounds how long a node may take to name its slots. A node that hangs counts as away.
const slotsTimeout = 2 * time.Second

// nodeAnswer is the view of one node of a cluster of all primaries.
type nodeAnswer struct {
	addr   string
	client rueidis.Client
	nodes  []clusterNode
	err    error
}

// askNodes asks all nodes of a cluster at once. Answers are in the order of addresses.
func askNodes(ctx context.Context, client rueidis.Client) []nodeAnswer {
	ctx, cancel := context.WithTimeout(ctx, slotsTimeout)
	defer cancel()
	clients := client.Nodes()
	came := make(chan nodeAnswer, len(clients))
	late := map[string]nodeAnswer{}
	for addr, node := range clients {
		late[addr] = nodeAnswer{addr: addr, client: node, err: context.DeadlineExceeded}
		go func() {
			list, err := node.Do(ctx, node.B().ClusterNodes().Build()).ToString()
			came <- nodeAnswer{addr, node, clusterNodes(list), err}
		}()
	}
	answers := make([]nodeAnswer, 0, len(clients))
	for len(late) > 0 && ctx.Err() == nil {
		select {
		case a := <-came:
			delete(late, a.addr)
			answers = append(answers, a)
		case <-ctx.Done(): // the client may take longer, where it is about to connect
		}
	}
	answers = slices.AppendSeq(answers, maps.Values(late))
	slices.SortFunc(answers, func(a, b nodeAnswer) int { return strings.Compare(a.addr, b.addr) })
	return answers
}

// slotView says which node has each slot, as far as the nodes asked so far agree.
type slotView struct {
	owner [clusterSlots]clusterNode
	from  [clusterSlots]string // the address of the node that said so
}

// add adds the picture of the node at addr. It fails if that differs from the picture of another node.
func (v *slotView) add(addr string, nodes []clusterNode) error {
	for _, n := range nodes {
		for _, slots := range n.slots {
			for slot := slots[0]; slot <= slots[1]; slot++ {
				if id := v.owner[slot].id; id != "" && id != n.id {
					return fmt.Errorf("%s and %s disagree about who has slot %d: a failover or a move is under way",
						v.from[slot], addr, slot)
				}
				v.owner[slot], v.from[slot] = n, addr
			}
		}
	}
	return nil
}

// clusterNode is the view of one node of a cluster of a primary, perhaps of itself.
type clusterNode struct {
	id     string
	addr   string // where clients reach it
	myself bool
	slots  [][2]int // first and last of each range
}

// clusterNodes reads the primaries, and the answering node, from an answer to CLUSTER NODES.
func clusterNodes(list string) []clusterNode {
	var nodes []clusterNode
	for line := range strings.Lines(strings.TrimPrefix(list, "txt:")) { // a prefix of RESP3 that the client does not remove
		fields := strings.Fields(line)
		const id, addrs, flags, firstSlot = 0, 1, 2, 8
		if len(fields) < firstSlot {
			continue
		}
		flag := strings.Split(fields[flags], ",")
		addr, _, _ := strings.Cut(fields[addrs], "@")
		n := clusterNode{id: fields[id], addr: addr, myself: slices.Contains(flag, "myself")}
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

// slotRange reads "5" or "0-5460". A slot on the move is in brackets, and listed a second time without them.
func slotRange(field string) ([2]int, bool) {
	first, last, isRange := strings.Cut(field, "-")
	if !isRange {
		last = first
	}
	from, err1 := strconv.Atoi(first)
	to, err2 := strconv.Atoi(last)
	return [2]int{from, to}, err1 == nil && err2 == nil && 0 <= from && from <= to && to < clusterSlots
}

// ownSlots returns the slots of the answering node.
func ownSlots(nodes []clusterNode) [][2]int {
	for _, n := range nodes {
		if n.myself {
			return n.slots
		}
	}
	return nil
}
