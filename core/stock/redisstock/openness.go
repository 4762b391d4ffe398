package redisstock

import (
	"context"
	"errors"
	"sync"
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
	for p := range s.partitions {
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
		s.seen.Store(&sighting{s.stateOf(open, err), len(shut), err})
	}
	return shut, open, err
}
