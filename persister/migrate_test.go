package persister

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
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
