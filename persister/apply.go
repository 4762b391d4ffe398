package persister

import (
	"context"
	"database/sql"
	"log/slog"
	"math/rand/v2"
	"time"
)

const (
	// attemptTimeout bounds one transaction. The connection is closed in its middle, and what became of
	// it does not matter.
	attemptTimeout = 30 * time.Second
	retryFirst     = 20 * time.Millisecond
	retryMax       = 2 * time.Second
	complainEvery  = 30 * time.Second
)

// applier brings batches into MySQL, however long that takes.
type applier struct {
	writer writer
	meters *meters
	log    *slog.Logger
}

func newApplier(db *sql.DB, m *meters, log *slog.Logger) *applier {
	return &applier{writer: writer{db: db}, meters: m, log: log}
}

// apply writes rows and dead letters, and tries until MySQL has them. It fails only when ctx ends: then
// they may be in MySQL, or not yet. A transaction under way is brought to its end even so.
func (a *applier) apply(ctx context.Context, rows []*row, letters []letter) error {
	var complained time.Time
	for pause := retryFirst; ; pause = min(2*pause, retryMax) {
		err := a.attempt(ctx, rows, letters)
		if err == nil {
			return nil
		}
		why := troubleOf(err)
		a.meters.retries[why].Inc()
		if why == troubleRefused && len(rows) > 0 {
			return a.isolate(ctx, rows, letters, err)
		}
		if now := a.meters.now(); now.Sub(complained) >= complainEvery && (why != troubleDeadlock || pause > retryFirst) {
			complained = now
			a.log.Warn("cannot write into mysql yet", "reason", why, "events", len(rows), "error", err)
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // G404: jitter
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (a *applier) attempt(ctx context.Context, rows []*row, letters []letter) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	start := a.meters.now()
	done, err := a.writer.write(ctx, rows, letters)
	if err != nil {
		return err
	}
	a.meters.seconds.UpdateDuration(start)
	a.meters.batches.Inc()
	a.meters.batchEvents.Update(float64(len(rows)))
	a.meters.events.Add(done.events)
	a.meters.duplicates.Add(max(0, len(rows)-done.events))
	for _, r := range rows {
		a.meters.applied(r.timeMS)
	}
	for i := range done.letters {
		done.letters[i].report(a.meters, a.log)
	}
	return nil
}

// isolate finds the event that the database refuses, so that no other one waits for it. The checks before
// should leave none; this is for what they do not know of.
func (a *applier) isolate(ctx context.Context, rows []*row, letters []letter, refusal error) error {
	if len(rows) == 1 {
		return a.apply(ctx, nil, append(letters, rowLetter(reasonRefused, refusal.Error(), rows[0])))
	}
	half := len(rows) / 2
	if err := a.apply(ctx, rows[:half], letters); err != nil {
		return err
	}
	return a.apply(ctx, rows[half:], nil)
}
