package persister

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"

	"sluice/core/db"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	migrationLock        = "sluice_migrate"
	migrationLockSeconds = 60
	selectLock           = "SELECT GET_LOCK(?, 1)" // waits for a second, which is less than a read timeout
)

// Migrate brings the schema up to SchemaVersion and returns the version it then has. Several processes
// may call it at once: one works, the others wait. A step that fails is not undone, because DDL commits
// by itself; the next call repeats it, and it finds what it has done.
func Migrate(ctx context.Context, database *sql.DB, log *slog.Logger) (version int64, err error) {
	if database.Stats().MaxOpenConnections == 1 {
		return 0, errors.New("migrate: want two connections (--mysql-conns-max), one of them for the lock")
	}
	lock, err := database.Conn(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	var locked sql.NullBool
	for seconds := 0; !locked.Bool; seconds++ {
		if seconds == migrationLockSeconds {
			return 0, fmt.Errorf("migrate: another process has been migrating for over %d s", migrationLockSeconds)
		}
		if err := lock.QueryRowContext(ctx, selectLock, migrationLock).Scan(&locked); err != nil {
			return 0, fmt.Errorf("migrate: lock: %w", err)
		}
	}
	defer func() {
		// The lock also ends with its connection, so a failure here needs no answer.
		_, _ = lock.ExecContext(context.WithoutCancel(ctx), "DO RELEASE_LOCK(?)", migrationLock)
	}()

	if CheckSchema(ctx, database) != nil {
		if err := checkMigration(ctx, database); err != nil {
			return 0, err
		}
	}
	if err := beginVersions(ctx, database); err != nil {
		return 0, err
	}
	provider, err := schema(database)
	if err != nil {
		return 0, err
	}
	steps, err := provider.Up(ctx)
	for _, step := range steps {
		log.InfoContext(ctx, "migrated", "step", step.Source.Path, "seconds", step.Duration.Seconds())
	}
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	return provider.GetDBVersion(ctx)
}

// insertFirst counts version 0 as applied where no version is.
const insertFirst = "INSERT INTO goose_db_version (version_id, is_applied) SELECT 0, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM goose_db_version)"

// beginVersions puts the first row into the table of versions. Goose makes the table and that row in two steps, and DDL
// commits by itself. So whoever was killed between them has left an empty table, and goose refuses one ever after.
func beginVersions(ctx context.Context, database *sql.DB) error {
	if _, err := database.ExecContext(ctx, insertFirst); err != nil && db.Answer(err) != db.AnswerNoTable {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// SchemaVersion is the version of the schema that this program was written for.
func SchemaVersion() int64 {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		panic(err) // the pattern is constant
	}
	return int64(len(files))
}

// CheckSchema reports a database whose schema is older than this program. A newer one is fine: schemas
// only grow, so that old and new programs can run side by side.
func CheckSchema(ctx context.Context, db *sql.DB) error {
	var version sql.NullInt64
	if err := db.QueryRowContext(ctx, "SELECT MAX(version_id) FROM goose_db_version WHERE is_applied").Scan(&version); err != nil {
		return fmt.Errorf("read schema version (has sluice migrate been run?): %w", err)
	}
	if version.Int64 < SchemaVersion() {
		return fmt.Errorf("the schema has version %d, want %d: run sluice migrate", version.Int64, SchemaVersion())
	}
	return nil
}

func schema(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectMySQL, db, files)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return provider, nil
}
