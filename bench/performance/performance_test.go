package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const top = "../.."

// The page is what the reports and its text give: nobody edits a figure.
func TestPageIsThatOfTheReports(t *testing.T) {
	t.Parallel()
	reports, err := readReports(filepath.Join(top, reportsDir))
	if err != nil {
		t.Fatal(err)
	}
	want, err := renderPage(reports)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(top, page))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs from its reports and bench/performance/page: go run ./bench/performance --render writes it\n%s", page, diff)
	}
}

// Each file of the directory belongs to a measurement.
func TestReportsHaveTheirMeasurement(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(top, reportsDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, f := range files {
		got = append(got, filepath.Base(f))
	}
	for _, m := range measurements() {
		want = append(want, m.name+".json")
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPageFailsWithoutAFigure(t *testing.T) {
	t.Parallel()
	reports, err := readReports(filepath.Join(top, reportsDir))
	if err != nil {
		t.Fatal(err)
	}
	for i := range reports["memory"].Rows {
		delete(reports["memory"].Rows[i].Figures, "bytes/buyer")
	}
	if _, err := renderPage(reports); err == nil || !strings.Contains(err.Error(), "bytes/buyer") {
		t.Errorf("a report without a figure: %v", err)
	}
	delete(reports, "memory")
	if _, err := renderPage(reports); err == nil || !strings.Contains(err.Error(), "memory has no report") {
		t.Errorf("no report: %v", err)
	}
}

// Who tries some measurements gets no page if others have no report, and no failure either.
func TestSomeMeasurementsNeedNoPage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	to := filepath.Join(dir, "page.md")
	var out bytes.Buffer
	if err := finish(&out, dir, to, true); err != nil || !strings.Contains(out.String(), "has no report") {
		t.Errorf("%v, %q", err, out.String())
	}
	if err := finish(&out, dir, to, false); err == nil {
		t.Error("a page without reports is one")
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("there is a page")
	}
	if err := finish(&out, filepath.Join(top, reportsDir), to, true); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(to); err != nil {
		t.Errorf("with all reports there is no page: %v", err)
	}
}

func TestReadBenchmarks(t *testing.T) {
	t.Parallel()
	procs := ""
	if n := runtime.GOMAXPROCS(0); n > 1 {
		procs = fmt.Sprintf("-%d", n)
	}
	output := strings.ReplaceAll(`goos: linux
2026/11/28 02:23:41 INFO redis is open primaries=1
BenchmarkAlone	2026/11/28 02:23:41 INFO redis is open primaries=1
       1	8259368389 ns/op	         4.586 batcher-own-us	     61077 batcher/s
--- BENCH: BenchmarkAlone@
    http_timing_test.go:241: 127.0.0.1:4711: 3 answers
BenchmarkOf/two-7@         	       2	      10.5 ns/op
BenchmarkOf/two-7#01@      	       2	      11.5 ns/op
PASS
ok  	sluice/edge/batch	59.907s
`, "@", procs)
	got, err := readBenchmarks([]byte(output))
	if err != nil {
		t.Fatal(err)
	}
	want := []row{
		{"Alone", map[string][]float64{"ns/op": {8259368389}, "batcher-own-us": {4.586}, "batcher/s": {61077}}},
		{"Of/two-7", map[string][]float64{"ns/op": {10.5, 11.5}}},
	}
	if procs == "" { // nothing tells the suffix of a mark from that of a name
		want = want[:1]
		got = got[:1]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := readBenchmarks([]byte("PASS\n")); err == nil {
		t.Error("no figures are figures")
	}
}

// A measurement that fails keeps its report, the others are measured, and an interruption keeps what was measured before it.
func TestMeasureAllKeepsWhatItHas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	of := func(name, command string) measurement {
		return measurement{name: name, command: command, quick: command}
	}
	one := of("one", `echo "BenchmarkX 1 5 ns/op"`)
	var out bytes.Buffer
	if err := measureAll(t.Context(), &out, []measurement{one}, dir, false); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(fileOf(dir, "one"))
	if err != nil || !strings.Contains(string(before), `"ns/op"`) {
		t.Fatal(string(before), err)
	}
	broken := []measurement{of("one", "echo it broke; exit 3"), of("two", one.command), of("three", "echo no figures")}
	err = measureAll(t.Context(), &out, broken, dir, false)
	if err == nil || !strings.Contains(err.Error(), "it broke") || !strings.Contains(err.Error(), "three: it printed no figures") {
		t.Error(err)
	}
	if after, err := os.ReadFile(fileOf(dir, "one")); err != nil || !bytes.Equal(before, after) {
		t.Errorf("its report is %s, %v", after, err)
	}
	if _, err := os.Stat(fileOf(dir, "two")); err != nil {
		t.Error(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waiting := filepath.Join(t.TempDir(), "waiting")
	if err := makeFIFO(waiting); err != nil {
		t.Fatal(err)
	}
	go func() {
		f, err := os.OpenFile(waiting, os.O_WRONLY, 0) // until the command reads
		if err == nil {
			defer f.Close()
		}
		cancel()
		<-t.Context().Done()
	}()
	err = measureAll(ctx, &out, []measurement{of("four", one.command), of("five", "cat "+waiting), of("six", one.command)}, dir, false)
	if err == nil || !strings.Contains(err.Error(), "ended during five") {
		t.Error(err)
	}
	for name, want := range map[string]bool{"four": true, "five": false, "six": false} {
		if _, err := os.Stat(fileOf(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestChosen(t *testing.T) {
	t.Parallel()
	all := measurements()
	seen := map[string]bool{}
	for i := range all {
		if m := &all[i]; seen[m.name] || m.question == "" || m.command == m.quick || m.takes == 0 {
			t.Errorf("%+v", m)
		}
		seen[all[i].name] = true
	}
	if got, err := chosen([]string{"engine", "http"}); err != nil || len(got) != 2 || got[0].name != "http" {
		t.Error(got, err)
	}
	if _, err := chosen([]string{"engines"}); err == nil || !strings.Contains(err.Error(), "engine,") {
		t.Error(err)
	}
}

func TestShow(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		0.592: "0.59", 15.44: "15.4", 141.4: "141", 1234: "1230", 9999: "10000", 60_000: "60 k", 213_456: "213 k", 1_250_000: "1.25 M", 0: "0", 2: "2", -4.2: "-4.20",
	} {
		if got := show(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}

func makeFIFO(path string) error { return syscall.Mkfifo(path, 0o600) }
