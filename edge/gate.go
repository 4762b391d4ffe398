package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/stock/redisstock"
)

// Bounds of the gate's work.
const (
	gateEvery    = time.Second            // between two looks at whether Redis is open
	gateRetry    = 200 * time.Millisecond // after the first failure; doubled up to gateRetryMax
	gateRetryMax = 5 * time.Second
	gateFlush    = 2 * time.Second // for events that Redis may have lost to reach Kafka, before it is compared
	gateTimeout  = 2 * time.Minute // of one vetting, which reads all of the ledger's ends
)

// gate opens Redis whenever it is shut: at the start of a deployment, and after a server of it was
// restarted or replaced. Any number of edges may try it at once.
type gate struct {
	shut  func(context.Context) (bool, error)
	flush func(context.Context) error
	open  func(context.Context) (redisstock.OpenReport, error)
	log   *slog.Logger

	wake             chan struct{}
	first            chan struct{} // closed once Redis was seen open
	opened, failures *metrics.Counter
	state            atomic.Int32 // of redisStates
}

// redisStates are what a look at Redis can find.
var redisStates = [...]string{"unknown", "open", "shut"}

const (
	redisUnknown = iota // it does not answer, or somebody else's does
	redisOpen
	redisShut
)

func newGate(set *metrics.Set, log *slog.Logger) *gate {
	g := &gate{
		log:      log,
		wake:     make(chan struct{}, 1),
		first:    make(chan struct{}),
		opened:   set.NewCounter("sluice_edge_gate_openings_total"),
		failures: set.NewCounter("sluice_edge_gate_failures_total"),
	}
	for i, word := range redisStates {
		set.NewGauge(fmt.Sprintf("sluice_edge_redis_state_info{state=%q}", word), func() float64 {
			if int(g.state.Load()) == i {
				return 1
			}
			return 0
		})
	}
	return g
}

// whenOpen runs work once Redis was seen open, until ctx ends. Before that it could only fail.
func (g *gate) whenOpen(ctx context.Context, work func(context.Context)) {
	select {
	case <-g.first:
		work(ctx)
	case <-ctx.Done():
	}
}

// suspect tells that a server refused because it is shut. It never blocks.
func (g *gate) suspect() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// run watches until ctx ends.
func (g *gate) run(ctx context.Context) {
	wait := time.NewTimer(0)
	defer wait.Stop()
	retry, seenOpen := gateRetry, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		case <-g.wake:
			if retry > gateRetry { // who knocks at a door that does not open is not heard sooner
				continue
			}
		}
		next := gateEvery
		err := g.look(ctx)
		if err != nil && ctx.Err() == nil {
			g.failures.Inc()
			g.tell(err, retry)
			next, retry = retry, min(2*retry, gateRetryMax)
		} else if retry = gateRetry; err == nil && !seenOpen {
			seenOpen = true
			close(g.first)
		}
		wait.Reset(next)
	}
}

// look opens Redis if it is shut.
func (g *gate) look(ctx context.Context) error {
	shut, err := g.shut(ctx)
	switch {
	case err != nil:
		g.state.Store(redisUnknown)
		return err
	case !shut:
		g.state.Store(redisOpen)
		return nil
	}
	g.state.Store(redisShut)
	g.log.InfoContext(ctx, "redis is shut: comparing it with MySQL and Kafka before it sells")
	ctx, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	flushing, stop := context.WithTimeout(ctx, gateFlush)
	err = g.flush(flushing)
	stop()
	if err != nil {
		g.log.WarnContext(ctx, "events are still on their way to Kafka; what Redis lost of them is found later, by their marks", "error", err)
	}
	if _, err := g.open(ctx); err != nil {
		return err
	}
	g.opened.Inc()
	g.state.Store(redisOpen)
	return nil
}

// tell logs a failure. What speaks against a server needs a person; anything else may pass.
func (g *gate) tell(err error, retry time.Duration) {
	level := slog.LevelWarn
	if errors.Is(err, redisstock.ErrVetting) || errors.Is(err, redisstock.ErrForeign) {
		level = slog.LevelError
	}
	g.log.Log(context.Background(), level, "redis cannot be opened yet", "error", err, "retry_in", retry)
}
