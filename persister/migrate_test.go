package persister

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/core/config"
	"sluice/deploy/local/servicetest"
)

func TestMigrateOnceForAll(t *testing.T) {
	t.Parallel()
	db := emptyDatabase(t)
	if err := CheckSchema(t.Context(), db); err == nil || !strings.Contains(err.Error(), "sluice migrate") {
		t.Errorf("an empty database passes as current: %v", err)
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			version, err := Migrate(t.Context(), db, slog.New(slog.DiscardHandler))
			if err != nil || version != SchemaVersion() {
				t.Errorf("migrated to %d, %v, want %d", version, err, SchemaVersion())
			}
		})
	}
	all.Wait()
	if err := CheckSchema(t.Context(), db); err != nil {
		t.Error(err)
	}
}

// TestMigrateGoesOn migrates where a process was killed in the middle of a step: its tables are there, or
// some of them, and nothing says so.
func TestMigrateGoesOn(t *testing.T) {
	t.Parallel()
	db := database(t)
	for _, statement := range []string{
		"DROP TABLE dead_letters, applied_marks",
		"DROP TABLE sale_items",
		"DELETE FROM goose_db_version WHERE version_id > 0",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Migrate(t.Context(), db, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	lines(t, db, "SELECT * FROM dead_letters, applied_marks, sale_items")
	if err := CheckSchema(t.Context(), db); err != nil {
		t.Error(err)
	}
}

// TestMigrateWaitsForAnother lets the other one take longer than connections may be silent.
func TestMigrateWaitsForAnother(t *testing.T) {
	t.Parallel()
	dsn := servicetest.MariaDB(t)
	other, err := openDatabase(t, dsn).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lock := func(statement string) {
		t.Helper()
		if _, err := other.ExecContext(t.Context(), statement, migrationLock); err != nil {
			t.Fatal(err)
		}
	}
	lock("DO GET_LOCK(?, 60)")
	db, err := config.MySQL{DSN: config.Secret(dsn), ConnsMax: 2, Timeout: 3 * time.Second}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	migrated := make(chan error, 1)
	go func() {
		_, err := Migrate(t.Context(), db, slog.New(slog.DiscardHandler))
		migrated <- err
	}()
	select {
	case err := <-migrated:
		t.Errorf("did not wait: %v", err)
	case <-time.After(4 * time.Second):
		lock("DO RELEASE_LOCK(?)")
		if err := <-migrated; err != nil {
			t.Error(err)
		}
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
}
