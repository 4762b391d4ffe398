package persister

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/archive"
)

// TestArchiveRunsAreShown: what became of runs of the archive is in the metrics of a persister, which made none of them.
func TestArchiveRunsAreShown(t *testing.T) {
	t.Parallel()
	w := newArchiveWorld(t, database(t), 11)
	m, set := newTestMeters(), metrics.NewSet()
	now := time.Now()
	m.now = func() time.Time { return now }
	watch := newArchiveWatch(w.db, m, set, slog.New(slog.DiscardHandler))
	shows := func(want ...string) {
		t.Helper()
		if err := watch.read(t.Context()); err != nil {
			t.Fatal(err)
		}
		var page bytes.Buffer
		set.WritePrometheus(&page)
		lines := strings.Split(page.String(), "\n")
		for _, line := range want {
			if !slices.Contains(lines, "sluice_persister_archive_"+line) {
				t.Errorf("no %s in\n%s", line, page.String())
			}
		}
	}
	shows("unsucceeded_seconds NaN", `moved_rows{table="ledger"} NaN`, `bad_files{act="verify"} NaN`)

	w.sell(30)
	cfg := w.config()
	cfg.Step = func(step string) error {
		if step == "verified" {
			return archive.ErrFile // as when a file is read back otherwise than it was written
		}
		return nil
	}
	if _, err := archive.Run(t.Context(), cfg); !errors.Is(err, archive.ErrFile) {
		t.Fatal(err)
	}
	w.exec("UPDATE archive_runs SET begun_at = NOW(3) - INTERVAL 3 DAY")
	shows(`moved_rows{table="ledger"} 0`, `bad_files{act="archive"} 1`)
	if age := watch.age(); age < 3*24*3600 || age > 3*24*3600+60 {
		t.Errorf("it has not succeeded for %v s, want since the first attempt three days ago", age)
	}

	done := w.archive()
	shows(`moved_rows{table="ledger"} `+fmt.Sprint(done.Events), `moved_rows{table="reservations"} `+fmt.Sprint(done.Reservations), `bad_files{act="archive"} 0`, "left_cells 0")
	if age := watch.age(); age > 60 {
		t.Errorf("it has not succeeded for %v s", age)
	}
	w.exec("INSERT INTO dead_letters (letter_id, reason, detail, sku_id, pool, bucket, epoch, seq, data) SELECT MD5(CONCAT(sku_id, pool, bucket)), 'fork', '', sku_id, pool, bucket, epoch, seq, '' FROM checkpoints")
	w.sell(30)
	left := w.archive()
	if left.Skipped == 0 {
		t.Fatalf("%+v", left)
	}
	shows("left_cells " + fmt.Sprint(left.Skipped))
	now = now.Add(time.Hour)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := watch.read(gone); err == nil || watch.age() < 3600 {
		t.Errorf("where MySQL does not tell: %v, %v s", err, watch.age())
	}
}

// TestOldRepairsLeave: repairs that ended long ago leave for files, whole, and those that are under way or younger stay.
func TestOldRepairsLeave(t *testing.T) {
	t.Parallel()
	w := newArchiveWorld(t, database(t), 12)
	const columns = "INSERT INTO repairs (step_id, round, plan, operator, reason, type, repair, sku_id, pool, bucket, units, direction, expects, does, act, by_persister, claimed_at, ended_at, outcome, said) VALUES "
	row := func(step, round, ended string) string {
		return "(REPEAT('" + step + "', 32), " + round + ", REPEAT('p', 32), 'ops', 'a \"reason\"', 'gap', 'replay', 9223372036854775807, 0, 0, 3, 'bookkeeping', 'é', '', '{}', 1, NOW(3) - INTERVAL 100 DAY, " + ended + ", 'done', NULL)"
	}
	const old = "NOW(3) - INTERVAL 50 DAY"
	w.exec(columns + row("a", "1", old) + "," + row("a", "2", "NOW(3)") + "," + row("b", "1", old) + "," + row("c", "1", "NULL"))
	cfg := w.config()
	cfg.Before = time.Now().Add(-10 * 24 * time.Hour)
	cfg.DryRun = true
	if done, err := archive.Run(t.Context(), cfg); err != nil || done.Repairs != 2 {
		t.Fatalf("a dry run: %+v, %v", done, err)
	}
	cfg.DryRun = false
	edited := cfg
	edited.Step = func(step string) error {
		if step == "verified" {
			w.exec("UPDATE repairs SET ended_at = NOW(3) WHERE step_id = REPEAT('b', 32)")
		}
		return nil
	}
	if done, err := archive.Run(t.Context(), edited); err != nil || done.Repairs != 0 || done.Skipped != 1 {
		t.Errorf("a row was edited meanwhile: %+v, %v", done, err)
	}
	w.exec("UPDATE repairs SET ended_at = " + old + " WHERE step_id = REPEAT('b', 32)")
	done, err := archive.Run(t.Context(), cfg)
	if err != nil || done.Repairs != 2 || len(done.Files) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if left := lines(t, w.db, "SELECT LEFT(step_id, 1), round FROM repairs ORDER BY step_id, round"); !slices.Equal(left, []string{"a 2", "c 1"}) {
		t.Errorf("%q is left", left)
	}
	checked, err := archive.Check(cfg.Dir+"/"+done.Files[0], nil)
	if err != nil || checked.Header.Repairs != 2 || len(checked.Repairs) != 2 {
		t.Fatalf("%+v, %v", checked, err)
	}
	for i, step := range []string{"61", "62"} {
		for _, want := range []string{
			`"step_id":"` + strings.Repeat(step, 32) + `"`, `"round":"1"`, `"sku_id":"9223372036854775807"`, `"reason":"a \"reason\""`, `"expects":"é"`, `"said":null`, `"act":"{}"`,
		} {
			if got := string(checked.Repairs[i]); !strings.Contains(got, want) {
				t.Errorf("%s has no %s", got, want)
			}
		}
	}
	if again, err := archive.Run(t.Context(), cfg); err != nil || again.Repairs != 0 || len(again.Files) != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
}
