package persister

import (
	"context"
	"database/sql"
	"log/slog"
	"testing"
	"time"

	"sluice/core/local/servicetest"
	"sluice/core/reconcile/journal"
	"sluice/core/stock"
)

// migrated is a database with all tables.
func migrated(t *testing.T) *sql.DB {
	t.Helper()
	database := openDatabase(t, servicetest.MariaDB(t))
	if _, err := Schema().Migrate(t.Context(), database, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return database
}

// Two persisters on copies of a machine listen on the same address. Only one of them holds the lease of comparisons.
func TestCopiesOfAMachineDoNotShareTheLease(t *testing.T) {
	t.Parallel()
	kept := journal.New(migrated(t))
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

// Cells that have changed are compared once each, some at a time. If more change than there is room for, the next sweep has them.
func TestChangedCellsAreComparedOnce(t *testing.T) {
	t.Parallel()
	c := comparer{touched: map[stock.Cell]struct{}{}}
	for range 2 {
		for sku := int64(1); sku <= changesMax+10; sku++ {
			c.touch(stock.Cell{SKU: sku})
		}
	}
	seen := map[stock.Cell]bool{}
	for some := c.pick(changesAtOnce); len(some) > 0; some = c.pick(changesAtOnce) {
		if len(some) > changesAtOnce {
			t.Fatalf("%d cells at once", len(some))
		}
		for _, cell := range some {
			if seen[cell] {
				t.Fatalf("%v comes again", cell)
			}
			seen[cell] = true
		}
	}
	if len(seen) != changesMax {
		t.Errorf("%d cells, want %d", len(seen), changesMax)
	}
}

// A pass through older rows is due a day after the last one began, whoever made that.
func TestPassIsDueOnceADay(t *testing.T) {
	t.Parallel()
	database := migrated(t)
	c := comparer{journal: journal.New(database)}
	for _, last := range []struct {
		begun string
		due   bool
	}{{"", true}, {"NOW(3) - INTERVAL 23 HOUR", false}, {"NOW(3) - INTERVAL 25 HOUR", true}} {
		for _, statement := range []string{"DELETE FROM reconcile_pass", "DELETE FROM reconcile_runs"} {
			if _, err := database.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		if last.begun != "" {
			_, err := database.ExecContext(t.Context(), `INSERT INTO reconcile_runs (sweep, verdict, complete, done_by, begun_at, ended_at, cells, in_sync, in_flight, drift,
				unverified, reservations, ledger_rows, findings, by_type, unread) VALUES ('rows', 'clean', 1, 'me', `+last.begun+`, NOW(3), 0, 0, 0, 0, 0, 0, 0, 0, '{}', '')`)
			if err != nil {
				t.Fatal(err)
			}
		}
		if pass, err := c.beginPass(t.Context()); err != nil || (pass != nil) != last.due {
			t.Errorf("the last one began %q: %+v, %v, want one: %v", last.begun, pass, err, last.due)
		}
	}
}

// The first sweep of a persister is paced by the last one that could read everything, whichever persister made that. A sweep that
// fails changes nothing.
func TestFirstSweepIsPacedByTheLastOne(t *testing.T) {
	t.Parallel()
	database := migrated(t)
	_, err := database.ExecContext(t.Context(), `INSERT INTO reconcile_runs (sweep, verdict, complete, done_by, begun_at, ended_at, cells, reservations, in_sync,
		in_flight, drift, unverified, ledger_rows, findings, by_type, unread) VALUES
		('stock', 'clean', 1, 'another', NOW(3) - INTERVAL 2 MINUTE, NOW(3) - INTERVAL 1 MINUTE, 150000, 50001, 0, 0, 0, 0, 0, 0, '{}', ''),
		('stock', 'unverified', 0, 'another', NOW(3), NOW(3), 0, 0, 0, 0, 0, 0, 0, 0, '{}', 'mysql: away')`)
	if err != nil {
		t.Fatal(err)
	}
	c := comparer{journal: journal.New(database), within: time.Minute, now: time.Now}
	c.untilNext(t.Context())
	if c.compared != sweptMany+1 || !sweepPacer(c.within, c.compared, c.now).large.Load() {
		t.Fatalf("the first sweep expects %d cells and reservations, want %d", c.compared, sweptMany+1)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.compareAll(ended, nil); err == nil || c.compared != sweptMany+1 {
		t.Errorf("after a sweep that failed with %v, the next expects %d", err, c.compared)
	}
}

// A look has fewer cells after one that took long, and more after one that did not.
func TestLooksAtChangesTakeAboutTheSameTime(t *testing.T) {
	t.Parallel()
	each := 30 * time.Millisecond // a cell with many reservations
	most, longest := 1, 0
	for range 20 {
		longest = max(longest, most)
		most = nextLook(most, most, time.Duration(most)*each)
	}
	if longest > 4 || most < 1 {
		t.Errorf("up to %d cells of %v at once, at last %d", longest, each, most)
	}
	for range 20 {
		most = nextLook(most, most, time.Microsecond)
	}
	if most != changesAtOnce {
		t.Errorf("%d cells at once, want %d", most, changesAtOnce)
	}
	if n := nextLook(3, most, time.Microsecond); n != most {
		t.Errorf("after a look at all changes there were: %d", n)
	}
}
