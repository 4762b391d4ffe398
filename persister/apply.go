package persister

import (
	"context"
	"database/sql"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// attemptTimeout bounds one transaction. The connection is closed in its middle, and what became of
	// it does not matter.
	attemptTimeout = 30 * time.Second
	retryFirst     = 20 * time.Millisecond
	retryMax       = 2 * time.Second
	complainEvery  = 30 * time.Second
	rowsAtOnce     = 1 << 20 // of one transaction: any batch of the consumer, until one is too large
)

// applier brings batches into MySQL, however long that takes.
type applier struct {
	writer writer
	meters *meters
	log    *slog.Logger

	rows, letters portion // of one transaction
}

func newApplier(db *sql.DB, m *meters, log *slog.Logger) *applier {
	return &applier{
		writer: writer{db: db}, meters: m, log: log,
		rows: newPortion(rowsAtOnce), letters: newPortion(rowsAtOnce),
	}
}

// apply writes rows, then dead letters, and tries until MySQL has them. It fails only when ctx ends: then
// they may be in MySQL, or not yet. A transaction under way is brought to its end even so.
func (a *applier) apply(ctx context.Context, rows []*row, letters []letter) error {
	var refused []letter
	err := inPortions(&a.rows, rows, func(some []*row) error {
		dead, err := a.isolate(ctx, some)
		if err == nil {
			refused = append(refused, dead...)
		}
		return err
	})
	if err != nil {
		return err
	}
	return inPortions(&a.letters, slices.Concat(letters, refused), func(some []letter) error { return a.insist(ctx, nil, some) })
}

// isolate writes rows, and returns dead letters for those that the database refuses: it halves what is refused, so
// that no other event waits. The checks before should leave none, this is for what they do not know of.
func (a *applier) isolate(ctx context.Context, rows []*row) (refused []letter, err error) {
	err = a.insist(ctx, rows, nil)
	switch {
	case err == nil || troubleOf(err) != troubleRefused:
		return nil, err
	case len(rows) == 1:
		return []letter{rowLetter(reasonRefused, err.Error(), rows[0])}, nil
	}
	for half := range slices.Chunk(rows, (len(rows)+1)/2) {
		dead, err := a.isolate(ctx, half)
		if err != nil {
			return nil, err
		}
		refused = append(refused, dead...)
	}
	return refused, nil
}

// insist tries until MySQL has rows and dead letters. It gives up when ctx ends, when the database refuses a row, and
// when several things are too large together. One that is too large alone stays: as a dead letter it would be larger,
// and whoever raises max_allowed_packet loses nothing.
func (a *applier) insist(ctx context.Context, rows []*row, letters []letter) error {
	var complained time.Time
	defer a.meters.blocked.remove(a)
	for pause := retryFirst; ; pause = min(2*pause, retryMax) {
		err := a.attempt(ctx, rows, letters)
		if err == nil {
			return nil
		}
		why, err := a.explain(ctx, err)
		a.meters.retries[why].Inc()
		if why == troubleRefused && len(rows) > 0 || why == troubleTooLarge && len(rows)+len(letters) > 1 {
			return err
		}
		a.meters.blocked.add(a, why, err)
		if now := a.meters.now(); now.Sub(complained) >= complainEvery && (why != troubleDeadlock || pause > retryFirst) {
			complained = now
			a.log.Warn("cannot write into mysql yet", "reason", why, "events", len(rows), "dead_letters", len(letters), "error", err)
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
