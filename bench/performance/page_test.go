package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"sluice/bench/compare"
)

func cores(n float64) *float64 { return &n }

// A report that others disturbed, that is of changed files or of a small size says so on the page.
func TestPageSaysWhatAReportIsWorth(t *testing.T) {
	t.Parallel()
	f := func(r report, want ...string) {
		t.Helper()
		r.Command, r.Cores, r.Commit = "true", 4, "abc"
		got, err := pages{map[string]*report{"x": &r}}.measured("x")
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range want {
			without, unwanted := strings.CutPrefix(word, "!")
			if strings.Contains(got, without) == unwanted {
				t.Errorf("%+v: want %q in %q", r, word, got)
			}
		}
	}
	f(report{}, "other work unknown", "commit abc;", "!little")
	f(report{Others: cores(0.2)}, "; quiet: other work took 0.20 of 4 cores", "!not quiet")
	f(report{Others: cores(0.21)}, "**not quiet**: other work took 0.21 of 4 cores")
	f(report{stamp: stamp{Modified: true}}, "commit abc with changes;")
	f(report{Quick: true}, "these figures mean little")
}

func TestGoalsAreMetAtTheirBound(t *testing.T) {
	t.Parallel()
	f := func(v float64, kind, want string) {
		t.Helper()
		got, err := pages{}.goal("speed", "place", v, kind, 2, "us")
		if err != nil || got != "| [speed](#place) | "+kind+" 2 us | "+want+" |" {
			t.Errorf("%v: %q, %v", v, got, err)
		}
	}
	f(2, "at least", "2 us | yes")
	f(1.99, "at least", "1.99 us | **no**")
	f(2, "at most", "2 us | yes")
	f(2.01, "at most", "2.01 us | **no**")
	if _, err := (pages{}).goal("speed", "place", 1, "about", 2, ""); err == nil {
		t.Error("a goal is about something")
	}
}

// A measurement of a small size says nothing about how long all of them take.
func TestTotalIsOfWholeReports(t *testing.T) {
	t.Parallel()
	planned := pages{}.total()
	if got := (pages{map[string]*report{"http": {Quick: true, TookS: 7200}}}).total(); got != planned {
		t.Errorf("%s with a quick report, want %s", got, planned)
	}
	if got := (pages{map[string]*report{"http": {TookS: 7200}}}).total(); got == planned {
		t.Errorf("%s with a report of two hours", got)
	}
}

// Of several turns a figure is the one in the middle.
func TestFigureIsTheMedian(t *testing.T) {
	t.Parallel()
	p := pages{map[string]*report{"x": {Rows: []row{{"Of", map[string][]float64{"us": {9, 1, 2}}}}}}}
	if got, err := p.num("x", "Of", "us"); got != 2 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// The command of a report is that of its measurement: figures of another one are refused.
func TestReportsOfOtherCommandsAreRefused(t *testing.T) {
	t.Parallel()
	m := measurements()[0]
	for command, wrong := range map[string]bool{m.command: false, m.quick: true, "true": true} {
		dir := t.TempDir()
		if err := (&report{Name: m.name, Command: command, Start: time.Now()}).write(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := readReports(dir); (err != nil) != wrong || wrong && !strings.Contains(err.Error(), "measure it again") {
			t.Errorf("%s: %v", command, err)
		}
		if left, err := os.ReadDir(dir); len(left) != 1 || err != nil {
			t.Errorf("%v, %v", left, err)
		}
	}
}

// Each way's figures are under their own names. A way that failed is no measurement.
func TestReadWays(t *testing.T) {
	t.Parallel()
	spread := func(v float64) compare.Spread { return compare.Spread{Median: v, Min: v - 0.5, Max: v + 0.5} }
	w := compare.Row{Name: "engine", PerSecond: spread(1000), Ratio: spread(2), CPUTotal: spread(30), Oversold: 4, Lost: 5}
	w.Latency.P50MS, w.Latency.P99MS, w.Latency.P999MS = 6, 7, 8
	read := func() ([]row, error) {
		text, err := json.Marshal(compare.Report{Version: compare.Version, Kind: "compare", Rows: []compare.Row{w}})
		if err != nil {
			t.Fatal(err)
		}
		return readWays(append(text, '\n'))
	}
	want := []row{{"engine", map[string][]float64{
		"accepted/s": {1000}, "ratio": {2}, "ratio-min": {1.5}, "ratio-max": {2.5}, "p50-ms": {6}, "p99-ms": {7}, "p99.9-ms": {8},
		"cpu-us": {30}, "oversold": {4}, "lost": {5},
	}}}
	got, err := read()
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	w.Failure = "broken pipe"
	if _, err := read(); err == nil || !strings.Contains(err.Error(), "engine: broken pipe") {
		t.Errorf("a way that failed: %v", err)
	}
}

// What waits for a disk or for work is not busy. What the host took is, and what guests used is within the rest already.
func TestBusyIsWhatUsesCores(t *testing.T) {
	t.Parallel()
	got, known := busyOf("cpu  100 20 30 4000 500 6 7 8 9000 9000\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
	if want := (100 + 20 + 30 + 6 + 7 + 8) * 10 * time.Millisecond; got != want || !known {
		t.Errorf("%v, %v, want %v", got, known, want)
	}
	for _, text := range []string{"", "cpu 1 2 3\n", "cpu  1 2 3 4 5 6 x 8 9 9\n"} {
		if got, known := busyOf(text); known {
			t.Errorf("%q: %v", text, got)
		}
	}
}
