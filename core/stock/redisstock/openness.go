package redisstock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/redis/rueidis"

	"sluice/core/stock"
	"sluice/lua"
)

// Shut lists the partitions that serve nobody: their server lacks a script, as after a restart, or has other data
// than those that the store trusts. An error tells of servers that do not answer; their partitions are not listed.
// What Redis tells of the others is remembered: from then on the store notices when they are set back behind it.
func (s *Store) Shut(ctx context.Context) (partitions []int, err error) {
	partitions, _, err = s.look(ctx)
	return partitions, err
}

// look is Shut, and counts the partitions that are open. Scripts and marks are asked for at once: a server that
// hangs takes all the time that one question has.
func (s *Store) look(ctx context.Context) (shut []int, open int, err error) {
	looking, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	var loaded map[int]bool
	var asking sync.WaitGroup
	asking.Go(func() { loaded, err = s.loaded(looking) })
	trusted := s.Marks() // first: they only grow
	found, unread := s.readMarks(looking)
	asking.Wait()
	for p := range s.shards {
		scripts, answered := loaded[p]
		switch {
		case !answered || found[p].err != nil:
		case !scripts || !found[p].covers(trusted[p]):
			shut = append(shut, p)
		default:
			open++
			s.marks.saw(p, found[p].PartitionMark)
		}
	}
	err = errors.Join(err, unread)
	if ctx.Err() == nil { // else it was the caller who had no time
		s.seen.Store(&sighting{s.stateOf(open, err), err})
	}
	return shut, open, err
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
	type answer struct {
		addr  string
		there bool
		err   error
	}
	answers := make(chan answer, len(servers))
	waiting := map[string]bool{}
	for addr, server := range servers {
		if !slices.Contains(addrs, addr) {
			continue // a replica
		}
		waiting[addr] = true
		go func() {
			there, err := hasScripts(ctx, server, scripts)
			answers <- answer{addr, there, err}
		}()
	}
	of := map[string]bool{}
	var failures []error
	failed := func(addr string, err error) {
		failures = append(failures, wrap(strings.TrimSpace("look for scripts on redis "+addr), err))
	}
	for len(waiting) > 0 {
		select {
		case a := <-answers:
			delete(waiting, a.addr)
			if a.err != nil {
				failed(a.addr, a.err)
			} else {
				of[a.addr] = a.there
			}
			continue
		case <-ctx.Done(): // the client may take longer, where it is about to connect
		}
		for addr := range waiting {
			failed(addr, ctx.Err())
		}
		clear(waiting)
	}
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
