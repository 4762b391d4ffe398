package redisstock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/stock"
	"sluice/core/telemetry"
)

// State says how much of Redis is open.
type State int32

// The states of Redis.
const (
	StateUnknown State = iota // it does not answer
	StateOpen
	StateShut
	StatePartly // some partitions are open; the others are shut or do not answer
)

var states = [...]string{StateUnknown: "unknown", StateOpen: "open", StateShut: "shut", StatePartly: "partly_shut"}

// String is the state's word, also in metrics.
func (s State) String() string { return states[s] }

// sighting is the result of one look at Redis.
type sighting struct {
	state State
	shut  int // partitions that answer and are shut
	err   error
}

// State asks how much of Redis is open. An error names servers that do not answer; others may be open all the same.
func (s *Store) State(ctx context.Context) (State, error) {
	_, open, err := s.look(ctx)
	return s.stateOf(open, err), err
}

// Seen returns the result of the last look.
func (s *Store) Seen() (State, error) {
	if last := s.seen.Load(); last != nil {
		return last.state, last.err
	}
	return StateUnknown, nil
}

// SeenShut returns how many partitions answered at the last look and were shut.
func (s *Store) SeenShut() int {
	if last := s.seen.Load(); last != nil {
		return last.shut
	}
	return 0
}

func (s *Store) stateOf(open int, err error) State {
	switch {
	case open == len(s.partitions):
		return StateOpen
	case open > 0:
		return StatePartly
	case err != nil:
		return StateUnknown
	}
	return StateShut
}

// showState makes a gauge of each state, which is 1 for the state seen last, and a gauge of the shut partitions.
func (s *Store) showState(set *metrics.Set) {
	set.GetOrCreateGauge("sluice_core_redis_shut_partitions", func() float64 { return float64(s.SeenShut()) })
	for state, word := range states {
		set.GetOrCreateGauge(fmt.Sprintf("sluice_core_redis_state_info{state=%q}", word), func() float64 {
			if seen, _ := s.Seen(); seen == State(state) {
				return 1
			}
			return 0
		})
	}
}

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

// scriptMetrics are one script's.
type scriptMetrics struct {
	seconds  *metrics.PrometheusHistogram
	verdicts [stock.Verdicts]*metrics.Counter
	failures map[error]*metrics.Counter
}

func newScriptMetrics(set *metrics.Set, script string) *scriptMetrics {
	m := &scriptMetrics{
		seconds:  telemetry.Seconds(set, fmt.Sprintf("sluice_core_script_seconds{script=%q}", script)),
		failures: map[error]*metrics.Counter{},
	}
	for v := range m.verdicts {
		m.verdicts[v] = set.GetOrCreateCounter(
			fmt.Sprintf("sluice_core_script_verdicts_total{script=%q,verdict=%q}", script, stock.Verdict(v)))
	}
	for kind, name := range map[error]string{
		stock.ErrNotApplied: "not_applied", stock.ErrShut: "shut", stock.ErrUnknown: "unknown", stock.ErrProtocol: "protocol",
	} {
		m.failures[kind] = set.GetOrCreateCounter(
			fmt.Sprintf("sluice_core_script_failures_total{script=%q,kind=%q}", script, name))
	}
	return m
}

// called notes one call of the script.
func (m *scriptMetrics) called(took time.Duration, err error) {
	m.seconds.Update(took.Seconds())
	if err == nil {
		return
	}
	for kind, counter := range m.failures {
		if errors.Is(err, kind) {
			counter.Inc()
		}
	}
}

func (m *scriptMetrics) decided(outcomes []stock.Outcome) {
	var counts [stock.Verdicts]int
	for i := range outcomes {
		counts[outcomes[i].Verdict]++
	}
	for v, n := range counts {
		if n > 0 {
			m.verdicts[v].Add(n)
		}
	}
}
