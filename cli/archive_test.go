package cli

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"sluice/cli/command"
	"sluice/core/ledger"
	"sluice/core/stock"
)

// age makes all that happened so far a hundred days older in MySQL.
func (h *hand) age() {
	h.t.Helper()
	const ms = "100 * 86400000"
	for _, statement := range []string{
		"UPDATE ledger SET redis_ms = redis_ms - " + ms, "UPDATE reservations SET updated_ms = updated_ms - " + ms + ", reserved_ms = reserved_ms - " + ms,
	} {
		if _, err := h.db.ExecContext(h.t.Context(), statement); err != nil {
			h.t.Fatal(err)
		}
	}
}

// marked waits until the applied marks have come to the end of the ledger.
func (d *deployment) marked(h *hand) {
	d.t.Helper()
	d.await(func() bool {
		var behind int
		err := h.db.QueryRowContext(d.t.Context(), "SELECT COUNT(*) FROM product_inventories i LEFT JOIN applied_marks m USING (sku_id, pool, bucket) "+
			"WHERE m.seq IS NULL OR m.seq <> i.seq").Scan(&behind)
		if err != nil {
			d.t.Fatal(err)
		}
		return behind == 0
	})
}

// The stores agree after rows have left, also on users whose purchases Redis has forgotten, and they sell on.
func TestArchiveCommand(t *testing.T) {
	t.Parallel()
	d := atRest(t, "1,100\n2,100\n")
	d.run("stock", "adjust", "1", "--limit", "5", "--reason", "limit", "--yes").want(command.ExitDone)
	h, cell, dir := d.hand(), stock.Cell{SKU: 1}, t.TempDir()
	none := filepath.Join(dir, "none")
	d.run("archive", "verify", "--dir", none).want(command.ExitDone, "nothing to check: no file has left this MySQL yet")
	d.run("archive", "show", none).want(command.ExitNotFound, "archive file "+none+": no such file or directory")
	d.run("archive", "verify", none).want(command.ExitFailed, "archive file "+none+": no such file or directory")
	d.run("archive", "run", "--dir", none, "--yes").want(command.ExitUsage, "--dir: "+none+": no such file or directory")
	archived := func(args ...string) result {
		return d.run(append([]string{"archive", "run", "--dir", dir, "--older-than", "1200h", "--yes"}, args...)...)
	}
	bought := map[string]stock.ReservationID{}
	for i, key := range []string{"a", "b", "c"} {
		bought[key] = d.reserve(cell, int64(1+i/2), key)
		d.settle(stock.OpConfirm, cell, bought[key])
	}
	held := d.reserve(cell, 3, "held")
	d.settle(stock.OpRelease, cell, d.reserve(cell, 3, "released"))
	stop := d.persister()
	d.settled()
	d.marked(h)
	stop()
	d.run("archive", "run", "--older-than", "1200h", "--dry-run").want(command.ExitDone, "0 events", "would leave")
	h.age()

	d.run("archive", "run", "--older-than", "1200h", "--yes").want(command.ExitUsage, "dir", "--dry-run")
	d.run("archive", "run", "--dir", filepath.Join(dir, "nowhere"), "--yes").want(command.ExitUsage, "--dir")
	d.run("archive", "run", "--dir", dir, "--older-than", "24h", "--yes").want(command.ExitUsage, "older-than", "48h")
	d.run("archive", "run", "--older-than", "1200h", "--dry-run").want(command.ExitDone, "12 events of 2 cells, 4 reservations and 0 repairs", "would leave")
	archived().want(command.ExitDone, "12 events of 2 cells, 4 reservations and 0 repairs", "left the tables", ".sluice.gz")
	archived().want(command.ExitDone, "0 events")
	d.settled()
	d.reconcile(command.ExitDone, "--sku", "1")

	for _, id := range bought {
		h.del(resOf(cell), string(id[:]))
	}
	d.reconcile(command.ExitDone)
	d.reconcile(command.ExitDone, "--sku", "1")
	d.run("reservation", "show", bought["a"].String()).want(command.ExitNotFound, "may be in files", "sluice archive show")
	d.run("reservation", "show", held.String()).want(command.ExitDone, "held", "reserve")
	d.run("reservation", "list", "--user", "1").want(command.ExitDone, "may be in files")

	stop = d.persister()
	d.settle(stock.OpConfirm, cell, held)
	d.settle(stock.OpConfirm, cell, d.reserve(cell, 1, "d"))
	d.settled()
	d.marked(h)
	stop()
	h.age()
	archived().want(command.ExitDone, "3 events of 1 cells, 2 reservations and 0 repairs")
	d.settled()

	files, err := filepath.Glob(filepath.Join(dir, "*.sluice.gz"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	d.run(append([]string{"archive", "verify"}, files...)...).want(command.ExitDone, "whole: 12 events of 2 cells", "whole: 3 events of 1 cells")
	d.run("archive", "show", files[0], "--reservation", bought["a"].String()).want(command.ExitDone, "reserve", "confirm").lacks("release")
	d.run("archive", "show", files[0], "--sku", "1", "-o", "json").want(command.ExitDone, `"kind": "release"`, `"sku_id": "1"`)
	d.flags["--deployment"] = "other"
	d.run("archive", "verify", files[0]).want(command.ExitFailed, `deployment "test"`, "--deployment")
	d.run("archive", "show", files[0]).want(command.ExitFailed, `deployment "test"`).lacks("reserve")
	d.flags["--deployment"] = "test"
	own := d.flags["--mysql-dsn-file"]
	other := newDeployment(t) // of the same name
	other.run("migrate").want(command.ExitDone)
	d.flags["--mysql-dsn-file"] = other.flags["--mysql-dsn-file"]
	d.run("archive", "verify", files[0]).want(command.ExitFailed, files[0], "of the database", "--mysql-dsn-file").lacks("whole: ")
	d.run("archive", "show", files[0]).want(command.ExitFailed, files[0], "of the database").lacks("reserve")
	away := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(away, []byte("u:p@tcp(127.0.0.1:1)/d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.flags["--mysql-dsn-file"] = away
	d.run("archive", "verify", files[0]).want(command.ExitDone, "whole: 12 events", "is not checked")
	delete(d.flags, "--mysql-dsn-file")
	d.run("archive", "verify", files[0]).want(command.ExitDone, "whole: 12 events").lacks("MySQL")
	d.flags["--mysql-dsn-file"] = own
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"cut":    content[:len(content)-9],
		"edited": append(append([]byte{}, content[:len(content)/2]...), append([]byte{content[len(content)/2] ^ 1}, content[len(content)/2+1:]...)...),
		"longer": append(append([]byte{}, content...), content...),
		"text":   []byte("sku_id,quantity\n"),
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		d.run("archive", "verify", files[1], path).want(command.ExitFailed, "whole: 3 events", path, "not a whole file", "1 of 2 files")
		d.run("archive", "show", path).want(command.ExitFailed, "not a whole file")
		d.run("archive", "verify", filepath.Dir(path)).want(command.ExitFailed, "it is a directory: name the files in it")
	}
}

// A return is found after its events have left MySQL, so nobody sends it again. The test compares its user's units.
func TestArchivedReturnIsFound(t *testing.T) {
	t.Parallel()
	d := atRest(t, "1,100\n")
	d.run("stock", "adjust", "1", "--limit", "5", "--reason", "limit", "--yes").want(command.ExitDone)
	h, cell, dir := d.hand(), stock.Cell{SKU: 1}, t.TempDir()
	books := ledger.New(h.db, func(context.Context) (int64, int64) { return 1, 1 })
	for round, events := range []int{9, 7} {
		var ids []stock.ReservationID
		for i := range 3 {
			ids = append(ids, d.reserve(cell, 1, fmt.Sprint(round, i)))
			d.settle(stock.OpConfirm, cell, ids[i])
		}
		back := stock.Identity{User: 1, Route: stock.OpReturn, Cell: cell, Key: fmt.Sprint("refund ", round)}.ID(8)
		returned := stock.DoAll(t.Context(), d.store(), stock.OpReturn, []stock.Request{{ID: back, Cell: cell, User: 1, Quantity: 1, Reason: "did not fit"}})[0]
		if returned.Err != nil || returned.Verdict != stock.VerdictOK {
			t.Fatal(returned.Verdict, returned.Err)
		}
		stop := d.persister()
		d.settled()
		d.marked(h)
		stop()
		h.age()
		d.run("archive", "run", "--dir", dir, "--older-than", "1200h", "--yes").want(command.ExitDone, fmt.Sprintf("%d events of 1 cells, 3 reservations and 0 repairs", events))
		for _, id := range append(ids, back) { // their retention is over
			h.del(resOf(cell), string(id[:]))
		}
		if found, _, err := books.Return(t.Context(), back); err != nil || found == nil || found.Quantity != 1 {
			t.Errorf("a look-up finds %+v, %v", found, err)
		}
		d.reconcile(command.ExitDone)
		d.reconcile(command.ExitDone, "--sku", "1")
	}
	h.set(fmt.Sprintf("{p%d}:buyers:0", cell.Partition(8)), string(cell.Append(nil))+"\x00\x00\x00\x00\x00\x00\x00\x01", []byte{0, 0, 3})
	if got := d.reconcile(command.ExitDrift); !slices.Equal(got.brief(), []string{"1: buyer_count, 1, oversell"}) {
		t.Errorf("the user has bought 6 and returned 2: %q", got.brief())
	}
}

// everyFileIsVerified has the files looked at that MySQL knows, while something is wrong with one of them.
func (d *deployment) everyFileIsVerified(h *hand, dir string, verify func() result) {
	t := d.t
	files, err := filepath.Glob(filepath.Join(dir, "*.sluice.gz"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	noted := func() (note string) {
		t.Helper()
		err := h.db.QueryRowContext(t.Context(), "SELECT CONCAT(outcome, ' ', files, ' ', bad_files) FROM archive_runs WHERE act = 'verify' ORDER BY run_id DESC LIMIT 1").Scan(&note)
		if err != nil {
			t.Fatal(err)
		}
		return note
	}
	verify().want(command.ExitDone, files[0]+": whole")
	if got := noted(); got != "done 1 0" {
		t.Errorf("noted: %s", got)
	}
	aside := files[0] + ".aside"
	if err := os.Rename(files[0], aside); err != nil {
		t.Fatal(err)
	}
	verify().want(command.ExitFailed, files[0], "no such file", "1 of 1 files")
	if got := noted(); got != "failed 1 1" {
		t.Errorf("noted of a file that is missing: %s", got)
	}
	if err := os.Rename(aside, files[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := h.db.ExecContext(t.Context(), "UPDATE archive_files SET sha256 = REVERSE(sha256)"); err != nil {
		t.Fatal(err)
	}
	verify().want(command.ExitFailed, files[0], "SHA-256", "1 of 1 files").lacks("whole:")
	d.run("archive", "verify", files[0]).want(command.ExitUsage, "--dir") // both
}

// The units of systemd archive and verify by an account that has no more than the role's grants.
func TestArchiveUnitRunsWithItsAccount(t *testing.T) {
	t.Parallel()
	d := atRest(t, "1,100\n")
	h, cell := d.hand(), stock.Cell{SKU: 1}
	d.settle(stock.OpConfirm, cell, d.reserve(cell, 1, "a"))
	stop := d.persister()
	d.settled()
	d.marked(h)
	stop()
	h.age()
	c, err := mysql.ParseDSN(d.mysql.DSN.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	user := fmt.Sprintf("archive%d", rand.Uint32())
	statements := "CREATE USER '" + user + "'@'%';\n" + grants(t, "--role=archive", "--database="+c.DBName, "--user="+user)
	for statement := range strings.SplitSeq(strings.TrimSuffix(statements, ";\n"), ";\n") {
		if _, err := h.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	c.User, c.Passwd = user, ""
	file := filepath.Join(t.TempDir(), "archive.dsn")
	if err := os.WriteFile(file, []byte(c.FormatDSN()), 0o600); err != nil {
		t.Fatal(err)
	}
	d.flags["--mysql-dsn-file"] = file
	d.flags["--dir"] = t.TempDir()
	start := func(unit string) result {
		found := regexp.MustCompile(`(?m)^ExecStart=\S+ (.+)$`).FindStringSubmatch(pages(t)["deploy/systemd/"+unit])
		if len(found) != 2 || !strings.Contains(found[1], "--dir /var/lib/sluice-archive") {
			t.Fatalf("%s starts %q", unit, found)
		}
		return d.run(strings.Fields(strings.Replace(found[1], "--dir /var/lib/sluice-archive", "", 1))...)
	}
	start("sluice-archive.service").want(command.ExitDone, "3 events of 1 cells, 1 reservations and 0 repairs")
	d.everyFileIsVerified(h, d.flags["--dir"], func() result { return start("sluice-archive-verify.service") })
}
