package journal_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/core/local/servicetest"
	"sluice/core/reconcile"
	"sluice/core/reconcile/journal"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/persister/persistertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

type kept struct {
	*journal.Journal

	t  *testing.T
	db *sql.DB
}

func open(t *testing.T) *kept {
	t.Helper()
	db := persistertest.Database(t)
	return &kept{journal.New(db), t, db}
}

func (k *kept) now() journal.Moment {
	k.t.Helper()
	now, err := k.Now(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	time.Sleep(2 * time.Millisecond) // the clock of MySQL tells milliseconds
	return now
}

// keep keeps a run that found this, and returns what of it is new.
func (k *kept) keep(sweep journal.Sweep, begun journal.Moment, unread []reconcile.Unread, found ...reconcile.Finding) []string {
	k.t.Helper()
	r := reconcile.Report{Findings: found, Summary: reconcile.Summary{Verdict: reconcile.HasDrift, Unread: unread, Cells: 9, ByType: map[reconcile.Type]int64{}}}
	for _, f := range found {
		r.Summary.Findings++
		r.Summary.ByType[f.Type]++
	}
	fresh, err := k.Keep(k.t.Context(), sweep, "me", begun, &r)
	if err != nil {
		k.t.Fatal(err)
	}
	var names []string
	for _, f := range fresh {
		names = append(names, fmt.Sprint(f.SKU, f.Type))
	}
	return names
}

func (k *kept) open() (lines []string) {
	k.t.Helper()
	err := k.Open(k.t.Context(), func(f *journal.Finding) {
		lines = append(lines, fmt.Sprintf("%d %s: %d of %d units since %d, %d rows", f.SKU, f.Type, f.Findings, f.Units, f.Since, len(f.Proof)))
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return lines
}

func found(sku int64, of reconcile.Type, units int64, since show.Moment) reconcile.Finding {
	return reconcile.Finding{
		SKU: show.ID(sku), Type: of, Units: units, Direction: reconcile.Oversell, Since: since, Repair: "do",
		Proof: []reconcile.Proof{{Store: reconcile.InRedis, Says: "it's so", User: 77, Units: units}},
	}
}

// A finding keeps since when it is known, over runs that find it, until a run that could read everything does not.
func TestFindingsOutliveRuns(t *testing.T) {
	t.Parallel()
	k := open(t)
	same := func(when string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	begun := k.now()
	same("new", k.keep(journal.Stock, begun, nil, found(1, reconcile.CounterEdit, 5, 100), found(2, reconcile.BuyerCount, 2, 200), found(2, reconcile.BuyerCount, 1, 150)),
		"1counter_edit", "2buyer_count")
	same("two of one kind are one", k.open(), "1 counter_edit: 1 of 5 units since 100, 1 rows", "2 buyer_count: 2 of 3 units since 150, 2 rows")
	begun = k.now()
	same("another sweep ends nothing", k.keep(journal.Rows, begun, nil, found(3, reconcile.Gap, 1, 50)), "3gap")
	begun = k.now()
	same("again, and larger", k.keep(journal.Stock, begun, nil, found(1, reconcile.CounterEdit, 7, 300)))
	same("2 is gone", k.open(), "1 counter_edit: 1 of 7 units since 100, 1 rows", "3 gap: 1 of 1 units since 50, 1 rows")
	begun = k.now()
	same("a store could not be read", k.keep(journal.Stock, begun, []reconcile.Unread{{Store: reconcile.InKafka, Error: "away"}}))
	same("nobody knows", k.open(), "1 counter_edit: 1 of 7 units since 100, 1 rows", "3 gap: 1 of 1 units since 50, 1 rows")
	begun = k.now()
	same("the cell could not be compared", k.keep(journal.Stock, begun, nil, found(1, reconcile.Unverifiable, 0, 400)), "1unverifiable")
	same("nobody knows that either", k.open(), "1 counter_edit: 1 of 7 units since 100, 1 rows", "1 unverifiable: 1 of 0 units since 400, 1 rows", "3 gap: 1 of 1 units since 50, 1 rows")
	begun = k.now()
	same("clean", k.keep(journal.Stock, begun, nil))
	begun = k.now()
	same("rows are clean too", k.keep(journal.Rows, begun, nil))
	same("nothing is open", k.open())
	begun = k.now()
	same("it comes again", k.keep(journal.Stock, begun, nil, found(1, reconcile.CounterEdit, 1, 900)), "1counter_edit")
	same("and is a new one", k.open(), "1 counter_edit: 1 of 1 units since 900, 1 rows")

	var runs []*journal.Run
	if err := k.Runs(t.Context(), time.Now().Add(-time.Hour), 100, func(r *journal.Run) { runs = append(runs, r) }); err != nil {
		t.Fatal(err)
	}
	if len(runs) != 8 || runs[0].ID < runs[1].ID || runs[7].ByType[reconcile.BuyerCount] != (reconcile.Quantity{Findings: 2, Units: 3}) || runs[7].By != "me" ||
		runs[4].Complete || runs[4].Unread != "kafka: away" || runs[4].Cells != 9 {
		t.Errorf("%+v", runs)
	}
	var of []string
	err := k.Of(t.Context(), runs[5], func(f *journal.Finding) { of = append(of, fmt.Sprint(f.SKU, f.Type, f.GoneAt != 0, f.Proof[0].User)) })
	if err != nil {
		t.Fatal(err)
	}
	same("of a run", of, "1counter_edittrue 77")
	if last, ago, err := k.Last(t.Context(), journal.Rows); err != nil || last.ID != runs[1].ID || ago < 0 || ago > time.Minute {
		t.Errorf("%+v, %v, %v", last, ago, err)
	}
}

// A finding of both sweeps is gone only when the pass through older rows no longer sees it.
func TestFindingOfBothSweeps(t *testing.T) {
	t.Parallel()
	for _, order := range [][]journal.Sweep{{journal.Stock, journal.Rows}, {journal.Rows, journal.Stock}} {
		k := open(t)
		for _, sweep := range order {
			k.keep(sweep, k.now(), nil, found(1, reconcile.Gap, 1, 50))
		}
		k.keep(journal.Stock, k.now(), nil)
		if got := k.open(); len(got) != 1 {
			t.Errorf("%v: a sweep that cannot see it ended it: %q", order, got)
		}
		k.keep(journal.Rows, k.now(), nil)
		if got := k.open(); len(got) != 0 {
			t.Errorf("%v: still open: %q", order, got)
		}
	}
}

// If another persister has gone on with a pass, the first one closes no findings: the other one may have seen them
// again.
func TestOvertakenPassEndsNothing(t *testing.T) {
	t.Parallel()
	k := open(t)
	k.keep(journal.Rows, k.now(), nil, found(1, reconcile.Gap, 1, 50))
	mine, err := k.BeginPass(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k.now()
	others, err := k.Pass(t.Context())
	if err == nil {
		_, err = k.GoOn(t.Context(), others, stock.Cell{SKU: 5}, &reconcile.Report{})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := k.EndPass(t.Context(), mine, "me"); !errors.Is(err, journal.ErrOvertaken) {
		t.Errorf("ended a pass of another one: %v", err)
	}
	if got := k.open(); len(got) != 1 {
		t.Errorf("open: %q, want the gap", got)
	}
	if err := k.EndPass(t.Context(), others, "the other one"); err != nil {
		t.Error(err)
	}
	if got := k.open(); len(got) != 0 {
		t.Errorf("open: %q, want nothing", got)
	}
}

// A pass that could not compare a cell is not clean.
func TestPassWithUnverifiableCells(t *testing.T) {
	t.Parallel()
	for want, of := range map[reconcile.Verdict][]reconcile.Type{
		reconcile.Clean: nil, reconcile.NotChecked: {reconcile.Unverifiable}, reconcile.HasDrift: {reconcile.Unverifiable, reconcile.Gap},
	} {
		k := open(t)
		pass, err := k.BeginPass(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r := reconcile.Report{Summary: reconcile.Summary{Cells: 2, Unverified: 1, ByType: map[reconcile.Type]int64{}}}
		for _, what := range of {
			r.Findings = append(r.Findings, found(1, what, 0, 50))
			r.Summary.ByType[what]++
			r.Summary.Findings++
		}
		if _, err := k.GoOn(t.Context(), pass, stock.Cell{SKU: 5}, &r); err != nil {
			t.Fatal(err)
		}
		if err := k.EndPass(t.Context(), pass, "me"); err != nil {
			t.Fatal(err)
		}
		if run, err := k.Newest(t.Context(), journal.Rows); err != nil || run.Verdict != want || run.Unverified != 1 {
			t.Errorf("%v: %+v, %v", of, run, err)
		}
	}
}

// The key of a row tells which findings are known. So proofs, which may be long, are not read.
func TestNoteReadsNoProofs(t *testing.T) {
	t.Parallel()
	k := open(t)
	k.keep(journal.Stock, k.now(), nil, found(1, reconcile.CounterEdit, 5, 100))
	if _, err := k.db.ExecContext(t.Context(), "UPDATE reconcile_findings SET proof = 'not JSON'"); err != nil {
		t.Fatal(err)
	}
	fresh, err := k.Note(t.Context(), journal.Stock, []reconcile.Finding{found(1, reconcile.CounterEdit, 5, 100), found(2, reconcile.CounterEdit, 5, 100)})
	if err != nil || len(fresh) != 1 || fresh[0].SKU != 2 {
		t.Errorf("%+v, %v", fresh, err)
	}
}

// Old runs leave, and findings that have been gone for long, so the tables do not grow for ever.
func TestOldRunsLeave(t *testing.T) {
	t.Parallel()
	k := open(t)
	k.keep(journal.Stock, k.now(), nil, found(1, reconcile.CounterEdit, 5, 100), found(2, reconcile.CounterEdit, 5, 100))
	begun := k.now()
	k.keep(journal.Stock, begun, nil, found(1, reconcile.CounterEdit, 5, 100))
	for _, statement := range []string{
		"UPDATE reconcile_runs SET ended_at = NOW(3) - INTERVAL 8 DAY",
		"UPDATE reconcile_findings SET first_seen = NOW(3) - INTERVAL 100 DAY, gone_at = IF(gone_at IS NULL, NULL, NOW(3) - INTERVAL 91 DAY)",
	} {
		if _, err := k.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	begun = k.now()
	k.keep(journal.Stock, begun, nil, found(1, reconcile.CounterEdit, 5, 100))
	var runs, findings int
	err := errors.Join(k.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM reconcile_runs").Scan(&runs),
		k.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM reconcile_findings").Scan(&findings))
	if err != nil || runs != 1 || findings != 1 {
		t.Errorf("%d runs, %d findings, %v: want the last run, and what is open", runs, findings, err)
	}
}

// One compares at a time; another one does when the first one gives up, or says no more.
func TestOneHoldsTheLease(t *testing.T) {
	t.Parallel()
	k := open(t)
	ask := func(who string, length time.Duration, want bool) {
		t.Helper()
		held, err := k.Lease(t.Context(), who, length)
		if err != nil || held != want {
			t.Errorf("%s: %v, %v, want %v", who, held, err, want)
		}
	}
	ask("a", time.Minute, true)
	ask("b", time.Minute, false)
	time.Sleep(2 * time.Millisecond)
	ask("a", time.Second, true)
	if err := k.Release(t.Context(), "b"); err != nil {
		t.Error(err)
	}
	ask("b", time.Minute, false)
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) { // until a's second is over
		held, err := k.Lease(t.Context(), "b", time.Minute)
		if err != nil || time.Now().After(end) {
			t.Fatal("b waits for ever", err)
		}
		if held {
			break
		}
	}
	ask("a", time.Minute, false)
	if err := k.Release(t.Context(), "b"); err != nil {
		t.Error(err)
	}
	ask("a", time.Minute, true)
}

// A pass under way goes on at its place, whichever persister asks for one. Its results add up, and a persister that was
// overtaken gets an error.
func TestPassAddsUp(t *testing.T) {
	t.Parallel()
	k := open(t)
	pass, err := k.BeginPass(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stale, err := k.Pass(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for sku := int64(5); sku <= 6; sku++ {
		r := reconcile.Report{
			Findings: []reconcile.Finding{found(sku, reconcile.Gap, 3, 50)},
			Summary:  reconcile.Summary{Cells: 2, InSync: 1, Drift: 1, LedgerRows: 10, Findings: 1, ByType: map[reconcile.Type]int64{reconcile.Gap: 1}},
		}
		if fresh, err := k.GoOn(t.Context(), pass, stock.Cell{SKU: sku}, &r); err != nil || len(fresh) != 1 {
			t.Fatal(fresh, err)
		}
	}
	if _, err := k.GoOn(t.Context(), stale, stock.Cell{SKU: 9}, &reconcile.Report{}); !errors.Is(err, journal.ErrOvertaken) {
		t.Errorf("one who was overtaken goes on: %v", err)
	}
	again, err := k.BeginPass(t.Context())
	if err != nil || again.After.SKU != 6 || again.Begun != pass.Begun {
		t.Fatalf("%+v, %v: want the one that is under way", again, err)
	}
	if err := k.EndPass(t.Context(), again, "me"); err != nil {
		t.Fatal(err)
	}
	run, err := k.Newest(t.Context(), journal.Rows)
	if err != nil || run.Cells != 4 || run.InSync != 2 || run.Drift != 2 || run.LedgerRows != 20 || run.Findings != 2 ||
		run.ByType[reconcile.Gap] != (reconcile.Quantity{Findings: 2, Units: 6}) || run.Verdict != reconcile.HasDrift {
		t.Errorf("%+v, %v", run, err)
	}
	if under, err := k.Pass(t.Context()); err != nil || under != nil {
		t.Errorf("%+v is under way, %v", under, err)
	}
}
