package redisstock

import (
	"context"
	"fmt"

	"github.com/VictoriaMetrics/metrics"
)

// State is how much of Redis is open, as one look at it found.
type State int32

// The states of Redis.
const (
	StateUnknown State = iota // it does not answer
	StateOpen
	StateShut
	StatePartly // some partitions are shut
)

var states = [...]string{StateUnknown: "unknown", StateOpen: "open", StateShut: "shut", StatePartly: "partly_shut"}

// String is the state's word, also in metrics.
func (s State) String() string { return states[s] }

// State asks how much of Redis is open.
func (s *Store) State(ctx context.Context) (State, error) {
	shut, err := s.Shut(ctx)
	return s.stateOf(shut, err), err
}

// Seen is the state at the last look.
func (s *Store) Seen() State { return State(s.seen.Load()) }

func (s *Store) stateOf(shut []int, err error) State {
	switch {
	case err != nil:
		return StateUnknown
	case len(shut) == 0:
		return StateOpen
	case len(shut) < len(s.shards):
		return StatePartly
	}
	return StateShut
}

// showState makes a gauge of each state: 1 for the one that was seen last.
func (s *Store) showState(set *metrics.Set) {
	for state, word := range states {
		set.GetOrCreateGauge(fmt.Sprintf("sluice_core_redis_state_info{state=%q}", word), func() float64 {
			if s.Seen() == State(state) {
				return 1
			}
			return 0
		})
	}
}
