package persister_test

import (
	"database/sql"
	"log/slog"
	"strings"
	"sync"
	"testing"

	_ "github.com/go-sql-driver/mysql"

	"sluice/deploy/local/servicetest"
	"sluice/persister"
)

// emptyDatabase is a database without tables.
func emptyDatabase(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", servicetest.MariaDB(t)+"?sql_mode=%27STRICT_ALL_TABLES%27")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestMigrateOnceForAll(t *testing.T) {
	t.Parallel()
	db := emptyDatabase(t)
	if err := persister.CheckSchema(t.Context(), db); err == nil || !strings.Contains(err.Error(), "sluice migrate") {
		t.Errorf("an empty database passes as current: %v", err)
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			version, err := persister.Migrate(t.Context(), db, slog.New(slog.DiscardHandler))
			if err != nil || version != persister.SchemaVersion() {
				t.Errorf("migrated to %d, %v, want %d", version, err, persister.SchemaVersion())
			}
		})
	}
	all.Wait()
	if err := persister.CheckSchema(t.Context(), db); err != nil {
		t.Error(err)
	}
}
