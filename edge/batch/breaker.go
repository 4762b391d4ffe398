package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/lifecycle"
	"sluice/core/stock"
)

// Bounds of a breaker.
const (
	silentMax  = 3                      // calls in a row without an answer, after which the breaker opens
	probeFirst = 100 * time.Millisecond // from then to the first probe; doubled up to probeMax
	probeMax   = time.Second
)

// ErrSilent means that the server of the request's partition does not answer. Nothing was sent to it.
var ErrSilent = fmt.Errorf("%w: the server of its partition does not answer", stock.ErrNotApplied)

// silent says whether a call has ended without an answer of the server that is of use. A server that answers with an error, for
// example because its memory is full, is not silent: it answers at once, and it may execute other calls. But one that loads its
// data executes nothing, and answers only now and then, between the parts that it reads.
func silent(err error) bool {
	return errors.Is(err, stock.ErrUnknown) || errors.Is(err, stock.ErrUnreached) || errors.Is(err, stock.ErrLoading)
}

// breaker refuses the requests for one server while the server is silent. Without it each of them would wait for a whole
// call, with its connection and its memory, and would then have an unknown outcome. A breaker opens by calls, and closes
// by a probe. A probe only reads, so that no request is risked for it.
type breaker struct {
	server string // as the store names it
	open   atomic.Bool

	openings, refused *metrics.Counter

	mu      sync.Mutex
	calls   int       // in a row, without an answer
	counted time.Time // when the last of these calls ended
}

// saw notes how a call ended, and returns true if that opens the breaker. Calls that were in flight together count once,
// because one lost connection ends all of them.
func (b *breaker) saw(sent, ended time.Time, silent bool) (opens bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.open.Load():
	case !silent:
		b.calls = 0
	case !sent.Before(b.counted):
		b.calls++
		b.counted = ended
		opens = b.calls == silentMax
		b.open.Store(opens)
	}
	return opens
}

// close makes the breaker begin anew.
func (b *breaker) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = 0
	b.open.Store(false)
}

// refuse counts requests that the breaker refuses.
func (b *breaker) refuse(requests int) error {
	b.refused.Add(requests)
	return ErrSilent
}

// Reachable returns ErrSilent while the server of a partition is silent. Callers that read from the server themselves ask
// it first.
func (b *Batcher) Reachable(partition int) error {
	if b.routes[partition].Load().breaker.Load().open.Load() {
		return ErrSilent
	}
	return nil
}

// sawCall tells a breaker how a call ended, and starts its probes if that opens it.
func (b *Batcher) sawCall(of *breaker, sent, ended time.Time, silent bool) {
	if !of.saw(sent, ended, silent) {
		return
	}
	of.openings.Inc()
	b.cfg.Log.Warn("a redis node does not answer: its requests are refused until it does", "node", nodeLabel(of.server))
	b.work.Go(func() { b.probe(of) })
}

// probe asks a silent server, one call at a time, until it answers, has no partition any more, or the batcher is drained.
func (b *Batcher) probe(of *breaker) {
	for pause := probeFirst; lifecycle.Pause(b.living, pause); pause = min(2*pause, probeMax) {
		b.reroute()
		partition, serves := b.partitionOf(of.server)
		if !serves {
			return
		}
		if err := b.ask(partition); !silent(err) {
			of.close()
			b.cfg.Log.Info("a redis node answers again", "node", nodeLabel(of.server))
			return
		}
	}
}

// ask reads from the server of a partition.
func (b *Batcher) ask(partition int) (err error) {
	defer func() {
		if p := recover(); p != nil {
			b.meter.panicked(b.cfg.Log, p)
			err = fmt.Errorf("%w: the probe panicked: %v", stock.ErrUnknown, p)
		}
	}()
	ctx, cancel := context.WithTimeout(b.living, b.cfg.CallTimeout)
	defer cancel()
	_, err = b.store.OutboxAfter(ctx, partition, "", 1)
	return err
}

// breakers has the breaker of each server.
type breakers struct {
	set *metrics.Set
	all map[string]*breaker
}

// of returns the breaker of a server, and makes it if there is none.
func (b *breakers) of(server string) *breaker {
	found := b.all[server]
	if found == nil {
		found = &breaker{server: server}
		names := namesOf(server)
		b.set.NewGauge(names.open, func() float64 { return oneIf(found.open.Load()) })
		b.set.NewGauge(names.closed, func() float64 { return oneIf(!found.open.Load()) })
		found.openings, found.refused = b.set.NewCounter(names.openings), b.set.NewCounter(names.refused)
		b.all[server] = found
	}
	return found
}

// keep forgets the breakers of all other servers.
func (b *breakers) keep(serves func(server string) bool) {
	for server := range b.all {
		if serves(server) {
			continue
		}
		names := namesOf(server)
		for _, name := range []string{names.open, names.closed, names.openings, names.refused} {
			b.set.UnregisterMetric(name)
		}
		delete(b.all, server)
	}
}

// breakerNames are the names of one breaker's metrics.
type breakerNames struct{ open, closed, openings, refused string }

func namesOf(server string) breakerNames {
	node := nodeLabel(server)
	return breakerNames{
		open:     fmt.Sprintf(`sluice_edge_breaker_state_info{node=%q,state="open"}`, node),
		closed:   fmt.Sprintf(`sluice_edge_breaker_state_info{node=%q,state="closed"}`, node),
		openings: fmt.Sprintf(`sluice_edge_breaker_openings_total{node=%q}`, node),
		refused:  fmt.Sprintf(`sluice_edge_breaker_refused_requests_total{node=%q}`, node),
	}
}

// nodeLabel names a server for people. The store has no name for the only one, and for one behind Sentinels.
func nodeLabel(server string) string {
	if server == "" {
		return "primary"
	}
	return server
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
