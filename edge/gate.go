package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/lifecycle"
	"sluice/core/stock/redisstock"
)

// Bounds of the gate's work.
const (
	gateEvery    = time.Second            // between two looks at whether Redis is open
	gateRetry    = 200 * time.Millisecond // after the first failure; doubled up to gateRetryMax
	gateRetryMax = 5 * time.Second

	// gateRefusedMax is for what needs a person. Each try reads all that MySQL and Redis know of cells. What is refused holds
	// up no other partition: if more is shut than was refused, the next try comes at once.
	gateRefusedMax = 30 * time.Second

	gateFlush   = 2 * time.Second // for events that Redis may have lost to reach Kafka, before it is compared
	gateTimeout = 2 * time.Minute // of one vetting, which reads all of the ledger's ends
)

// gate opens Redis whenever it is shut: at the start of a deployment, and after a server of it was restarted
// or replaced, or its data were lost or set back. Any number of edges may try it at once. An edge that knows
// the data from its last run sells at once, and vets them beside that.
type gate struct {
	ask    func(context.Context) (redisstock.State, error)
	shut   func() int                  // partitions, as ask has last found
	vetted func() bool                 // by this edge, since its start
	adopt  func(context.Context) error // trusts what another edge has vetted
	load   func(context.Context) error // makes scripts known where those of another version are
	flush  func(context.Context) error
	vet    func(context.Context) error // opens what is shut, and trusts what sells
	log    *slog.Logger

	wake             chan struct{}
	open             *lifecycle.Signal // some of Redis was seen open
	opened, failures *metrics.Counter
	refusal          atomic.Pointer[error] // what the last vetting had against Redis; nil: nothing

	// Of run alone: until when what was refused is not vetted again, and how many partitions were.
	refusedUntil time.Time
	refused      int
}

// errRefused tells that Redis is as it was when it was refused, and is vetted again later.
var errRefused = errors.New("refused before")

func newGate(set *metrics.Set, log *slog.Logger) *gate {
	return &gate{
		log:      log,
		wake:     make(chan struct{}, 1),
		open:     lifecycle.NewSignal(),
		opened:   set.NewCounter("sluice_edge_gate_openings_total"),
		failures: set.NewCounter("sluice_edge_gate_failures_total"),
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
	retry := gateRetry
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		case <-g.wake:
			if retry > gateRetry { // the last try failed: no request makes the next one come sooner
				continue
			}
		}
		next := gateEvery
		switch err := g.look(ctx); {
		case err == nil || ctx.Err() != nil:
			retry, g.refusedUntil = gateRetry, time.Time{}
		case errors.Is(err, errRefused):
		default:
			g.failures.Inc()
			g.tell(err, retry)
			longest := gateRetryMax
			if next = retry; errors.Is(err, redisstock.ErrVetting) {
				g.refused, g.refusedUntil = g.shut(), time.Now().Add(retry)
				next, longest = min(retry, gateEvery), gateRefusedMax
			}
			retry = min(2*retry, longest)
		}
		wait.Reset(next)
	}
}

// look opens what is shut of Redis, and vets it once if nothing is.
func (g *gate) look(ctx context.Context) error {
	state, err := g.see(ctx)
	if err == nil && state != redisstock.StateOpen && g.join(ctx) == nil {
		state, err = g.see(ctx)
	}
	switch {
	case err != nil:
		return err
	case state == redisstock.StateOpen && g.vetted():
		g.refusal.Store(nil) // it may be another edge that has opened what was refused
		return nil
	case g.shut() <= g.refused && time.Now().Before(g.refusedUntil):
		return errRefused
	case state != redisstock.StateOpen:
		g.log.InfoContext(ctx, "redis is shut: comparing it with MySQL and Kafka before it sells", "state", state.String())
	default:
		g.log.InfoContext(ctx, "redis is as the last run of this edge left it: comparing it with MySQL and Kafka beside selling")
	}
	ctx, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	flushing, stop := context.WithTimeout(ctx, gateFlush)
	err = g.flush(flushing)
	stop()
	if err != nil {
		g.log.WarnContext(ctx, "events are still on their way to Kafka; what Redis lost of them is found later, by their marks", "error", err)
	}
	err = g.vet(ctx)
	g.note(err)
	if _, unseen := g.see(ctx); err == nil {
		err = unseen
	}
	if err == nil {
		g.opened.Inc()
	}
	return err
}

// join takes part in what others have opened. Before it has vetted anything itself, an edge trusts no more than its
// last run did: it lacks scripts only, as after an upgrade.
func (g *gate) join(ctx context.Context) error {
	if g.vetted() {
		return g.adopt(ctx)
	}
	return g.load(ctx)
}

// note keeps what speaks against Redis, for those who ask how the edge is.
func (g *gate) note(err error) {
	switch {
	case err == nil:
		g.refusal.Store(nil)
	case errors.Is(err, redisstock.ErrVetting):
		g.refusal.Store(&err)
	}
}

// why says what keeps Redis or some of it shut, and what to do.
func (g *gate) why(shut error) error {
	if refusal := g.refusal.Load(); refusal != nil {
		return fmt.Errorf("%w: %w: what MySQL and Kafka have is safe; see sluice doctor, and docs/backup.md on a Redis that has lost events", shut, *refusal)
	}
	return shut
}

// see asks, and lets work begin once some of Redis is open.
func (g *gate) see(ctx context.Context) (redisstock.State, error) {
	state, err := g.ask(ctx)
	if state == redisstock.StateOpen || state == redisstock.StatePartly {
		g.open.Raise()
	}
	return state, err
}

// tell logs a failure. What speaks against a server needs a person; anything else may pass.
func (g *gate) tell(err error, retry time.Duration) {
	level := slog.LevelWarn
	if errors.Is(err, redisstock.ErrVetting) || errors.Is(err, redisstock.ErrForeign) {
		level = slog.LevelError
	}
	g.log.Log(context.Background(), level, "not all of redis can be opened yet", "error", err, "retry_in", retry)
}
