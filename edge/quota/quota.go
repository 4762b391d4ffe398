// Package quota makes the limits of requests hold over all edges together. It tells other edges what this one let pass, and
// learns what they let pass, by a stream in Redis, in the background. No request waits for it, or causes a call: all that
// an edge has to tell goes into one call. While Redis is away, each edge counts alone.
//
// The rules of the buckets are in core/limit. This package must not know what a key stands for.
package quota

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/lifecycle"
	"sluice/core/limit"
	"sluice/core/stock/redisstock"
)

const (
	// gapMin is the shortest time between two exchanges of an edge. With many edges it is longer: all together
	// make at most 400 exchanges a second.
	gapMin     = 20 * time.Millisecond
	gapPerEdge = 2500 * time.Microsecond

	pollEvery  = 100 * time.Millisecond // how often an edge listens that has nothing to tell
	greetEvery = time.Second            // how often an edge says at least that it is there
	goneAfter  = 3 * time.Second        // an edge is gone that was not heard for so long
	retryAfter = 250 * time.Millisecond

	noticesMax = 128 // that one call reads
	edgesMax   = 256 // that an edge knows
)

// Policy is the limit of one kind of keys.
type Policy interface {
	Among(edges int)
	Tell(dst []limit.Taken, max int) (told []limit.Taken, untold int64)
	Learn(t limit.Taken, now time.Time)
}

// Board is where edges tell each other.
type Board interface {
	ExchangeNotices(ctx context.Context, text []byte, after string, limit int) (told string, heard []redisstock.Notice, err error)
}

// Seal hides what edges tell each other from whoever carries it.
type Seal interface {
	Seal(text []byte) []byte
	Open(sealed []byte) ([]byte, error)
}

// Config has what a Sharer needs.
type Config struct {
	Board    Board
	Seal     Seal
	Policies []Policy        // in the same order at all edges
	Wake     <-chan struct{} // has a value when a policy has something to tell
	Metrics  *metrics.Set
	Log      *slog.Logger
	Now      func() time.Time
}

// Sharer exchanges with other edges what each let pass.
type Sharer struct {
	Config
	me      edgeID
	others  map[edgeID]time.Time // when they were last heard
	edges   atomic.Int64         // that share the limits, this one included; 0 before the first exchange
	after   string               // the last entry that was read; empty: begin with one's own
	told    time.Time            // when this edge last told something
	worked  time.Time            // when an exchange last worked
	garbled time.Time            // when a message of another edge could last not be read
	trouble *lifecycle.Trouble
	mixed   *lifecycle.Trouble
	taken   [][]limit.Taken
	text    []byte

	calls, failures, unreadable *metrics.Counter
	toldOf, learnedOf, untoldOf *metrics.Counter
}

// New makes a Sharer. Until Run is called, each policy counts alone.
func New(cfg Config) *Sharer {
	s := &Sharer{
		Config: cfg, others: map[edgeID]time.Time{}, taken: make([][]limit.Taken, len(cfg.Policies)), worked: cfg.Now(),
		trouble:    lifecycle.NewTrouble(cfg.Log, "count requests together with other edges, so this edge holds limits alone"),
		mixed:      lifecycle.NewTrouble(cfg.Log, "read what another edge has let pass: all edges need the same keys of tokens"),
		calls:      cfg.Metrics.NewCounter("sluice_edge_limit_exchange_calls_total"),
		failures:   cfg.Metrics.NewCounter("sluice_edge_limit_exchange_failures_total"),
		unreadable: cfg.Metrics.NewCounter("sluice_edge_limit_unreadable_messages_total"),
		toldOf:     cfg.Metrics.NewCounter("sluice_edge_limit_told_requests_total"),
		learnedOf:  cfg.Metrics.NewCounter("sluice_edge_limit_learned_requests_total"),
		untoldOf:   cfg.Metrics.NewCounter("sluice_edge_limit_untold_requests_total"),
	}
	_, _ = rand.Read(s.me[:]) // crypto/rand never fails: it ends the process instead
	cfg.Metrics.NewGauge("sluice_edge_limit_edges", func() float64 { return float64(s.edges.Load()) })
	return s
}

// Run exchanges until ctx ends: soon after there is something to tell, and now and then otherwise.
func (s *Sharer) Run(ctx context.Context) {
	for {
		pause := s.gap()
		if err := s.exchange(ctx); err != nil {
			pause = retryAfter
		}
		if !lifecycle.Pause(ctx, pause) {
			return
		}
		rest := time.NewTimer(max(pollEvery-pause, 0))
		select {
		case <-ctx.Done():
			rest.Stop()
			return
		case <-s.Wake:
		case <-rest.C:
		}
		rest.Stop()
	}
}

// gap is the shortest time between two exchanges.
func (s *Sharer) gap() time.Duration { return max(gapMin, time.Duration(s.edges.Load())*gapPerEdge) }

// exchange tells and hears once.
func (s *Sharer) exchange(ctx context.Context) error {
	now := s.Now()
	s.forget(now)
	text, requests := s.notice(now)
	told, heard, err := s.Board.ExchangeNotices(ctx, text, s.after, noticesMax)
	s.calls.Inc()
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the edge ends
		}
		s.failures.Inc()
		s.untoldOf.Add(int(requests)) // perhaps others have heard it, and nobody may count twice
		s.after = ""                  // what is missed meanwhile is old
		if now.Sub(s.worked) >= goneAfter {
			s.trouble.Saw(err)
		}
		return err
	}
	s.trouble.Saw(nil)
	s.worked = now
	s.toldOf.Add(int(requests))
	if told != "" {
		s.told = now
	}
	if told != "" && len(heard) == 0 {
		s.after = told // this is the beginning, or the stream that this edge had read is gone: it lacks this edge's own entry
	}
	for _, n := range heard {
		s.after = n.ID
		err = errors.Join(err, s.hear(n, now))
	}
	switch {
	case err != nil:
		s.garbled = now
		s.mixed.Saw(err)
	case len(heard) > 0 && now.Sub(s.garbled) >= goneAfter: // an edge always understands itself
		s.mixed.Saw(nil)
	}
	return nil
}

// notice returns the sealed text of what this edge has to tell, and how many requests it is about. It is nil if there is
// nothing to tell yet.
func (s *Sharer) notice(now time.Time) (sealed []byte, requests int64) {
	keys := 0
	for p, policy := range s.Policies {
		taken, untold := policy.Tell(s.taken[p][:0], keysMax)
		s.untoldOf.Add(int(untold))
		for _, t := range taken {
			requests += t.Tokens
		}
		s.taken[p] = taken
		keys += len(taken)
	}
	if keys == 0 && s.after != "" && now.Sub(s.told) < greetEvery {
		return nil, 0
	}
	s.text = appendNotice(s.text[:0], s.me, s.taken)
	return s.Seal.Seal(s.text), requests
}

// hear takes in what another edge tells.
func (s *Sharer) hear(n redisstock.Notice, now time.Time) error {
	text, err := s.Seal.Open(n.Text)
	if err != nil {
		s.unreadable.Inc()
		return err
	}
	edge, taken, err := readNotice(text, len(s.Policies))
	switch {
	case err != nil:
		s.unreadable.Inc()
		return fmt.Errorf("entry %s: %w", n.ID, err)
	case edge == s.me:
		return nil
	}
	s.meet(edge, now)
	for p, policy := range s.Policies {
		for _, t := range taken[p] {
			policy.Learn(t, now)
			s.learnedOf.Add(int(t.Tokens))
		}
	}
	return nil
}

// meet notes that another edge is there, and greets a new one.
func (s *Sharer) meet(edge edgeID, now time.Time) {
	if _, known := s.others[edge]; !known {
		if len(s.others) >= edgesMax {
			return
		}
		s.told = time.Time{}
	}
	s.others[edge] = now
	s.among()
}

// forget forgets edges that were not heard for long.
func (s *Sharer) forget(now time.Time) {
	for edge, heard := range s.others {
		if now.Sub(heard) >= goneAfter {
			delete(s.others, edge)
		}
	}
	s.among()
}

// among tells the policies how many edges there are.
func (s *Sharer) among() {
	edges := 1 + len(s.others)
	if s.edges.Swap(int64(edges)) == int64(edges) {
		return
	}
	for _, policy := range s.Policies {
		policy.Among(edges)
	}
}
