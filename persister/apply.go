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
	defer a.meters.blocked.remove(a)
	for pause := retryFirst; ; pause = min(2*pause, retryMax) {
		err := a.attempt(ctx, rows, letters)
		if err == nil {
			return nil
		}
		why, err := a.explain(ctx, err)
		a.meters.retries[why].Inc()
		switch {
		case why == troubleRefused && len(rows) == 1:
			return a.apply(ctx, nil, append(letters, rowLetter(reasonRefused, err.Error(), rows[0])))
		case why == troubleRefused && len(rows) > 1, why == troubleTooLarge && len(rows)+len(letters) > 1:
			return a.divide(ctx, rows, letters)
		}
		a.meters.blocked.add(a, why, err)
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

// explain tells what an error of the database calls for.
func (a *applier) explain(ctx context.Context, err error) (trouble, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	return explain(ctx, a.writer.db, err)
}

// divide applies the halves of a batch. So no other event waits for one that the database refuses: the checks
// before should leave none, this is for what they do not know of. And a batch becomes as small as the server's
// max_allowed_packet wants it. A single event or letter that is too large even so stays: as a dead letter it would
// be larger, and whoever raises the setting loses nothing.
func (a *applier) divide(ctx context.Context, rows []*row, letters []letter) error {
	if half := len(rows) / 2; half > 0 {
		if err := a.apply(ctx, rows[:half], letters); err != nil {
			return err
		}
		return a.apply(ctx, rows[half:], nil)
	}
	half := len(letters) / 2
	if err := a.apply(ctx, rows, letters[:half]); err != nil {
		return err
	}
	return a.apply(ctx, nil, letters[half:])
}
