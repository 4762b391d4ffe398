package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"sluice/bench/compare"
)

// row has the figures of one benchmark, or of one way to sell. A benchmark that ran several times has several of each.
type row struct {
	Name    string               `json:"name"`
	Figures map[string][]float64 `json:"figures"` // by unit
}

// again is the mark of a benchmark that ran before under the same name.
var again = regexp.MustCompile(`#\d+$`)

// readBenchmarks reads the lines that `go test -bench` prints. The name of a benchmark stands at the beginning of its line, but
// what it logs may come between the name and the figures.
func readBenchmarks(output []byte) (rows []row, err error) {
	name := ""
	for line := range strings.Lines(string(output)) {
		if rest, begins := strings.CutPrefix(line, "Benchmark"); begins {
			name, line, _ = strings.Cut(strings.ReplaceAll(rest, "\t", " "), " ")
			name = again.ReplaceAllString(strings.TrimSuffix(name, fmt.Sprintf("-%d", runtime.GOMAXPROCS(0))), "")
		}
		figures := figuresOf(line)
		if figures == nil || name == "" {
			continue
		}
		at := len(rows)
		for i := range rows {
			if rows[i].Name == name {
				at = i
			}
		}
		if at == len(rows) {
			rows = append(rows, row{name, map[string][]float64{}})
		}
		for unit, v := range figures {
			rows[at].Figures[unit] = append(rows[at].Figures[unit], v)
		}
	}
	if len(rows) == 0 {
		return nil, errors.New("it printed no figures")
	}
	return rows, nil
}

// figuresOf reads the number of turns and then pairs of a figure and its unit. It is nil for any other line.
func figuresOf(line string) map[string]float64 {
	fields := strings.Fields(line)
	if len(fields) < 3 || len(fields)%2 == 0 {
		return nil
	}
	if _, err := strconv.ParseUint(fields[0], 10, 63); err != nil {
		return nil
	}
	figures := map[string]float64{}
	for i := 1; i < len(fields); i += 2 {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return nil
		}
		figures[fields[i+1]] = v
	}
	return figures
}

// readWays reads a comparison of ways to sell.
func readWays(output []byte) ([]row, error) {
	dir, err := os.MkdirTemp("", "ways")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "ways.json")
	if err := os.WriteFile(file, bytes.TrimSpace(output), 0o600); err != nil {
		return nil, err
	}
	r, err := compare.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var rows []row
	for i := range r.Rows {
		w := &r.Rows[i]
		if w.Failure != "" {
			return nil, fmt.Errorf("%s: %s", w.Name, w.Failure)
		}
		rows = append(rows, row{w.Name, map[string][]float64{
			"accepted/s": {w.PerSecond.Median}, "ratio": {w.Ratio.Median}, "ratio-min": {w.Ratio.Min}, "ratio-max": {w.Ratio.Max},
			"p50-ms": {w.Latency.P50MS}, "p99-ms": {w.Latency.P99MS}, "p99.9-ms": {w.Latency.P999MS},
			"cpu-us": {w.CPUTotal.Median}, "oversold": {float64(w.Oversold)}, "lost": {float64(w.Lost)},
		}})
	}
	return rows, nil
}
