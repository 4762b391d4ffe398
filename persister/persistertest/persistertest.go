// Package persistertest makes databases with the tables of the persister, for tests of those who read them.
package persistertest

import (
	"database/sql"
	"log/slog"
	"testing"
	"time"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/persister"
)

const (
	conns   = 8
	timeout = 5 * time.Minute // a machine that runs many tests is slow
)

// Database returns a database of the test's own that has the tables. The test ends with the database closed.
func Database(t testing.TB) *sql.DB {
	t.Helper()
	return Migrated(t, servicetest.MariaDB(t))
}

// Migrated opens a database, as Open does, and makes the tables in it.
func Migrated(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	database := Open(t, dsn)
	if _, err := persister.Schema().Migrate(t.Context(), database, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return database
}

// Open opens a database. The test ends with the database closed.
func Open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	database, err := db.Config{DSN: config.Secret(dsn), ConnsMax: conns, Timeout: timeout}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = database.Close() })
	return database
}
