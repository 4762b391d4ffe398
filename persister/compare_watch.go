package persister

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/lifecycle"
	"sluice/core/reconcile"
	"sluice/core/reconcile/journal"
)

// readEvery is how often a persister reads the findings of comparisons. Every persister shows the same, so nothing is
// missing from the metrics when another one goes on comparing.
const readEvery = 5 * time.Second

// sweeps has the sweeps that have metrics.
var sweeps = []journal.Sweep{journal.Stock, journal.Rows}

// compareWatch shows the findings of comparisons, as MySQL has them.
type compareWatch struct {
	journal *journal.Journal
	log     *slog.Logger
	now     func() time.Time
	begun   time.Time // of this persister
	within  time.Duration

	sweeps  map[reconcile.Verdict]*metrics.Counter
	calls   *metrics.Counter
	changed *metrics.Counter

	mu        sync.Mutex
	counts    map[[2]string]reconcile.Quantity // by type and direction; nil: not known
	last      *journal.Run                     // nil: none, or not known
	completed map[journal.Sweep]time.Time      // when the last one that could read everything began, by this machine's clock
	period    time.Duration
}

func newCompareWatch(kept *journal.Journal, within time.Duration, m *meters, set *metrics.Set, log *slog.Logger) *compareWatch {
	w := &compareWatch{
		journal: kept, log: log, now: m.now, begun: m.now(), within: within, period: within,
		sweeps: map[reconcile.Verdict]*metrics.Counter{}, completed: map[journal.Sweep]time.Time{},
		calls:   set.NewCounter("sluice_persister_reconcile_sweep_calls_total"),
		changed: set.NewCounter("sluice_persister_reconcile_changed_cells_total"),
	}
	for _, v := range []reconcile.Verdict{reconcile.Clean, reconcile.HasDrift, reconcile.NotChecked} {
		w.sweeps[v] = set.NewCounter(fmt.Sprintf("sluice_persister_reconcile_sweeps_total{verdict=%q}", v))
	}
	for _, t := range reconcile.Types {
		for _, way := range []reconcile.Direction{reconcile.Oversell, reconcile.Undersell, reconcile.Bookkeeping} {
			labels := fmt.Sprintf("{type=%q,direction=%q}", t, way)
			key := [2]string{string(t), string(way)}
			set.NewGauge("sluice_persister_reconcile_findings"+labels, func() float64 { return w.count(key, func(q reconcile.Quantity) int64 { return q.Findings }) })
			set.NewGauge("sluice_persister_reconcile_finding_units"+labels, func() float64 { return w.count(key, func(q reconcile.Quantity) int64 { return q.Units }) })
		}
	}
	for class, of := range map[reconcile.Class]func(*journal.Run) int64{
		reconcile.InSync:     func(r *journal.Run) int64 { return r.InSync },
		reconcile.InFlight:   func(r *journal.Run) int64 { return r.InFlight },
		reconcile.Drift:      func(r *journal.Run) int64 { return r.Drift },
		reconcile.Unverified: func(r *journal.Run) int64 { return r.Unverified },
	} {
		set.NewGauge(fmt.Sprintf("sluice_persister_reconcile_cells{class=%q}", class), func() float64 {
			return w.ofLast(func(r *journal.Run) float64 { return float64(of(r)) })
		})
	}
	set.NewGauge("sluice_persister_reconcile_sweep_seconds", func() float64 { return w.ofLast(func(r *journal.Run) float64 { return r.Seconds }) })
	set.NewGauge("sluice_persister_reconcile_period_seconds", w.periodSeconds)
	for _, s := range sweeps {
		set.NewGauge(fmt.Sprintf("sluice_persister_reconcile_unverified_seconds{sweep=%q}", s), func() float64 { return w.age(s) })
	}
	return w
}

// run reads again and again until ctx ends.
func (w *compareWatch) run(ctx context.Context) {
	lifecycle.Repeat(ctx, w.log, "read what comparisons of the stores have found", readEvery, w.read)
}

func (w *compareWatch) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	found, err := w.journal.Counts(ctx)
	var last *journal.Run
	completed := map[journal.Sweep]time.Time{}
	for _, s := range sweeps {
		if err != nil {
			break
		}
		var complete *journal.Run
		var ago time.Duration
		if complete, ago, err = w.journal.Last(ctx, s); complete != nil {
			completed[s] = w.now().Add(-ago)
		}
	}
	if _, known := completed[journal.Rows]; err == nil && !known { // the first pass takes long
		var pass *journal.Pass
		if pass, err = w.journal.Pass(ctx); pass != nil {
			completed[journal.Rows] = w.now().Add(-pass.Ago)
		}
	}
	if err == nil {
		last, err = w.journal.Newest(ctx, journal.Stock)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.counts, w.last = nil, nil // when stores were compared stays true
		return err
	}
	w.counts = map[[2]string]reconcile.Quantity{}
	for _, c := range found {
		w.counts[[2]string{string(c.Type), string(c.Direction)}] = c.Quantity
	}
	w.last, w.completed = last, completed
	if last != nil {
		_, w.period = schedule(w.within, time.Duration(last.Seconds*float64(time.Second)))
	}
	return nil
}

// swept counts a sweep of this persister.
func (w *compareWatch) swept(s *reconcile.Summary) {
	w.sweeps[s.Verdict].Inc()
	w.calls.AddInt64(s.Calls)
}

// count is how much is found of a type and direction. It is NaN while nobody knows: an unknown number must not look like 0.
func (w *compareWatch) count(key [2]string, of func(reconcile.Quantity) int64) float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counts == nil {
		return math.NaN()
	}
	return float64(of(w.counts[key]))
}

// ofLast is a figure of the last sweep, NaN if there is none or MySQL does not tell.
func (w *compareWatch) ofLast(figure func(*journal.Run) float64) float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		return math.NaN()
	}
	return figure(w.last)
}

func (w *compareWatch) periodSeconds() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.period.Seconds()
}

// age returns how long ago the last sweep began that could read everything. If there was none, it counts from the begin
// of the first one, or from the start of this persister.
func (w *compareWatch) age(s journal.Sweep) float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, known := w.completed[s]
	if !known {
		at = w.begun
	}
	return max(0, w.now().Sub(at).Seconds())
}
