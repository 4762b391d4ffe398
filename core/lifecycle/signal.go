package lifecycle

import (
	"context"
	"sync"
)

// Signal tells any number of goroutines, once, that something has happened.
type Signal struct {
	once   sync.Once
	raised chan struct{}
}

// NewSignal makes a signal that has not been raised.
func NewSignal() *Signal { return &Signal{raised: make(chan struct{})} }

// Raise lets everybody go on who waits, now or later. It may be called again.
func (s *Signal) Raise() { s.once.Do(func() { close(s.raised) }) }

// Raised reports whether somebody has raised the signal.
func (s *Signal) Raised() bool {
	select {
	case <-s.raised:
		return true
	default:
		return false
	}
}

// After returns work that waits for the signal first. If its context ends before that, it does nothing.
func (s *Signal) After(work func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
		select {
		case <-s.raised:
			work(ctx)
		case <-ctx.Done():
		}
	}
}
