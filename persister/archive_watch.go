package persister

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/archive"
	"sluice/core/lifecycle"
)

const (
	archiveEvery   = 15 * time.Second
	archiveTimeout = 5 * time.Second
)

// archiveWatch shows the results of sluice archive, because a command has no metrics of its own. Every persister shows
// the same, as MySQL has it.
type archiveWatch struct {
	runs *archive.Runs
	log  *slog.Logger
	now  func() time.Time

	mu        sync.Mutex
	known     bool
	last      map[archive.Act]*archive.Result // nil: none has ended
	succeeded time.Time                       // by this machine's clock: when the last one left nothing, or else when the first one began; zero: there was none
}

func newArchiveWatch(db *sql.DB, m *meters, set *metrics.Set, log *slog.Logger) *archiveWatch {
	w := &archiveWatch{runs: archive.NewRuns(db), log: log, now: m.now}
	for table, of := range map[string]func(*archive.Result) int64{
		"ledger":       func(r *archive.Result) int64 { return r.Events },
		"reservations": func(r *archive.Result) int64 { return r.Reservations },
		"repairs":      func(r *archive.Result) int64 { return r.Repairs },
	} {
		set.NewGauge(fmt.Sprintf("sluice_persister_archive_moved_rows{table=%q}", table), func() float64 {
			return w.ofLast(archive.ActArchive, func(r *archive.Result) float64 { return float64(of(r)) })
		})
	}
	set.NewGauge("sluice_persister_archive_run_seconds", func() float64 {
		return w.ofLast(archive.ActArchive, func(r *archive.Result) float64 { return r.Seconds })
	})
	set.NewGauge("sluice_persister_archive_left_cells", func() float64 {
		return w.ofLast(archive.ActArchive, func(r *archive.Result) float64 { return float64(r.LeftCells) })
	})
	set.NewGauge("sluice_persister_archive_unsucceeded_seconds", w.age)
	for _, act := range []archive.Act{archive.ActArchive, archive.ActVerify} {
		set.NewGauge(fmt.Sprintf("sluice_persister_archive_bad_files{act=%q}", act), func() float64 {
			return w.ofLast(act, func(r *archive.Result) float64 { return float64(r.BadFiles) })
		})
	}
	return w
}

// run reads again and again until ctx ends.
func (w *archiveWatch) run(ctx context.Context) {
	lifecycle.Repeat(ctx, w.log, "read what became of runs of the archive", archiveEvery, w.read)
}

func (w *archiveWatch) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, archiveTimeout)
	defer cancel()
	last := map[archive.Act]*archive.Result{}
	ago, err := w.runs.Unsucceeded(ctx, archive.ActArchive)
	for _, act := range []archive.Act{archive.ActArchive, archive.ActVerify} {
		if err == nil {
			last[act], err = w.runs.Last(ctx, act)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = last
	if w.known = err == nil; w.known {
		w.succeeded = time.Time{}
		if ago >= 0 {
			w.succeeded = w.now().Add(-ago)
		}
	}
	return err
}

// ofLast is a figure of the last run that has ended, NaN if there is none or MySQL does not tell.
func (w *archiveWatch) ofLast(act archive.Act, figure func(*archive.Result) float64) float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.known || w.last[act] == nil {
		return math.NaN()
	}
	return figure(w.last[act])
}

// age goes on while MySQL does not tell: when a run succeeded stays true.
func (w *archiveWatch) age() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.succeeded.IsZero() {
		return math.NaN()
	}
	return max(0, w.now().Sub(w.succeeded).Seconds())
}
