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

	"sluice/core/lifecycle"
)

const (
	lettersEvery   = 5 * time.Second // between two counts, or
	lettersShare   = 50              // so many times as long as one takes, where there are many
	lettersTimeout = 30 * time.Second

	countLetters = "SELECT reason, COUNT(*) FROM dead_letters WHERE resolved_at IS NULL GROUP BY reason"
	reasonOther  = "other" // of a newer program
)

// letterWatch counts the dead letters that nobody has resolved.
type letterWatch struct {
	db  *sql.DB
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	counts map[string]int64 // by reason; nil: not known
}

func newLetterWatch(db *sql.DB, m *meters, set *metrics.Set, log *slog.Logger) *letterWatch {
	w := &letterWatch{db: db, log: log, now: m.now}
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
	rows, err := w.db.QueryContext(ctx, countLetters)
	if err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	defer rows.Close()
	counts := map[string]int64{}
	for rows.Next() {
		var reason string
		var n int64
		if err := rows.Scan(&reason, &n); err != nil {
			return nil, fmt.Errorf("count dead letters: %w", err)
		}
		if !slices.Contains(reasons, reason) {
			reason = reasonOther
		}
		counts[reason] += n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	return counts, nil
}
