package apptest

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/bench/report"
	"sluice/bench/stack"
	"sluice/core/lifecycle"
)

// A crowd larger than the stock visits an edge. The report says what it got, and that stock is right.
func TestBenchTellsHowShoppersFared(t *testing.T) {
	t.Parallel()
	s := stack.New(t, "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_RATE_PER_USER=0")
	edge := s.StartEdge()
	s.StartPersister()
	dir := t.TempDir()
	file := filepath.Join(dir, "report.json")
	run := func(args ...string) (*report.Report, string) {
		t.Helper()
		args = append([]string{"bench", "--addr", "http://" + edge.Addr(), "--report", file, "--warm-up", "1s", "--catch-up", "5m", "--users", "500"}, args...)
		out, errs, code := s.Try("", args...)
		r, err := report.ReadFile(file)
		if err != nil || r.Exit != code {
			t.Fatalf("%v: exit code %d, %v\n%s%s", args, code, err, out, errs)
		}
		return r, out
	}
	r, out := run("--rate", "200", "--for", "3s", "--arrivals", "constant", "--units", "200", "--limit", "1", "--bots", "0.2", "--bot-tries", "3",
		"--confirm", "0.5", "--release", "0.2", "--settle-after", "100ms", "--hold", "1s", "--want", "accepted/s>100000", "--want", "accepted>0.01")
	accepted := r.Outcome(report.Accepted).Count
	if r.Truth.Verdict != report.Right || accepted < 200 || r.Outcome(report.SoldOut).Count == 0 || r.Outcome(report.Limited).Count == 0 {
		t.Errorf("%+v: %s", r.Truth, out)
	}
	// The shoppers of the warm-up have units too, of an SKU of their own, which is in no sum.
	told := accepted + r.Outcome(report.Replayed).Count
	if *r.Truth.MySQLUnits < r.Truth.AcceptedUnits || *r.Truth.MySQLUnits > r.Truth.AcceptedUnits+r.Truth.UnknownUnits ||
		r.Truth.AcceptedUnits < accepted || r.Truth.AcceptedUnits > told {
		t.Errorf("%+v, %d accepted", r.Truth, accepted)
	}
	if len(r.Settles) != 2 || r.Settles[0].Outcomes[0].Count == 0 || r.Settles[1].Outcomes[0].Count == 0 {
		t.Errorf("%+v", r.Settles)
	}
	if r.Fairness == nil || r.Fairness.Winners == 0 || r.Fairness.BotShoppers < 0.1 || r.Plan.Shoppers != 600 {
		t.Errorf("%+v, %+v", r.Fairness, r.Plan)
	}
	if r.Thresholds[0].Met || !r.Thresholds[1].Met || !slices.Contains([]int{report.ExitThreshold, report.ExitGenerator}, r.Exit) {
		t.Errorf("%+v, exit code %d", r.Thresholds, r.Exit)
	}
	if !strings.HasPrefix(r.Stamp.Redis, "Redis ") && !strings.HasPrefix(r.Stamp.Redis, "Valkey ") || r.Stamp.MySQL == "" || r.Stamp.Settings["bots"] != "0.2" {
		t.Errorf("%+v", r.Stamp)
	}
	if !slices.ContainsFunc(r.Seconds, func(s report.Second) bool { return s.StockLeft != nil && *s.StockLeft < 200 }) {
		t.Errorf("stock does not go down: %+v", r.Seconds)
	}

	many, out := run("--rate", "200", "--for", "2s", "--skus", "3000", "--keys", "zipf", "--units", "5", "-o", "json")
	printed, err := report.Read(strings.NewReader(out))
	if err != nil || printed.Stamp.Start != many.Stamp.Start || many.Truth.Verdict != report.Right || many.Outcome(report.SoldOut).Count == 0 {
		t.Errorf("%v, %+v", err, many.Truth)
	}

	s.LoadCSV("sku_id,quantity", "1,100000")
	existing, _ := run("--rate", "100", "--for", "2s", "--sku", "1")
	if existing.Truth.Verdict != report.Right || existing.Outcome(report.Accepted).Count != existing.Truth.AcceptedUnits || existing.Plan.WarmUpMS != 0 {
		t.Errorf("%+v", existing.Truth)
	}
}

// benchThatRuns starts a run, and returns it, a function that waits until it has said something, and its report's file.
func benchThatRuns(t *testing.T, s *stack.Stack, args ...string) (p *stack.Process, said func(string), file string) {
	t.Helper()
	edge := s.StartEdge()
	file = filepath.Join(t.TempDir(), "report.json")
	args = append([]string{"bench", "--addr", "http://" + edge.Addr(), "--rate", "50", "--warm-up", "0s", "--report", file, "--users", "100"}, args...)
	p = stack.StartProcess(t, "bench", s.Program(args...))
	return p, func(text string) {
		t.Helper()
		if err := lifecycle.Poll(t.Context(), 50*time.Millisecond, func() error {
			if !strings.Contains(p.Log(), text) {
				return errNotYet
			}
			return nil
		}, func(error) bool { return false }); err != nil {
			t.Fatal(err)
		}
	}, file
}

var errNotYet = errors.New("it has not said so yet")

func interrupt(t *testing.T, p *stack.Process) {
	t.Helper()
	if err := syscall.Kill(p.PID(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

func interruptedReport(t *testing.T, p *stack.Process, file string) *report.Report {
	t.Helper()
	<-p.Done()
	r, err := report.ReadFile(file)
	if err != nil || p.ExitCode() != report.ExitInterrupted || r.Exit != p.ExitCode() {
		t.Fatalf("exit code %d, %v\n%s", p.ExitCode(), err, p.Log())
	}
	if r.Outcome(report.Accepted).Count == 0 || r.Truth.Verdict == report.Wrong {
		t.Errorf("%+v: %s", r.Truth, p.Log())
	}
	return r
}

// What was measured until a signal is reported, and stock is judged.
func TestAnInterruptedBenchReportsWhatItMeasured(t *testing.T) {
	t.Parallel()
	s := stack.New(t, "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_RATE_PER_USER=0")
	s.StartPersister()
	p, said, file := benchThatRuns(t, s, "--for", "1h")
	said("left")
	interrupt(t, p)
	r := interruptedReport(t, p, file)
	if r.Cut == nil || !r.Cut.Interrupted || r.Truth.Interrupted || len(r.Seconds) < 4 {
		t.Errorf("%+v, %+v, %d seconds", r.Cut, r.Truth, len(r.Seconds))
	}
}

// While stock is judged, which takes long without a persister, a signal ends that alone: the whole run is reported. So does
// the second signal, if the first one ended the run.
func TestASignalEndsTheJudgementOfStock(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		length string
		cut    bool
	}{
		"a whole run":        {"2s", false},
		"an interrupted run": {"1h", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, said, file := benchThatRuns(t, stack.New(t, "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_RATE_PER_USER=0"), "--for", c.length, "--catch-up", "1h")
			if c.cut {
				said("left")
				interrupt(t, p)
			}
			said("judging stock")
			interrupt(t, p)
			r := interruptedReport(t, p, file)
			if (r.Cut != nil) != c.cut || !r.Truth.Interrupted || r.Truth.Verdict != report.Unverified || r.Truth.WaitedMS > 8000 {
				t.Errorf("%+v, %+v", r.Cut, r.Truth)
			}
		})
	}
}
