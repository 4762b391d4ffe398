package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"sluice/bench/compare"
	"sluice/cli/command"
	"sluice/core/local"
	"sluice/core/local/servicetest"
)

// The command starts all that it needs, compares, writes the page, and leaves nothing behind.
func TestBenchCompare(t *testing.T) { // it sets the environment
	servicetest.Program(t, func() (string, error) { return local.FindRedis(t.Context()) })
	servicetest.Program(t, local.FindMariaDB)
	t.Setenv(programEnv, "1")
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("SLUICE_KAFKA_BROKERS", "127.0.0.1:1") // of some other sluice
	page := filepath.Join(t.TempDir(), "compare.html")
	var o output
	code := Run([]string{"bench", "compare", "--only", "evalsha,http", "--for", "300ms", "--rounds", "1", "-o", "json", "--html", page}, o.console())
	if code != command.ExitDone {
		t.Fatalf("exit code %d: %s", code, o.err.String())
	}
	var r compare.Report
	if err := json.Unmarshal(o.out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range r.Rows {
		names = append(names, row.Name)
		if len(row.Turns) != 1 || row.PerSecond.Median <= 0 || row.Wrong() || row.Ratio.Median <= 0 {
			t.Errorf("%+v", row)
		}
		if row.Name != r.Base && (!row.Judged || !row.SoldOut) {
			t.Errorf("%s: judged %v, sold out %v", row.Name, row.Judged, row.SoldOut)
		}
	}
	if strings.Join(names, " ") != "empty evalsha http" {
		t.Errorf("compared %v", names)
	}
	text, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(text), "EVALSHA per request") {
		t.Errorf("the page: %v, %d bytes", err, len(text))
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Wrong settings are refused before anything starts.
func TestBenchCompareRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	for want, args := range map[string][]string{
		`only: "nothing": want empty, evalsha`: {"--only", "nothing"},
		"for: 30s: want at most 2m0s":          {"--for", "30s", "--rounds", "15"},
		"want a whole number, 1 to 15":         {"--rounds", "0"},
		"want a duration, 200ms to 30s":        {"--for", "1ms"},
		"against: none.json: no such file":     {"--against", "none.json"},
		"html: none/compare.html.":             {"--html", "none/compare.html"},
	} {
		var o output
		if code := Run(append([]string{"bench", "compare"}, args...), o.console()); code != command.ExitUsage || !strings.Contains(o.err.String(), want) {
			t.Errorf("%v: exit code %d, said %q, want %q", args, code, o.err.String(), want)
		}
	}
}
