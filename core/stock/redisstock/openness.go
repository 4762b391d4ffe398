package redisstock

import (
	"context"
	"errors"
	"sync"
)

// Shut lists the partitions that serve nobody. Their server lacks a script, as after a restart, is a replica, or has data
// that the store does not trust. An error names servers that do not answer; Shut does not list their partitions. The store
// remembers the marks of the others, so it notices if they are set back later.
func (s *Store) Shut(ctx context.Context) (partitions []int, err error) {
	partitions, _, err = s.look(ctx)
	return partitions, err
}

// look is Shut, and also counts the open partitions. It asks for scripts and marks at once, because a server that hangs
// uses up the whole time of a question.
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
		case !scripts || !found[p].Covers(trusted[p]):
			shut = append(shut, p)
		default:
			open++
			s.marks.saw(p, found[p].Mark)
		}
	}
	err = errors.Join(err, unread)
	if ctx.Err() == nil { // otherwise the caller ran out of time, which says nothing about Redis
		s.seen.Store(&sighting{s.stateOf(open, err), len(shut), err})
	}
	return shut, open, err
}
