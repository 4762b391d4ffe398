package lifecycle

import (
	"context"
	"sync"
)

// Signal tells any number of goroutines that something has happened once.
type Signal struct {
	once   sync.Once
	raised chan struct{}
}

// NewSignal makes a signal that has not been raised.
func NewSignal() *Signal { return &Signal{raised: make(chan struct{})} }

// Raise lets everybody go on who waits, or will. It may be repeated.
func (s *Signal) Raise() { s.once.Do(func() { close(s.raised) }) }

// Raised reports whether the signal was raised.
func (s *Signal) Raised() bool {
	select {
	case <-s.raised:
		return true
	default:
		return false
	}
}

// After has work wait for the signal. It does nothing if its context ends first.
func (s *Signal) After(work func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-s.raised:
			return work(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}
