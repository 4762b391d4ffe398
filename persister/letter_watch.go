package persister

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/ledger"
	"sluice/core/lifecycle"
)

const (
	lettersEvery   = 5 * time.Second // between two counts, or
	lettersShare   = 50              // so many times as long as a count takes, if that is longer
	lettersTimeout = 30 * time.Second

	reasonOther = "other" // of a newer program
)

// letterWatch counts the dead letters that nobody has resolved.
type letterWatch struct {
	books *ledger.Reader
	log   *slog.Logger
	now   func() time.Time

	mu     sync.Mutex
	counts map[string]int64 // by reason; nil: not known
}

func newLetterWatch(db *sql.DB, m *meters, set *metrics.Set, log *slog.Logger) *letterWatch {
	w := &letterWatch{books: ledger.New(db, nil), log: log, now: m.now}
	for _, reason := range append(slices.Clone(reasons), reasonOther) {
		set.NewGauge(fmt.Sprintf("sluice_persister_unresolved_dead_letters{reason=%q}", reason), func() float64 {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.counts == nil {
				return math.NaN()
			}
			return float64(w.counts[reason])
		})
	}
	return w
}

// run counts until ctx ends.
func (w *letterWatch) run(ctx context.Context) {
	trouble := lifecycle.NewTrouble(w.log, "count dead letters")
	for {
		start := w.now()
		counts, err := w.count(ctx)
		if ctx.Err() != nil {
			return
		}
		trouble.Saw(err)
		w.mu.Lock()
		w.counts = counts
		w.mu.Unlock()
		if !lifecycle.Pause(ctx, max(lettersEvery, lettersShare*w.now().Sub(start))) {
			return
		}
	}
}

func (w *letterWatch) count(ctx context.Context) (map[string]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, lettersTimeout)
	defer cancel()
	found, err := w.books.Unresolved(ctx)
	if err != nil {
		return nil, err
	}
	counts := map[string]int64{}
	for reason, n := range found {
		if !slices.Contains(reasons, reason) {
			reason = reasonOther
		}
		counts[reason] += n
	}
	return counts, nil
}
