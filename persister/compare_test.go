package persister

import (
	"log/slog"
	"testing"
	"time"

	"sluice/core/local/servicetest"
	"sluice/core/reconcile/journal"
)

// Two persisters on copies of a machine listen on the same address. Only one of them holds the lease of comparisons.
func TestCopiesOfAMachineDoNotShareTheLease(t *testing.T) {
	t.Parallel()
	database := openDatabase(t, servicetest.MariaDB(t))
	if _, err := Schema().Migrate(t.Context(), database, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	kept := journal.New(database)
	first, other := comparerName("127.0.0.1:9101"), comparerName("127.0.0.1:9101")
	for _, ask := range []struct {
		who  string
		want bool
	}{{first, true}, {other, false}, {first, true}} {
		time.Sleep(2 * time.Millisecond) // the clock of MySQL tells milliseconds
		if held, err := kept.Lease(t.Context(), ask.who, time.Minute); err != nil || held != ask.want {
			t.Errorf("%s holds it: %v, want %v, %v", ask.who, held, ask.want, err)
		}
	}
}
