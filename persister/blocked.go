package persister

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/core/db"
)

// blockedAfter is how long a batch may fail before the process stops being ready.
const blockedAfter = 5 * time.Second

// blocked knows which workers have a batch that MySQL does not take.
type blocked struct {
	now func() time.Time

	mu      sync.Mutex
	workers map[*applier]obstacle
}

// obstacle says why a worker is blocked.
type obstacle struct {
	why   db.Failure
	err   error
	since time.Time
}

// add notes that a worker's batch failed, perhaps once more.
func (b *blocked) add(a *applier, why db.Failure, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.workers[a]
	if !ok {
		o.since = b.now()
	}
	o.why, o.err = why, err
	b.workers[a] = o
}

// remove notes that a worker's batch is in MySQL, or given up because the worker ends.
func (b *blocked) remove(a *applier) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.workers, a)
}

// count is how many workers are blocked for a reason.
func (b *blocked) count(why db.Failure) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0.0
	for _, o := range b.workers {
		if o.why == why {
			n++
		}
	}
	return n
}

// err returns the error of the worker that has been blocked for longest, if that is too long.
func (b *blocked) err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	oldest := obstacle{since: b.now().Add(-blockedAfter)}
	for _, o := range b.workers {
		if !o.since.After(oldest.since) {
			oldest = o
		}
	}
	if oldest.err == nil {
		return nil
	}
	return fmt.Errorf("events have not been written for %v: %s: %w", b.now().Sub(oldest.since).Round(time.Second), oldest.why, oldest.err)
}

// explain returns the kind of an error of the database. If a server refuses all writes, the driver only says that the
// connection is bad, so explain asks the server whether it is read-only.
func explain(ctx context.Context, mysql *sql.DB, err error) (db.Failure, error) {
	var readOnly bool
	if errors.Is(err, driver.ErrBadConn) &&
		mysql.QueryRowContext(ctx, "SELECT "+db.ReadOnly).Scan(&readOnly) == nil && readOnly {
		return db.FailureReadOnly, errors.New("the server is read-only")
	}
	return db.FailureOf(err), err
}
