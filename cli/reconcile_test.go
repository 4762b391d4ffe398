package cli

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"sluice/cli/command"
	"sluice/core/stock"
	"sluice/persister"
)

// reported is a report as scripts read it.
type reported struct {
	Summary struct {
		Verdict                  string
		Cells, Drift, Unverified int64
		InSync                   int64 `json:"in_sync"`
		InFlight                 int64 `json:"in_flight"`
		Unread                   []struct {
			Store string
			Since string `json:"unverified_since"`
		}
	}
	Findings []reportedFinding
}

type reportedFinding struct {
	Type      string
	SKU       string `json:"sku_id"`
	Pool      uint32
	Bucket    uint16
	Units     int64
	Direction string
	Since     string
	Repair    string
	Proof     []struct{ Store, Says string }
}

// brief returns the findings, one a line.
func (r *reported) brief() []string {
	lines := []string{}
	for _, f := range r.Findings {
		lines = append(lines, fmt.Sprintf("%s: %s, %d, %s", f.SKU, f.Type, f.Units, f.Direction))
	}
	slices.SortFunc(lines, bySKU)
	return lines
}

// bySKU orders lines that begin with a SKU.
func bySKU(a, b string) int {
	skuA, _, _ := strings.Cut(a, ":")
	skuB, _, _ := strings.Cut(b, ":")
	return cmp.Or(cmp.Compare(len(skuA), len(skuB)), cmp.Compare(a, b))
}

func (d *deployment) reconcile(code int, more ...string) reported {
	d.t.Helper()
	return into[reported](d.run(append([]string{"reconcile", "-o", "json"}, more...)...).want(code))
}

// hand changes stores behind the program's back.
type hand struct {
	t      *testing.T
	ctx    context.Context //nolint:containedctx // a test's
	client rueidis.Client
	db     *sql.DB
}

func (d *deployment) hand() *hand {
	d.t.Helper()
	client, err := d.redis.Client()
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(client.Close)
	db, err := d.mysql.OpenUnchecked()
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { db.Close() })
	return &hand{d.t, d.t.Context(), client, db}
}

func (h *hand) get(key, field string) []byte {
	h.t.Helper()
	value, err := h.client.Do(h.ctx, h.client.B().Hget().Key(key).Field(field).Build()).AsBytes()
	if err != nil {
		h.t.Fatalf("%s: %v", key, err)
	}
	return value
}

func (h *hand) set(key, field string, value []byte) {
	h.t.Helper()
	if err := h.client.Do(h.ctx, h.client.B().Hset().Key(key).FieldValue().FieldValue(field, string(value)).Build()).Error(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hand) del(key, field string) {
	h.t.Helper()
	if n, err := h.client.Do(h.ctx, h.client.B().Hdel().Key(key).Field(field).Build()).AsInt64(); err != nil || n != 1 {
		h.t.Fatalf("%s: %d, %v", key, n, err)
	}
}

func (h *hand) sql(statement string, values ...any) {
	h.t.Helper()
	result, err := h.db.ExecContext(h.ctx, statement, values...)
	if err != nil {
		h.t.Fatal(err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		h.t.Fatalf("%s: %d rows, %v", statement, n, err)
	}
}

func cellsOf(c stock.Cell) string { return fmt.Sprintf("{p%d}:cells", c.Partition(8)) }
func resOf(c stock.Cell) string   { return fmt.Sprintf("{p%d}:res", c.Partition(8)) }

// settle confirms or releases a reservation.
func (d *deployment) settle(op stock.Op, cell stock.Cell, id stock.ReservationID) {
	d.t.Helper()
	done := stock.DoAll(d.t.Context(), d.store(), op, []stock.Request{{ID: id, Cell: cell}})[0]
	if done.Err != nil || done.Verdict != stock.VerdictOK {
		d.t.Fatalf("%v: %v, %v", op, done.Verdict, done.Err)
	}
}

// atRest is a deployment whose stock, as lines of SKU and quantity, is in all stores, and whose persister has ended.
func atRest(t *testing.T, lines string) *deployment {
	t.Helper()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	d.runWith("sku_id,quantity\n"+lines, "stock", "load", "--yes").want(command.ExitDone)
	stop := d.persister()
	d.settled()
	stop()
	return d
}

// settled waits until nothing is under way: the ledger has all events, and no outbox has one any more. A test may then change a row of
// the ledger: no other store has its event.
func (d *deployment) settled() {
	d.t.Helper()
	h := d.hand()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		r := d.reconcile(command.ExitDone)
		left := int64(0)
		for p := range d.persisterConfig().Stock.Partitions {
			n, err := h.do("XLEN", keyOf(p, "outbox")).AsInt64()
			if err != nil {
				d.t.Fatal(err)
			}
			left += n
		}
		if left == 0 && r.Summary.InFlight == 0 && r.Summary.InSync == r.Summary.Cells {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("still under way, %d entries are in the outboxes: %+v", left, r)
		}
	}
}

// Everything that somebody changes by hand, in any store, is reported as what it is: its SKU, type, size and
// direction.
func TestReconcileFindsWhatIsChangedByHand(t *testing.T) {
	t.Parallel()
	d, stop, inject, want := everyDrift(t, func(*persister.Config) {})
	stop()
	inject()
	const skus = driftSKUs
	r := d.reconcile(command.ExitDrift)
	if diff := gocmp.Diff(want, r.brief()); diff != "" {
		t.Errorf("%s", diff)
	}
	for _, f := range r.Findings {
		if f.Repair == "" || len(f.Proof) == 0 || f.Since == "" || f.Bucket != 0 {
			t.Errorf("not proven: %+v", f)
		}
	}
	if s := r.Summary; s.Verdict != "drift" || s.Cells != skus+1 || s.InSync != 3 || s.Drift != 12 || s.Unverified != 1 {
		t.Errorf("%+v", s)
	}

	d.run("doctor").want(command.ExitFailed, "fail SKU 1: counter_edit: 2 units, oversell", "-> see sluice reconcile --sku 3", "warn SKU 9: gap: 1 units, bookkeeping",
		"findings in all").lacks("SKU 10: dead_letter")

	// A part, and the other forms.
	if part := d.reconcile(command.ExitDrift, "--sku", "9"); len(part.Findings) != 1 || part.Findings[0].Type != "gap" || part.Summary.Cells != 1 {
		t.Errorf("one SKU: %+v", part)
	}
	d.reconcile(command.ExitDone, "--sku", "15")
	d.run("reconcile", "--sku", "999999").want(command.ExitNotFound, "no store knows SKU 999999").lacks("agree")
	d.run("reconcile", "--sku", "15", "--sale", "99").want(command.ExitNotFound, "no store knows SKU 15 in sale 99")
	d.run("reconcile", "--sale", "99").want(command.ExitNotFound, "no store knows stock of sale 99")
	d.run("reconcile", "--sku", "999999", "--since", "1h").want(command.ExitDone, "0 cells")
	d.reconcile(command.ExitDone, "--sale", "7")
	if part := d.reconcile(command.ExitDrift, "--sale", "0"); len(part.Findings) != len(want) || part.Summary.Cells != skus {
		t.Errorf("normal stock: %+v", part.brief())
	}
	if none := d.reconcile(command.ExitDrift, "--since", "1ms"); !slices.Equal(none.brief(), []string{"12: lost_tail, 1, undersell"}) {
		t.Errorf("nothing has happened since then, but that Redis is behind: %+v", none.brief())
	}
	d.run("reconcile").want(command.ExitDrift, "the stores differ", "counter_edit", "SKU 12", "rebase_cell", "redis: held: no event tells of it")
	d.run("reconcile", "-o", "csv").want(command.ExitDrift, "type,sku_id,pool,bucket,units,direction,since,repair,proof\n", "leaked_hold,3,0,0,1,undersell,")
	page := d.run("reconcile", "--sku", "9", "-o", "html").want(command.ExitDrift, "<!DOCTYPE html>", `<section id="c-9-0-0"`, "nobody has it", "confirm")
	for _, outside := range []string{"http://", "https://", "<script", "@import"} {
		page.lacks(outside)
	}
	d.run("reconcile", "--since", "yesterday").want(command.ExitUsage, "RFC 3339")
	d.run("reconcile", "--watch", "-o", "html").want(command.ExitUsage, "one report")
}

// An event that was under way and is nowhere now is a gap, and those that are under way with it explain the rest.
func TestReconcileFindsWhatTheOutboxHasLost(t *testing.T) {
	t.Parallel()
	d := atRest(t, "1,20\n2,7\n")
	cell, h := stock.Cell{SKU: 1}, d.hand()
	var ids []stock.ReservationID
	for user := int64(1); user <= 3; user++ {
		ids = append(ids, d.reserve(cell, user, "lost"))
	}
	if r := d.reconcile(command.ExitDone); r.Summary.InFlight != 1 || r.Summary.InSync != 1 {
		t.Fatalf("three events are under way: %+v", r)
	}
	outbox := fmt.Sprintf("{p%d}:outbox", cell.Partition(8))
	entries, err := h.client.Do(h.ctx, h.client.B().Xrange().Key(outbox).Start("-").End("+").Build()).AsXRange()
	if err != nil || len(entries) < 3 {
		t.Fatal(entries, err)
	}
	if err := h.client.Do(h.ctx, h.client.B().Xdel().Key(outbox).Id(entries[len(entries)-2].ID).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		r := d.reconcile(command.ExitDrift)
		if diff := gocmp.Diff([]string{"1: gap, 1, bookkeeping"}, r.brief()); diff != "" {
			t.Fatal(n, diff)
		}
		proof := fmt.Sprint(r.Findings[0].Proof)
		if !strings.Contains(proof, "no event at 1.3") || !strings.Contains(proof, "its last event is missing") {
			t.Errorf("not proven: %s", proof)
		}
		if n == 0 { // what is left of it reaches MySQL, and the gap stays one
			stop := d.persister()
			d.await(func() bool { return d.show(1).Status == "in_sync" })
			stop()
		}
	}
	d.run("reconcile", "-o", "csv").want(command.ExitDrift, ids[1].String())
}

// A watch sees the next change by itself, and ends by a signal with the verdict of its last report.
func TestReconcileWatches(t *testing.T) {
	t.Parallel()
	d := atRest(t, "1,20\n")
	p := startProgram(t, "exec 1>&2", append(d.service("reconcile"), "--watch", "--every=1s")...)
	p.until("the stores agree")
	cell, h := stock.Cell{SKU: 1}, d.hand()
	value := h.get(cellsOf(cell), string(cell.Append(nil)))
	value[5] += 2
	h.set(cellsOf(cell), string(cell.Append(nil)), value)
	p.until("the stores differ")
	p.until("counter_edit")
	value[5] -= 2
	h.set(cellsOf(cell), string(cell.Append(nil)), value)
	p.until("the stores agree")
	p.signal(syscall.SIGINT)
	if code := p.end(); code != command.ExitDone {
		t.Errorf("ended with exit code %d after a report that all agree", code)
	}
}

// A watch looks once for what only a restore can bring back.
func TestReconcileWatchTellsLossesOnce(t *testing.T) {
	t.Parallel()
	d := atRest(t, "1,20\n")
	d.hand().flush()
	p := startProgram(t, "exec 1>&2", append(d.service("reconcile"), "--watch", "--every=1s")...)
	const lost = "it holds nothing, or has lost a key"
	p.until(lost)
	p.until("the stores differ")
	p.until("the stores differ")
	p.signal(syscall.SIGINT)
	if code := p.end(); code != command.ExitDrift || strings.Count(p.said.String(), lost) != 1 {
		t.Errorf("ended with exit code %d:\n%s", code, p.said.String())
	}
}

// await waits until something is so.
func (d *deployment) await(so func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatal("it does not come to be so")
		}
	}
}

func at(id stock.ReservationID) []byte { return id[:] }

// withUser is a record with another user, which counts against no limit.
func withUser(record []byte, user byte) []byte {
	record[1], record[21] = record[1]&^0x80, user
	return record
}

// A store that cannot be read is unverified, never in sync. Effects that Redis has lost are reported, though it is
// shut.
func TestReconcileSaysWhatItCannotRead(t *testing.T) {
	t.Parallel()
	d := atRest(t, "1,20\n2,7\n")

	without := func(flag, value, store string) reported {
		t.Helper()
		given := d.flags[flag]
		defer func() { d.flags[flag] = given }()
		d.flags[flag] = value
		r := d.reconcile(command.ExitUnverified)
		if r.Summary.Verdict != "unverified" || len(r.Summary.Unread) == 0 || r.Summary.Unread[0].Store != store || r.Summary.Unread[0].Since == "" || len(r.Findings) > 0 {
			t.Errorf("without %s: %+v", store, r)
		}
		return r
	}
	const nobody = "127.0.0.1:1"
	if r := without("--kafka-brokers", nobody, "kafka"); r.Summary.InSync != 2 {
		t.Errorf("what Redis and MySQL have is compared even so: %+v", r.Summary)
	}
	file := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(file, []byte("root@tcp("+nobody+")/sluice"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := without("--mysql-dsn-file", file, "ledger"); r.Summary.InSync != 0 {
		t.Errorf("without MySQL: %+v", r.Summary)
	}
	if r := without("--redis-addr", nobody, "redis"); r.Summary.InSync != 0 {
		t.Errorf("without Redis: %+v", r.Summary)
	}

	h := d.hand()
	if err := h.client.Do(h.ctx, h.client.B().Flushall().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	r := d.reconcile(command.ExitDrift)
	if diff := gocmp.Diff([]string{"1: lost_tail, 20, undersell", "2: lost_tail, 7, undersell"}, r.brief()); diff != "" {
		t.Errorf("an empty Redis: %s", diff)
	}
	d.run("reconcile", "--sku", "2").want(command.ExitDrift, "lost_tail", "redis: Redis has no such cell")
}
