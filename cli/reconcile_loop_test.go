package cli

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"sluice/cli/command"
	"sluice/core/reconcile/journal"
	"sluice/persister"
)

// reconcileWithin is the time that tests give persisters to find a difference: short, or RECONCILE_WITHIN.
func reconcileWithin(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("RECONCILE_WITHIN")
	if text == "" {
		return 6 * time.Second
	}
	within, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return within
}

// ops gives persisters one address for operators, so that their metrics can be read.
func (d *deployment) ops() (address string) {
	d.t.Helper()
	l, err := new(net.ListenConfig).Listen(d.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// metrics returns the metrics of the persister at an address.
func (d *deployment) metrics(address string) string {
	d.t.Helper()
	request, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		d.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(body)
}

// open returns the open findings of persisters, one a line, as a report has them.
func (h *hand) open() (lines []string) {
	h.t.Helper()
	var r reported
	err := journal.New(h.db).Open(h.ctx, func(f *journal.Finding) {
		text, err := f.SKU.MarshalText()
		if err != nil {
			h.t.Fatal(err)
		}
		r.Findings = append(r.Findings, reportedFinding{Type: string(f.Type), SKU: string(text), Units: f.Units, Direction: string(f.Direction)})
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return r.brief()
}

// Persisters report a change by hand within the time that is set, in MySQL and in their metrics. The finding keeps its
// first time, and is gone when the change is put right.
func TestPersistersReportWhatIsChangedByHand(t *testing.T) {
	t.Parallel()
	within := reconcileWithin(t)
	var address string
	var d *deployment
	d, stop, inject, want := everyDrift(t, func(cfg *persister.Config) {
		address = (&deployment{t: t}).ops()
		cfg.Ops.Listen, cfg.ReconcileWithin = address, within
	})
	defer func() { stop() }()
	d.await(func() bool { return strings.Contains(d.metrics(address), `reconcile_sweeps_total{verdict="clean"} 1`) })
	h := d.hand()
	d.await(func() bool { return h.passes() == 1 })
	begun := time.Now()
	inject()
	limit := within
	if within < time.Minute { // a busy machine counts more in a short time
		limit += 20 * time.Second
	}
	for !slices.Equal(h.open(), want) {
		if time.Since(begun) > limit {
			t.Fatalf("after %v: %s", time.Since(begun), gocmp.Diff(want, h.open()))
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("all %d are found after %v", len(want), time.Since(begun).Round(100*time.Millisecond))
	for _, series := range []string{
		`sluice_persister_reconcile_findings{type="gap",direction="bookkeeping"} 1`,
		`sluice_persister_reconcile_findings{type="counter_edit",direction="oversell"} 1`,
		`sluice_persister_reconcile_finding_units{type="counter_edit",direction="oversell"} 2`,
		`sluice_persister_reconcile_findings{type="gap",direction="oversell"} 0`,
		`sluice_persister_reconcile_cells{class="in_sync"} 3`,
		`sluice_persister_reconcile_cells{class="unverified"} 1`,
	} {
		for end := time.Now().Add(time.Minute); !strings.Contains(d.metrics(address), series+"\n"); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("no %s in\n%s", series, d.metrics(address))
			}
		}
	}

	// Another persister goes on, and knows since when it is so. One difference is put right.
	before := since(h)
	stop()
	h.sql("UPDATE product_inventories SET available_stock = available_stock + 4, sold_stock = sold_stock - 4 WHERE sku_id = 7 AND pool = 0")
	stop = d.persisterWith(func(cfg *persister.Config) { cfg.ReconcileWithin = within })
	mended := slices.DeleteFunc(slices.Clone(want), func(line string) bool { return strings.HasPrefix(line, "7:") })
	d.await(func() bool { return slices.Equal(h.open(), mended) })
	for key, at := range since(h) {
		if before[key] != at {
			t.Errorf("%s: since %v, was %v", key, at, before[key])
		}
	}
}

// since is since when open findings are known.
func since(h *hand) map[string]string {
	h.t.Helper()
	all := map[string]string{}
	err := journal.New(h.db).Open(h.ctx, func(f *journal.Finding) {
		all[fmt.Sprint(f.Cell(), f.Type)] = fmt.Sprint(f.Since, f.FirstSeen)
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// The history is shown as a table, in JSON and in csv: runs, the findings of one run, and open findings.
func TestReconcileHistory(t *testing.T) {
	t.Parallel()
	type history struct {
		Runs []struct {
			ID       string `json:"run_id"`
			Verdict  string
			By       string
			Cells    int64
			Findings int64
			ByType   map[string]struct{ Units int64 } `json:"by_type"`
		}
		Findings []struct {
			Type      string
			SKU       string `json:"sku_id"`
			Units     int64
			FirstSeen string `json:"first_seen"`
			Proof     []struct{ Store, Says string }
		}
	}
	d := atRest(t, "1,20\n2,5\n")
	d.run("reconcile", "history", "--since", "1ms").want(command.ExitDone, "no run since 1ms")
	h := d.hand()
	h.sql("DELETE FROM reconcile_runs")
	h.sql("UPDATE product_inventories SET available_stock = 19, sold_stock = 1 WHERE sku_id = 1")
	h.passed("NOW(3) - INTERVAL 23 HOUR") // no pass is due
	stop := d.persisterWith(func(cfg *persister.Config) { cfg.ReconcileWithin = 0 })
	d.marked(h)
	stop()
	if runs := into[history](d.run("reconcile", "history", "--since", "24h", "-o", "json").want(command.ExitDone)).Runs; len(runs) != 1 || len(h.open()) > 0 {
		t.Errorf("a persister that is to compare nothing has: %+v, %q", runs, h.open())
	}
	stop = d.persister()
	read := func(more ...string) history {
		return into[history](d.run(append([]string{"reconcile", "history", "-o", "json"}, more...)...).want(command.ExitDone))
	}
	d.await(func() bool { return len(read().Runs) > 0 })
	stop()
	r := read().Runs[0]
	if r.Verdict != "drift" || r.Cells != 2 || r.Findings != 1 || r.ByType["projection_stale"].Units != 1 || !strings.Contains(r.By, "127.0.0.1:") {
		t.Errorf("%+v", r)
	}
	for _, which := range [][]string{{"--run", r.ID}, {"--open"}} {
		found := read(which...).Findings
		if len(found) != 1 || found[0].Type != "projection_stale" || found[0].SKU != "1" || found[0].Units != 1 || found[0].FirstSeen == "" || len(found[0].Proof) == 0 {
			t.Errorf("%v: %+v", which, found)
		}
		d.run(append([]string{"reconcile", "history"}, which...)...).want(command.ExitDone, "projection_stale  SKU 1", "rewrite_projection")
	}
	d.run("reconcile", "history").want(command.ExitDone, "VERDICT", "drift")
	d.run("reconcile", "history", "-o", "csv", "--since", "1h").want(command.ExitDone, "run,begun,seconds,sweep,cells,", ",stock,2,0,1,0,1,")
	d.run("reconcile", "history", "--run", "999999").want(command.ExitNotFound, "there is no run 999999")
	d.run("reconcile", "history", "--since", "yesterday").want(command.ExitUsage, "RFC 3339")
}

// While clients sell, and persisters and edges come and go, what is under way is no difference: sweeps and looks at what has
// changed find nothing. Every other round ends with a kill. RECONCILE_RUNS says how many sweeps.
func TestPersistersReportNoDriftUnderLoad(t *testing.T) {
	t.Parallel()
	want := 3
	if text := os.Getenv("RECONCILE_RUNS"); text != "" {
		var err error
		if want, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	const skus = 20
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	d.runWith(stockFile("sku_id,quantity,limit,hold_seconds", skus, "1000000,500,2"), "stock", "load", "--yes").want(command.ExitDone)
	often := func(cfg *persister.Config) { cfg.ReconcileWithin = 2 * time.Second }
	_, stopSelling := d.sellsOn(skus)
	defer stopSelling()
	h := d.hand()
	kept := journal.New(h.db)
	runs := func() (n int) {
		err := kept.Runs(t.Context(), time.Now().Add(-time.Hour), 1000, func(r *journal.Run) {
			if r.Sweep == journal.Stock {
				n++
			}
			if r.Drift > 0 || r.Findings > 0 || r.Sweep == journal.Stock && r.Cells != skus {
				t.Errorf("%+v: %v", r, h.open())
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for round := 0; runs() < want && !t.Failed(); round++ {
		var stop func()
		if round%2 == 0 {
			edge := startProgram(t, "", d.service("edge")...)
			edge.until("edge is up")
			writer := startProgram(t, "", append(d.service("persister"), "--reconcile-within=2s")...)
			writer.until("persister is up")
			stop = func() {
				for _, p := range []*program{edge, writer} {
					p.signal(syscall.SIGKILL)
					if code := p.end(); code != -1 {
						t.Errorf("exit code %d before the kill, and it said\n%s", code, p.said.String())
					}
				}
			}
		} else {
			stop = d.persisterWith(often)
		}
		more := min(want, runs()+1)
		d.await(func() bool { return runs() >= more }) // a lease outlives who was killed
		stop()
	}
	if open := h.open(); len(open) > 0 {
		t.Errorf("found without drift: %v", open)
	}
}
