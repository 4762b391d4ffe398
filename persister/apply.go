package persister

import (
	"context"
	"database/sql"
	"log/slog"
	"math/rand/v2"
	"time"

	"sluice/core/db"
	"sluice/core/lifecycle"
)

const (
	// attemptTimeout bounds one transaction. After it the driver closes the connection. Whether MySQL has committed does
	// not matter, because the transaction is repeated.
	attemptTimeout = 30 * time.Second
	retryFirst     = 20 * time.Millisecond
	retryMax       = 2 * time.Second
	complainEvery  = 30 * time.Second
	rowsAtOnce     = 1 << 20 // of one transaction: any batch of the consumer, until one is too large
)

// applier writes batches into MySQL, however long that takes.
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

// apply writes rows, then dead letters, and tries until MySQL has them. It fails only when ctx ends. MySQL may then have
// them or not. apply still finishes a transaction that is under way.
func (a *applier) apply(ctx context.Context, rows []*row, letters []letter) error {
	defer a.meters.blocked.remove(a)
	d := newDelivery(rows, letters, &a.rows, &a.letters)
	trouble := lifecycle.NewTrouble(a.log, "write into mysql").Again(complainEvery, a.meters.now)
	for pause := retryFirst; ; {
		next, more := d.next()
		if !more {
			return nil
		}
		err := a.try(ctx, next)
		if err == nil {
			d.wrote(next)
			a.meters.blocked.remove(a)
			trouble.Saw(nil)
			pause = retryFirst
			continue
		}
		why, err := a.explain(ctx, err)
		a.meters.retries[why].Inc()
		if !d.failed(next, why, err) {
			continue
		}
		a.meters.blocked.add(a, why, err)
		if why != db.FailureDeadlock || pause > retryFirst { // a deadlock is gone with the next try, mostly
			trouble.Saw(err, "reason", why, "events", len(next.rows), "dead_letters", len(next.letters))
		}
		if !lifecycle.Pause(ctx, pause/2+rand.N(pause)) { //nolint:gosec // G404: jitter
			return ctx.Err()
		}
		pause = min(2*pause, retryMax)
	}
}

// try writes in one transaction.
func (a *applier) try(ctx context.Context, some attempt) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	start := a.meters.now()
	done, err := a.writer.write(ctx, some.rows, some.letters)
	if err != nil {
		return err
	}
	a.meters.seconds.UpdateDuration(start)
	a.meters.batches.Inc()
	a.meters.batchEvents.Update(float64(len(some.rows)))
	a.meters.events.Add(done.events)
	a.meters.duplicates.Add(max(0, len(some.rows)-done.events))
	for _, r := range some.rows {
		a.meters.applied(r.timeMS)
	}
	for i := range done.letters {
		done.letters[i].report(a.meters, a.log)
	}
	return nil
}

// explain returns the kind of an error of the database.
func (a *applier) explain(ctx context.Context, err error) (db.Failure, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	return explain(ctx, a.writer.db, err)
}
