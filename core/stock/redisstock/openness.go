package redisstock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/redis/rueidis"

	"sluice/core/stock"
	"sluice/lua"
)

// Shut lists the partitions that serve nobody: their server lacks a script, as after a restart, or has other data
// than those that the store trusts. An error tells of servers that do not answer; their partitions are not listed.
// What Redis tells of the others is remembered: from then on the store notices when they are set back behind it.
func (s *Store) Shut(ctx context.Context) (partitions []int, err error) {
	looking, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	loaded, err := s.loaded(looking)
	trusted := s.Marks() // first: they only grow
	found, unread := s.readMarks(looking)
	for p := range s.shards {
		scripts, answered := loaded[p]
		switch {
		case !answered || found[p].err != nil:
		case !scripts || !found[p].covers(trusted[p]):
			partitions = append(partitions, p)
		default:
			s.marks.saw(p, found[p].PartitionMark)
		}
	}
	err = errors.Join(err, unread)
	if ctx.Err() == nil { // else it was the caller who had no time
		s.seen.Store(int32(s.stateOf(partitions, err)))
	}
	return partitions, err
}

// loaded tells of each partition whether its server has all scripts. Servers are asked at once: one that hangs
// holds up no other. Those that do not answer are missing.
func (s *Store) loaded(ctx context.Context) (map[int]bool, error) {
	servers := map[string]rueidis.Client{"": s.client}
	addrs := make([]string, len(s.shards))
	if s.client.Mode() == rueidis.ClientModeCluster {
		t, err := s.nodes.topology(ctx, s)
		if err != nil {
			return nil, err
		}
		addrs, servers = t.addrs, map[string]rueidis.Client{}
		for addr, node := range t.nodes {
			servers[addr] = node.client
		}
	}
	scripts := make([]lua.Script, 0, len(s.scripts))
	for _, script := range s.scripts {
		scripts = append(scripts, script.Script)
	}
	of := map[string]bool{}
	var failures []error
	var mu sync.Mutex
	var asking sync.WaitGroup
	for addr, server := range servers {
		if !slices.Contains(addrs, addr) {
			continue // a replica
		}
		asking.Go(func() {
			there, err := hasScripts(ctx, server, scripts)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures = append(failures, wrap("look for scripts", err))
			} else {
				of[addr] = there
			}
		})
	}
	asking.Wait()
	loaded := map[int]bool{}
	for p, addr := range addrs {
		if there, answered := of[addr]; answered {
			loaded[p] = there
		} else if len(failures) == 0 {
			failures = append(failures, fmt.Errorf("look for scripts: %w: nobody is known to have partition %d", stock.ErrNotApplied, p))
		}
	}
	return loaded, errors.Join(failures...)
}
