package dev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"sluice/core/dirlock"
	"sluice/core/lifecycle"
)

// watchEvery bounds how long a stack sells from data that are gone.
const watchEvery = 250 * time.Millisecond

// watched is a server of the stack with the directory of its data. If the directory is gone, so are the data.
type watched struct {
	name  string
	dir   string
	there os.FileInfo
	ended <-chan struct{} // nil: the server lives in this process
}

// watch makes untilGone watch a server.
func (s *stack) watch(w watched) {
	w.there, _ = os.Stat(w.dir) // if that fails, the directory is gone already, and untilGone reports it
	s.watched = append(s.watched, w)
}

// private is a server of the stack in a process of its own.
type private interface {
	Ended() <-chan struct{}
	Kill() error
	Stop() error
}

// keep makes the stack stop a server with itself, and watch it until then.
func (s *stack) keep(name, dir string, server private) {
	s.parts.Later("stop "+name, func(context.Context) error {
		if s.lost { // an orderly end would write its data
			return server.Kill()
		}
		return server.Stop()
	})
	s.watch(watched{name: name, dir: dir, ended: server.Ended()})
}

// untilGone waits until ctx ends, until data of the stack are gone, or until a server of the stack ends. It says
// which.
func (s *stack) untilGone(ctx context.Context, lock *dirlock.Lock) error {
	for {
		if err := lock.Check(); errors.Is(err, dirlock.ErrGone) {
			return fmt.Errorf("%s: %w: its data are lost; start sluice dev again, which begins anew", s.dir, err)
		}
		for _, w := range s.watched {
			if err := w.check(s.dir); err != nil {
				return err
			}
		}
		s.watchRoom()
		if !lifecycle.Pause(ctx, watchEvery) {
			return nil
		}
	}
}

func (w watched) check(stack string) error {
	select {
	case <-w.ended:
		return fmt.Errorf("%s has ended, and nothing can be sold without it: its log, below %s, says why; start sluice dev again", w.name, stack)
	default:
	}
	there, err := os.Stat(w.dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(w.there, there) {
		return fmt.Errorf("%s of %s: %w: its data are lost; remove what is left beside it, and start sluice dev again", w.dir, w.name, dirlock.ErrGone)
	}
	return nil
}
