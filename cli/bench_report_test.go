package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	benchreport "sluice/bench/report"
	"sluice/bench/report/against"
	"sluice/bench/report/reporttest"
	"sluice/cli/command"
)

// benchReport writes the report of a sample run into a file.
func benchReport(t *testing.T, seed uint64, change func(*benchreport.Report)) string {
	t.Helper()
	r := reporttest.New(reporttest.Run{Seed: seed, Seconds: 20, PerSecond: 100, P50MS: float64(seed), Stock: 1500})
	if change != nil {
		change(r)
	}
	path := filepath.Join(t.TempDir(), "report.json")
	if err := r.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBenchAgainst(t *testing.T) {
	t.Parallel()
	older, newer := benchReport(t, 1, nil), benchReport(t, 2, func(r *benchreport.Report) { r.Stamp.Cores = 16; r.Stamp.Machine = "bench\x1b[2J" })
	var table, document output
	if code := Run([]string{"bench", "against", older, newer}, table.console()); code != command.ExitDone {
		t.Fatal(table.err.String())
	}
	golden(t, filepath.Join("testdata", "bench-against.txt"), table.out.String())
	if code := Run([]string{"bench", "against", older, newer, "-o", "json"}, document.console()); code != command.ExitDone {
		t.Fatal(document.err.String())
	}
	var c against.Comparison
	if err := json.Unmarshal(document.out.Bytes(), &c); err != nil || len(c.Figures) < 5 || c.Figures[0].Ratio == nil || len(c.Warnings) != 2 {
		t.Errorf("%v in %s", err, document.out.String())
	}
}

func TestBenchPage(t *testing.T) {
	t.Parallel()
	older, newer := benchReport(t, 1, nil), benchReport(t, 2, nil)
	var alone, compared output
	if code := Run([]string{"bench", "page", newer}, alone.console()); code != command.ExitDone || strings.Contains(alone.out.String(), `id="against"`) {
		t.Errorf("exit code %d: %s", code, alone.err.String())
	}
	if code := Run([]string{"bench", "page", newer, "--against", older}, compared.console()); code != command.ExitDone || !strings.Contains(compared.out.String(), `id="against"`) {
		t.Errorf("exit code %d: %s", code, compared.err.String())
	}
}

// Files that are no reports, or of runs that were planned differently, are refused by their names, and nothing is shown.
func TestBenchRefusesReports(t *testing.T) {
	t.Parallel()
	good := benchReport(t, 1, nil)
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.json")
	if err := os.WriteFile(cut, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	ramp := benchReport(t, 2, func(r *benchreport.Report) { r.Plan.Arrivals = "ramp" })
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"page " + cut, command.ExitUsage, cut},
		{"page " + good + " --against " + cut, command.ExitUsage, cut},
		{"against " + cut + " " + good, command.ExitUsage, cut},
		{"against " + good + " " + cut, command.ExitUsage, cut},
		{"against " + good + " " + good + ".none", command.ExitNotFound, good + ".none"},
		{"page " + t.TempDir(), command.ExitUsage, "directory"},
		{"against " + good + " " + ramp, command.ExitUsage, "arrivals: ramp, was poisson"},
		{"page " + ramp + " --against " + good, command.ExitUsage, "planned differently"},
	} {
		var o output
		if code := Run(append([]string{"bench"}, strings.Fields(c.args)...), o.console()); code != c.code || !strings.Contains(o.err.String(), c.want) || o.out.String() != "" {
			t.Errorf("%s: exit code %d, %s%s", c.args, code, o.err.String(), o.out.String())
		}
	}
}
