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

	// gateRefusedMax is the longest retry after a refusal, while a person has to act. It is longer, because each try reads
	// everything that MySQL and Redis know of cells. A refusal holds up no other partition: if more partitions are shut
	// than were refused, the next try comes at once.
	gateRefusedMax = 30 * time.Second

	// gateFenceEvery is how often cells are looked at that are fenced. A vetting opens those that MySQL or Kafka know.
	gateFenceEvery = 10 * time.Second

	gateFlush   = 2 * time.Second // before a vetting, for events that Redis may have lost to reach Kafka
	gateTimeout = 2 * time.Minute // of one vetting
)

// gatedRedis is the Redis that a gate opens: a *guarded.
type gatedRedis interface {
	State(ctx context.Context) (redisstock.State, error)
	SeenShut() int                         // partitions that State found shut the last time
	Vetted() bool                          // whether this edge has vetted Redis since its start
	Adopt(ctx context.Context) error       // trusts the data that another edge has vetted
	LoadScripts(ctx context.Context) error // loads this version's scripts where those of another version are loaded
	Flush(ctx context.Context) error       // brings the edge's own events to Kafka, before a vetting reads them there
	Vet(ctx context.Context) error         // vets Redis, opens shut partitions, and trusts the open ones
}

// gate opens Redis whenever it is shut: at the start of a deployment, after a server was restarted or replaced, and
// after data were lost or set back. Any number of edges may do so at once. An edge that knows the data from its last
// run sells at once, and vets them meanwhile.
type gate struct {
	redis gatedRedis
	log   *slog.Logger

	wake             chan struct{}
	refusals         chan struct{}     // has one element once a vetting has refused something
	open             *lifecycle.Signal // raised once some of Redis is open
	opened, failures *metrics.Counter
	refusal          atomic.Pointer[error] // the objections of the last vetting; nil: none
	vetting          atomic.Bool           // a vetting is under way

	fenced     atomic.Bool  // an answer had a fenced cell, which a vetting opens
	fenceAfter atomic.Int64 // Unix ms until which fences are left alone: the last vetting has seen them

	// Only run uses these: when a refused Redis may be vetted again, and how many partitions were shut at the refusal.
	refusedUntil time.Time
	refused      int
}

// ErrVettingUnderWay means that a vetting is under way. It opens the shut partitions, or says why it does not.
var ErrVettingUnderWay = errors.New("a vetting is under way")

// errRefused means that Redis is as it was when a vetting refused it. The gate vets it again later.
var errRefused = errors.New("refused before")

func newGate(redis gatedRedis, set *metrics.Set, log *slog.Logger) *gate {
	return &gate{
		redis:    redis,
		log:      log,
		wake:     make(chan struct{}, 1),
		refusals: make(chan struct{}, 1),
		open:     lifecycle.NewSignal(),
		opened:   set.NewCounter("sluice_edge_gate_openings_total"),
		failures: set.NewCounter("sluice_edge_gate_failures_total"),
	}
}

// suspect wakes the gate, because a server refused a call as shut. It never blocks.
func (g *gate) suspect() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// fence wakes the gate, because a cell is fenced. It never blocks.
func (g *gate) fence() {
	if !g.fenced.Swap(true) {
		g.suspect()
	}
}

// unfences tells whether fences are to be looked at now.
func (g *gate) unfences() bool {
	now := time.Now()
	if now.UnixMilli() < g.fenceAfter.Load() || !g.fenced.Swap(false) {
		return false
	}
	g.fenceAfter.Store(now.Add(gateFenceEvery).UnixMilli())
	return true
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
			if retry > gateRetry { // the last try failed: requests do not make the next one come sooner
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
				g.refused, g.refusedUntil = g.redis.SeenShut(), time.Now().Add(retry)
				next, longest = min(retry, gateEvery), gateRefusedMax
			}
			retry = min(2*retry, longest)
		}
		wait.Reset(next)
	}
}

// look opens the shut partitions of Redis. If none is shut, it vets Redis once per run of the edge.
func (g *gate) look(ctx context.Context) error {
	state, err := g.see(ctx)
	if err == nil && state != redisstock.StateOpen && g.join(ctx) == nil {
		state, err = g.see(ctx)
	}
	switch {
	case err != nil:
		return err
	case g.unfences():
		g.log.InfoContext(ctx, "redis has lost effects that somebody has seen: comparing it with MySQL and Kafka, and opening the fenced cells anew")
	case state == redisstock.StateOpen && g.redis.Vetted():
		g.refusal.Store(nil) // it may be another edge that has opened what was refused
		return nil
	case g.redis.SeenShut() <= g.refused && time.Now().Before(g.refusedUntil):
		return errRefused
	case state != redisstock.StateOpen:
		g.log.InfoContext(ctx, "redis is shut: comparing it with MySQL and Kafka before it sells", "state", state.String())
	default:
		g.log.InfoContext(ctx, "redis is as the last run of this edge left it: comparing it with MySQL and Kafka beside selling")
	}
	g.vetting.Store(true)
	defer g.vetting.Store(false)
	ctx, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	flushing, stop := context.WithTimeout(ctx, gateFlush)
	err = g.redis.Flush(flushing)
	stop()
	if err != nil {
		g.log.WarnContext(ctx, "events are still on their way to Kafka: if Redis has lost some of them, their positions show it later", "error", err)
	}
	err = g.redis.Vet(ctx)
	g.note(err)
	if _, unseen := g.see(ctx); err == nil {
		err = unseen
	}
	if err == nil {
		g.opened.Inc()
	}
	return err
}

// join joins others that have opened Redis. An edge that has vetted Redis itself adopts what they have vetted. Before
// that it trusts no more than its last run did, and only loads the scripts that it lacks, as after an upgrade.
func (g *gate) join(ctx context.Context) error {
	if g.redis.Vetted() {
		return g.redis.Adopt(ctx)
	}
	return g.redis.LoadScripts(ctx)
}

// note keeps the objections to Redis for /readyz.
func (g *gate) note(err error) {
	switch {
	case err == nil:
		g.refusal.Store(nil)
	case errors.Is(err, redisstock.ErrVetting):
		g.refusal.Store(&err)
		select {
		case g.refusals <- struct{}{}:
		default:
		}
	}
}

// why says what keeps Redis or some of it shut, and what to do.
func (g *gate) why(shut error) error {
	vetting := g.vetting.Load() // first: a vetting that ends meanwhile may leave a refusal
	if refusal := g.refusal.Load(); refusal != nil {
		return fmt.Errorf("%w: %w: what MySQL and Kafka have is safe; see sluice doctor, and docs/backup.md on a Redis that has lost events", shut, *refusal)
	}
	if vetting {
		return fmt.Errorf("%w: %w", shut, ErrVettingUnderWay)
	}
	return shut
}

// see asks for the state of Redis, and raises open if some of Redis is open.
func (g *gate) see(ctx context.Context) (redisstock.State, error) {
	state, err := g.redis.State(ctx)
	if state == redisstock.StateOpen || state == redisstock.StatePartly {
		g.open.Raise()
	}
	return state, err
}

// tell logs a failure. An objection to a server needs a person; anything else may pass by itself.
func (g *gate) tell(err error, retry time.Duration) {
	level := slog.LevelWarn
	if errors.Is(err, redisstock.ErrVetting) || errors.Is(err, redisstock.ErrForeign) {
		level = slog.LevelError
	}
	g.log.Log(context.Background(), level, "not all of redis can be opened yet", "error", err, "retry_in", retry)
}
