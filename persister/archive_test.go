package persister

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/archive"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/event"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
)

// TestArchive sells, archives, sells on and archives again. At any time each event is in the ledger or in one file.
func TestArchive(t *testing.T) {
	t.Parallel()
	w := newArchiveWorld(t, database(t), uint64(time.Now().UnixNano()))
	t.Logf("seed %d", w.history.seed)
	for range 4 {
		w.sell(60)
		before := lines(t, w.db, "SELECT COUNT(*) FROM ledger")[0]
		done := w.archive()
		if done.Events == 0 || len(done.Files) == 0 || len(done.Faults) > 0 {
			t.Fatalf("archived %+v of %s", done, before)
		}
		w.holds()
	}
	if left := len(lines(t, w.db, "SELECT 1 FROM ledger")); left > len(w.rows)/2 {
		t.Errorf("%d of %d events are still in the ledger", left, len(w.rows))
	}
	if letters := lines(t, w.db, allLetters); len(letters) > 0 {
		t.Errorf("dead letters: %q", letters)
	}
	again := w.archive()
	if again.Events != 0 || len(again.Files) != 0 {
		t.Errorf("archived again: %+v", again)
	}
}

// TestArchiveEndsAnywhere ends a run before each of its steps, as a kill does, and the next one goes on.
func TestArchiveEndsAnywhere(t *testing.T) {
	t.Parallel()
	w := newArchiveWorld(t, database(t), 3)
	var steps []string
	w.sell(30)
	cfg := w.config()
	cfg.Step = func(step string) error {
		steps = append(steps, step)
		return nil
	}
	if _, err := archive.Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if len(steps) < 11 {
		t.Fatalf("steps are %q", steps)
	}
	for _, stop := range steps {
		w.sell(20)
		cfg := w.config()
		ctx, cancel := context.WithCancel(t.Context())
		cfg.Step = func(step string) error {
			if step == stop {
				cancel() // nor does it get to clean up
				return context.Canceled
			}
			return nil
		}
		if done, err := archive.Run(ctx, cfg); err == nil {
			t.Errorf("a run that is ended before %q passes: %+v", stop, done)
		}
		cancel()
		w.archive()
		w.holds()
		if left, err := filepath.Glob(filepath.Join(w.dir, "*.partial")); err != nil || len(left) > 0 {
			t.Errorf("ended before %q: %q is left (%v)", stop, left, err)
		}
	}
	_, names := w.files()
	if registered := lines(t, w.db, "SELECT name FROM archive_files"); len(registered) != len(names) {
		t.Errorf("%d files, and MySQL knows %d", len(names), len(registered))
	}
}

// TestArchiveLeavesOthersFiles archives two databases of one name into one directory. A file whose rows have left one of them is
// not for the other to remove.
func TestArchiveLeavesOthersFiles(t *testing.T) {
	t.Parallel()
	one, other := newArchiveWorld(t, database(t), 3), newArchiveWorld(t, database(t), 4)
	other.dir = one.dir
	one.sell(30)
	other.sell(30)
	cfg := one.config()
	cfg.Step = func(step string) error {
		if step == "committed" {
			return context.Canceled
		}
		return nil
	}
	if _, err := archive.Run(t.Context(), cfg); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if done := other.archive(); len(done.Files) == 0 {
		t.Fatal("the other database archives nothing")
	}
	one.archive()
	registered := slices.Concat(lines(t, one.db, "SELECT name FROM archive_files"), lines(t, other.db, "SELECT name FROM archive_files"))
	if _, names := one.files(); len(names) != len(registered) {
		t.Errorf("the directory has %d files, and both databases together know %d", len(names), len(registered))
	}
}

// TestArchivedEventsArriveAgain gives a persister everything again, from the first event on: the tables stay as they
// are. A later event at the position of an event that has left is a fork.
func TestArchivedEventsArriveAgain(t *testing.T) {
	t.Parallel()
	w := newArchiveWorld(t, database(t), 5)
	w.sell(60)
	if done := w.archive(); done.Events == 0 {
		t.Fatal("nothing was archived")
	}
	tables := func() [][]string {
		return [][]string{
			lines(t, w.db, allLedger), lines(t, w.db, allInventories), lines(t, w.db, allReservations),
			lines(t, w.db, "SELECT * FROM applied_marks ORDER BY sku_id, pool, bucket"), lines(t, w.db, allLetters),
		}
	}
	before := tables()
	w.write(w.rows)
	if diff := cmp.Diff(before, tables()); diff != "" {
		t.Error(diff)
	}
	if _, err := w.db.ExecContext(t.Context(), "DELETE FROM applied_marks"); err != nil {
		t.Fatal(err)
	}
	w.write(w.rows)
	marks := tables()[3]
	for _, mark := range marks {
		if !slices.Contains(before[3], mark) {
			t.Errorf("mark %s, want one of %q", mark, before[3])
		}
	}
	before[3] = marks
	if diff := cmp.Diff(before, tables()); diff != "" {
		t.Errorf("after the marks were lost: %s", diff)
	}
	fork := *w.rows[0]
	fork.timeMS = time.Now().UnixMilli()
	w.write([]*row{&fork})
	if letters := lines(t, w.db, allLetters); len(letters) != 1 || !strings.HasPrefix(letters[0], "fork") {
		t.Errorf("dead letters: %q, want the fork", letters)
	}
	w.forkOfKept()
	if letters := lines(t, w.db, allLetters); len(letters) != 2 || !strings.HasPrefix(letters[1], "fork") {
		t.Errorf("dead letters: %q, want a fork of a row that the ledger has kept too", letters)
	}
	before[4] = nil
	after := tables()
	after[4] = nil
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("after the fork: %s", diff)
	}
}

// forkOfKept writes another event at the place of a row below a checkpoint that is still in the ledger, with its time.
func (w *archiveWorld) forkOfKept() {
	w.t.Helper()
	for _, r := range w.rows {
		var kept bool
		err := w.db.QueryRowContext(w.t.Context(), `SELECT EXISTS (SELECT * FROM ledger l
			JOIN checkpoints c USING (sku_id, pool, bucket)
			WHERE sku_id = ? AND pool = ? AND bucket = ? AND l.epoch = ? AND l.seq = ? AND (l.epoch, l.seq) < (c.epoch, c.seq))`,
			r.Cell.SKU, r.Cell.Pool, r.Cell.Bucket, r.Epoch, r.Seq).Scan(&kept)
		if err != nil {
			w.t.Fatal(err)
		}
		if kept {
			fork := *r
			fork.timeMS--
			w.write([]*row{&fork})
			return
		}
	}
	w.t.Fatal("no row below a checkpoint is still in the ledger")
}

// TestArchiveRefusesEditedRows edits one thing at a time: its cell stays whole in the ledger, and the run says why.
func TestArchiveRefusesEditedRows(t *testing.T) {
	t.Parallel()
	w := newArchiveWorld(t, database(t), 6)
	w.sell(40)
	w.archive()
	w.sell(40)
	c := w.history.cells[0].last.Cell
	of := fmt.Sprintf(" WHERE sku_id = %d AND pool = %d AND bucket = %d", c.SKU, c.Pool, c.Bucket)
	after := strings.Fields(lines(t, w.db, "SELECT epoch, seq FROM checkpoints"+of)[0])[1]
	for _, edit := range []struct{ do, undo, says string }{
		{"UPDATE ledger SET available_stock = available_stock + 1" + of + " AND seq = " + after + " + 3", "UPDATE ledger SET available_stock = available_stock - 1" + of + " AND seq = " + after + " + 3", "were left to it"},
		{"UPDATE ledger SET sold_stock = sold_stock + 1" + of + " AND seq = " + after, "UPDATE ledger SET sold_stock = sold_stock - 1" + of + " AND seq = " + after, "edited"},
		{"UPDATE checkpoints SET sold_stock = sold_stock + 1" + of, "UPDATE checkpoints SET sold_stock = sold_stock - 1" + of, "edited"},
		{"UPDATE ledger SET seq = seq + 1000000" + of + " AND seq = " + after + " + 1", "UPDATE ledger SET seq = seq - 1000000" + of + " AND seq > 1000000", "lacks the event after"},
		{"UPDATE reservations SET quantity = quantity + 1" + of, "UPDATE reservations SET quantity = quantity - 1" + of, "is not what its last event"},
		{"UPDATE reservations SET reservation_id = REVERSE(reservation_id)" + of, "UPDATE reservations SET reservation_id = REVERSE(reservation_id)" + of, "have no row"},
		{
			"INSERT INTO dead_letters (letter_id, reason, detail, sku_id, pool, bucket, epoch, seq, data) SELECT REPEAT('x', 32), 'fork', '', sku_id, pool, bucket, epoch, seq, '' FROM checkpoints" + of,
			"UPDATE dead_letters SET resolved_at = NOW(3)", "dead letter",
		},
		{
			"INSERT INTO reconcile_findings (sku_id, pool, bucket, type, direction, sweep, findings, units, repair, since_ms, proof) SELECT sku_id, pool, bucket, " +
				"'gap', 'bookkeeping', 'stock', 1, 1, '', 1, '[]' FROM checkpoints" + of,
			"UPDATE reconcile_findings SET is_open = NULL", "stores differ",
		},
	} {
		if _, err := w.db.ExecContext(t.Context(), edit.do); err != nil {
			t.Fatal(edit.do, err)
		}
		have := lines(t, w.db, allLedger)
		cfg := w.config()
		cfg.Before = time.UnixMilli(w.history.nowMS - 5)
		done, err := archive.Run(t.Context(), cfg)
		if err != nil || done.Skipped != 1 || len(done.Faults) != 1 || !strings.Contains(done.Faults[0], edit.says) {
			t.Errorf("%s: archived %+v, %v, want a fault with %q", edit.do, done, err, edit.says)
		}
		left := lines(t, w.db, allLedger)
		for _, line := range have {
			if strings.HasPrefix(line, fmt.Sprintf("%d %d %d ", c.SKU, c.Pool, c.Bucket)) && !strings.Contains("\n"+strings.Join(left, "\n")+"\n", "\n"+line+"\n") {
				t.Errorf("%s: %q has left", edit.do, line)
				break
			}
		}
		if _, err := w.db.ExecContext(t.Context(), edit.undo); err != nil {
			t.Fatal(edit.undo, err)
		}
	}
	w.archive()
	w.holds()
}

// TestArchiveRefusesWhatChangesMeanwhile edits what was read before it is deleted. The transaction takes everything back.
func TestArchiveRefusesWhatChangesMeanwhile(t *testing.T) {
	t.Parallel()
	for _, edit := range []string{
		"DELETE FROM ledger ORDER BY sku_id, pool, bucket, seq LIMIT 20",
		"UPDATE reservations SET state = 'held', updated_ms = updated_ms + 1000000",
		"UPDATE applied_marks SET seq = 1",
		"INSERT INTO dead_letters (letter_id, reason, detail, sku_id, pool, bucket, epoch, seq, data) SELECT REPEAT('x', 32), 'fork', '', sku_id, pool, bucket, 1, 1, '' FROM applied_marks LIMIT 1",
	} {
		w := newArchiveWorld(t, database(t), 7)
		w.sell(40)
		cfg, after := w.config(), []string(nil)
		cfg.Step = func(step string) error {
			if step == "verified" {
				if _, err := w.db.ExecContext(t.Context(), edit); err != nil {
					t.Fatal(edit, err)
				}
				after = lines(t, w.db, allLedger)
			}
			return nil
		}
		done, err := archive.Run(t.Context(), cfg)
		if err != nil || done.Events != 0 || done.Skipped != 1 {
			t.Errorf("%s: archived %+v, %v, want nothing", edit, done, err)
		}
		if diff := cmp.Diff(after, lines(t, w.db, allLedger)); diff != "" {
			t.Errorf("%s: %s", edit, diff)
		}
		if left, err := filepath.Glob(filepath.Join(w.dir, "*")); err != nil || len(left) > 0 {
			t.Errorf("%s: %q is left (%v)", edit, left, err)
		}
	}
}

// TestOneArchiverAtATime: the second one says so and does nothing.
func TestOneArchiverAtATime(t *testing.T) {
	t.Parallel()
	w := newArchiveWorld(t, database(t), 8)
	w.sell(30)
	cfg := w.config()
	tried := false
	cfg.Step = func(string) error {
		if !tried {
			tried = true
			if done, err := archive.Run(t.Context(), w.config()); !errors.Is(err, archive.ErrBusy) {
				t.Errorf("a second archiver has %+v, %v", done, err)
			}
		}
		return nil
	}
	if _, err := archive.Run(t.Context(), cfg); err != nil || !tried {
		t.Fatal(tried, err)
	}
	w.holds()
}

// TestArchiveTellsOfCellsThatStay looks at cells of which nothing is old enough: with a million of them that takes a while too.
func TestArchiveTellsOfCellsThatStay(t *testing.T) {
	t.Parallel()
	w := newArchiveWorld(t, database(t), 13)
	w.sell(30)
	for _, dry := range []bool{true, false} {
		cfg, told := w.config(), archive.Done{}
		cfg.Before, cfg.DryRun = time.UnixMilli(1), dry
		cfg.Progress = func(d archive.Done) { told = d }
		done, err := archive.Run(t.Context(), cfg)
		if err != nil || done.Cells != 0 || told.Seen == 0 || told.Seen != done.Seen {
			t.Errorf("dry %v: told of %+v, archived %+v, %v", dry, told, done, err)
		}
	}
}

// TestArchiveRestsLong has a run wait, between two batches and within one, for longer than the server keeps a silent connection.
func TestArchiveRestsLong(t *testing.T) {
	t.Parallel()
	dsn := servicetest.MariaDB(t)
	tables := openDatabase(t, dsn)
	if _, err := Schema().Migrate(t.Context(), tables, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	w := newArchiveWorld(t, tables, 12)
	w.sell(30)
	c, err := db.Config{DSN: config.Secret(dsn), Timeout: time.Minute}.Connector()
	if err != nil {
		t.Fatal(err)
	}
	cfg, waited := w.config(), 0
	cfg.DB = servicetest.Impatient(t, c, 4)
	wait := func() {
		time.Sleep(2500 * time.Millisecond)
		waited++
	}
	cfg.Progress = func(archive.Done) { wait() }
	cfg.Step = func(step string) error {
		if step == "verified" {
			wait()
		}
		return nil
	}
	if done, err := archive.Run(t.Context(), cfg); err != nil || done.Events == 0 || waited < 2 {
		t.Errorf("archived %+v, %v, with %d waits", done, err, waited)
	}
	w.holds()
}

// TestArchiveOnAFullDisk deletes nothing, and goes on once there is room.
func TestArchiveOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir, here := servicetest.SmallDisk(t, 4<<20)
	if !here {
		return
	}
	w := newArchiveWorld(t, database(t), 9)
	w.dir = dir
	w.sell(40)
	free := servicetest.Fill(t, dir)
	before := lines(t, w.db, allLedger)
	done, err := archive.Run(t.Context(), w.config())
	if !errors.Is(err, syscall.ENOSPC) || done.Events != 0 {
		t.Errorf("archived %+v, %v, want that the disk is full", done, err)
	}
	if diff := cmp.Diff(before, lines(t, w.db, allLedger)); diff != "" {
		t.Error(diff)
	}
	free()
	w.archive()
	w.holds()
}

// TestArchiveLeavesCellsThatDiffer: the rows of a cell stay as long as a comparison says that the stores differ, because they prove it.
func TestArchiveLeavesCellsThatDiffer(t *testing.T) {
	t.Parallel()
	w := newArchiveWorld(t, database(t), 11)
	w.sell(60)
	exec := func(statement string) {
		t.Helper()
		if _, err := w.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO reconcile_findings (sku_id, pool, bucket, type, direction, sweep, findings, units, repair, since_ms, proof)
		SELECT sku_id, pool, bucket, 'gap', 'bookkeeping', 'stock', 1, 1, 'apply_events', 1, '[]' FROM ledger ORDER BY redis_ms LIMIT 1`)
	const named = "SELECT COUNT(*) FROM checkpoints JOIN reconcile_findings USING (sku_id, pool, bucket)"
	if done := w.archive(); done.Skipped != 1 || done.Events == 0 || lines(t, w.db, named)[0] != "0" {
		t.Errorf("a cell that differs: %+v", done)
	}
	w.holds()
	exec("UPDATE reconcile_findings SET is_open = NULL, gone_at = NOW(3)")
	if done := w.archive(); done.Skipped != 0 || lines(t, w.db, named)[0] != "1" {
		t.Errorf("it no longer differs: %+v", done)
	}
	w.holds()
}

// TestArchiveRemovesWhatWasNeverCommitted: an unfinished file has the number of one whose rows have left, but not its name. So its
// rows have not left, or have left with the other one.
func TestArchiveRemovesWhatWasNeverCommitted(t *testing.T) {
	t.Parallel()
	w := newArchiveWorld(t, database(t), 12)
	w.sell(40)
	done := w.archive()
	if len(done.Files) == 0 {
		t.Fatal("nothing was archived")
	}
	content, err := os.ReadFile(filepath.Join(w.dir, done.Files[0]))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(w.dir, "d-000000001-00c0ffee.sluice.gz")
	if err := os.WriteFile(name+".partial", content, 0o600); err != nil {
		t.Fatal(err)
	}
	w.archive()
	for _, path := range []string{name, name + ".partial"} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there: %v", path, err)
		}
	}
	w.holds()
}

// TestArchiveTakesReturnsOffCounts: a purchase has left, and later its return leaves. The user then has nothing.
func TestArchiveTakesReturnsOffCounts(t *testing.T) {
	t.Parallel()
	w := newArchiveWorld(t, database(t), 13)
	cell, seq := stock.Cell{SKU: 77}, uint64(0)
	happen := func(kind event.Kind, user, quantity, avail, sold int64, change event.Change) {
		t.Helper()
		seq++
		r := &row{timeMS: 1_700_000_000_000 + int64(seq)}
		r.Kind, r.Cell, r.Position, r.User, r.Quantity = kind, cell, stock.Position{Epoch: 1, Seq: seq}, user, quantity
		r.Avail, r.Sold, r.Change = avail, sold, change
		r.Reservation[15] = byte(seq)
		w.write([]*row{r})
	}
	archived := func() string {
		t.Helper()
		cfg := w.config()
		cfg.Before = time.Now()
		if _, err := archive.Run(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		return lines(t, w.db, "SELECT GROUP_CONCAT(user_id, ':', units ORDER BY user_id) FROM archived_buyers")[0]
	}
	happen(event.KindAdjust, 0, 0, 10, 0, event.Change{Delta: 10, Settings: stock.Settings{Hold: time.Minute, Limit: 5}, Reason: "load"})
	happen(event.KindDeduct, 8, 2, 8, 2, event.Change{})
	happen(event.KindDeduct, 9, 3, 5, 5, event.Change{})
	if got := archived(); got != "8:2,9:3" {
		t.Errorf("users have %s", got)
	}
	happen(event.KindReturn, 8, 2, 7, 3, event.Change{Reason: "damaged"})
	if got := archived(); got != "8:0,9:3" {
		t.Errorf("after the return users have %s", got)
	}
}
