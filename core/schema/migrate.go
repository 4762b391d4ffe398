package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"sluice/core/db"
)

const (
	migrationLock        = "sluice_migrate" // one lock per server for all owners, because the tables of the probe have fixed names
	migrationLockSeconds = 60
	selectLock           = "SELECT GET_LOCK(?, 1)" // waits for a second, less than the timeout of a read
)

// Migrated says what a migration has done.
type Migrated struct {
	Version int64 // the version of the tables now; 0 after a failure

	// New has the tables that the migration made, and the columns (table.column) that it added to others, as far as
	// the owner's grants name them. If there are any, accounts need their grants again. After a failure it has those
	// of the steps before.
	New []string
}

// Migrate brings the tables of an owner up to its Version. Several processes may call it at once: one works, the others
// wait. A step that fails is not undone, because DDL commits by itself; the next call repeats it, and it finds what it
// has done.
func (o Owner) Migrate(ctx context.Context, database *sql.DB, log *slog.Logger) (done Migrated, err error) {
	if database.Stats().MaxOpenConnections == 1 {
		return done, errors.New("migrate: want two connections (--mysql-conns-max), one of them for the lock")
	}
	lock, err := database.Conn(ctx)
	if err != nil {
		return done, fmt.Errorf("migrate: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	var locked sql.NullBool
	for seconds := 0; !locked.Bool; seconds++ {
		if seconds == migrationLockSeconds {
			return done, fmt.Errorf("migrate: another process has been migrating for over %d s", migrationLockSeconds)
		}
		if err := lock.QueryRowContext(ctx, selectLock, migrationLock).Scan(&locked); err != nil {
			return done, fmt.Errorf("migrate: lock: %w", err)
		}
	}
	defer func() {
		// The lock also ends with its connection, so a failure here does no harm.
		_, _ = lock.ExecContext(context.WithoutCancel(ctx), "DO RELEASE_LOCK(?)", migrationLock)
	}()
	letSleep, err := db.KeepAwake(ctx, lock, &sync.Mutex{}) // nobody else uses the connection, and a step may take long
	if err != nil {
		return done, fmt.Errorf("migrate: lock: %w", err)
	}
	defer letSleep()

	if o.Check(ctx, database) != nil {
		if err := checkServer(ctx, database); err != nil {
			return done, err
		}
	}
	before, err := o.granted(ctx, database)
	if err != nil {
		return done, err
	}
	if err := o.beginVersions(ctx, database); err != nil {
		return done, err
	}
	provider, err := o.provider(database)
	if err != nil {
		return done, err
	}
	steps, err := provider.Up(ctx)
	for _, step := range steps {
		log.InfoContext(ctx, "migrated", "owner", o.Name, "step", step.Source.Path, "seconds", step.Duration.Seconds())
	}
	if err != nil {
		err = fmt.Errorf("migrate %s: %w", o.Name, err)
	}
	after, readErr := o.granted(ctx, database) // also after a failure, because the next call finds them already there
	done.New = since(before, after)
	if err := errors.Join(err, readErr); err != nil {
		return done, err
	}
	if done.Version, err = provider.GetDBVersion(ctx); err != nil {
		return done, fmt.Errorf("migrate %s: %w", o.Name, err)
	}
	return done, nil
}

// beginVersions puts the first row into the table of versions. It counts version 0 as applied. Goose makes the table
// and then that row, and each DDL statement commits by itself. A process that is killed in between leaves an empty
// table, which goose refuses from then on.
func (o Owner) beginVersions(ctx context.Context, database *sql.DB) error {
	insert := "INSERT INTO " + o.Table + " (version_id, is_applied) SELECT 0, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM " + o.Table + ")" //nolint:gosec // G202: a constant of the program
	if _, err := database.ExecContext(ctx, insert); err != nil && db.Answer(err) != db.AnswerNoTable {
		return fmt.Errorf("migrate %s: %w", o.Name, err)
	}
	return nil
}
