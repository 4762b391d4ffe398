// Package quota makes the limits of requests hold over all edges together. It tells other edges what this one let pass, and
// learns what they let pass, by a stream in Redis, in the background. No request waits for it, or causes a call: all that
// an edge has to tell goes into one call. While Redis is away, each edge counts alone.
//
// The rules of the buckets are in core/limit. This package must not know what a key stands for.
package quota

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
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
	readsMax   = 8   // of one exchange
	edgesMax   = 256 // that an edge knows: it does not listen to others

	// placedMax is how long after its sender last heard the stream a notice comes into it. Later it is refused, so nobody
	// can repeat a notice that has been forgotten: an edge is remembered for goneAfter.
	placedMax = goneAfter
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
	number  uint64 // of the last notice
	others  map[edgeID]heard
	edges   atomic.Int64 // that share the limits, this one included; 0 before the first exchange
	after   string       // the last entry that was read; empty: begin with one's own
	told    time.Time    // when this edge last told something
	worked  time.Time    // when an exchange last worked
	garbled time.Time    // when a message of another edge could last not be read
	trouble *lifecycle.Trouble
	mixed   *lifecycle.Trouble
	taken   [][]limit.Taken
	text    []byte

	calls, failures, unreadable *metrics.Counter
	repeated, skipped           *metrics.Counter
	toldOf, learnedOf, untoldOf *metrics.Counter
}

// heard is what an edge remembers of another one.
type heard struct {
	at     time.Time
	number uint64 // of its last notice
}

// New makes a Sharer. Until Run is called, each policy counts alone.
func New(cfg Config) *Sharer {
	s := &Sharer{
		Config: cfg, others: map[edgeID]heard{}, taken: make([][]limit.Taken, len(cfg.Policies)), worked: cfg.Now(),
		trouble:    lifecycle.NewTrouble(cfg.Log, "count requests together with other edges, so this edge holds limits alone"),
		mixed:      lifecycle.NewTrouble(cfg.Log, "read what another edge has let pass: all edges need the same keys of tokens"),
		calls:      cfg.Metrics.NewCounter("sluice_edge_limit_exchange_calls_total"),
		failures:   cfg.Metrics.NewCounter("sluice_edge_limit_exchange_failures_total"),
		unreadable: cfg.Metrics.NewCounter("sluice_edge_limit_unreadable_messages_total"),
		repeated:   cfg.Metrics.NewCounter("sluice_edge_limit_repeated_messages_total"),
		skipped:    cfg.Metrics.NewCounter("sluice_edge_limit_skipped_reads_total"),
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

// exchange tells once, and hears all that there is.
func (s *Sharer) exchange(ctx context.Context) error {
	now := s.Now()
	s.forget(now)
	text, requests := s.notice(now)
	for reads := 1; ; reads++ {
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
		s.hearAll(told, heard, now)
		switch {
		case len(heard) < noticesMax:
			return nil
		case reads == readsMax: // more is told than an edge can hear
			s.skipped.Inc()
			s.after = ""
			return nil
		}
		text, requests = nil, 0
	}
}

// hearAll takes in what a call has brought: the place of this edge's own notice, and the notices of all.
func (s *Sharer) hearAll(told string, heard []redisstock.Notice, now time.Time) {
	if told != "" && s.after != "" {
		s.told = now // with no place of its own to begin with, others do not listen
	}
	if told != "" && len(heard) == 0 {
		s.after = told // this is the beginning, or the stream that this edge had read is gone: it lacks this edge's own entry
	}
	var wrong error
	for _, n := range heard {
		s.after = n.ID
		if err := s.hear(n, now); err != nil {
			wrong = err
		}
	}
	switch {
	case wrong != nil:
		s.garbled = now
		s.mixed.Saw(wrong)
	case len(heard) > 0 && now.Sub(s.garbled) >= goneAfter: // an edge always understands itself
		s.mixed.Saw(nil)
	}
}

// notice returns the sealed text of what this edge has to tell, and how many requests it is about. It is nil if there is
// nothing to tell yet. Before this edge has a place in the stream, it tells no requests: others would refuse the notice.
func (s *Sharer) notice(now time.Time) (sealed []byte, requests int64) {
	keys := 0
	for p, policy := range s.Policies {
		taken, untold := policy.Tell(s.taken[p][:0], keysMax)
		if s.after == "" {
			for _, t := range taken {
				untold += t.Tokens
			}
			taken = taken[:0]
		}
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
	s.number++
	s.text = appendNotice(s.text[:0], sender{edge: s.me, number: s.number, heard: placeOf(s.after)}, s.taken)
	return s.Seal.Seal(s.text), requests
}

// placeOf returns the time of an entry of the stream, in ms; 0 if it has none.
func placeOf(id string) uint64 {
	ms, _, _ := strings.Cut(id, "-")
	place, _ := strconv.ParseUint(ms, 10, 64)
	return place
}

// hear takes in what another edge tells.
func (s *Sharer) hear(n redisstock.Notice, now time.Time) error {
	text, err := s.Seal.Open(n.Text)
	if err != nil {
		s.unreadable.Inc()
		return fmt.Errorf("entry %s: %w", n.ID, err)
	}
	from, taken, err := readNotice(text, len(s.Policies))
	switch {
	case err != nil:
		s.unreadable.Inc()
		return fmt.Errorf("entry %s: %w", n.ID, err)
	case from.edge == s.me || from.heard == 0:
		return nil
	case placeOf(n.ID)-from.heard > uint64(placedMax.Milliseconds()) || s.others[from.edge].number >= from.number:
		s.repeated.Inc()
		return nil
	case !s.meet(from, now):
		return nil
	}
	for p, policy := range s.Policies {
		for _, t := range taken[p] {
			policy.Learn(t, now)
			s.learnedOf.Add(int(t.Tokens))
		}
	}
	return nil
}

// meet notes that another edge is there, and greets a new one. It returns false if there are too many to know it.
func (s *Sharer) meet(from sender, now time.Time) bool {
	if _, known := s.others[from.edge]; !known {
		if len(s.others) >= edgesMax {
			return false
		}
		s.told = time.Time{}
	}
	s.others[from.edge] = heard{at: now, number: from.number}
	s.among()
	return true
}

// forget forgets edges that were not heard for long.
func (s *Sharer) forget(now time.Time) {
	for edge, last := range s.others {
		if now.Sub(last.at) >= goneAfter {
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
