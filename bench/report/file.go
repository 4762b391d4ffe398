package report

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// fileBytesMax bounds a file: a day's report has about 30 MiB.
const fileBytesMax = 64 << 20

// Write writes the report as JSON.
func (r *Report) Write(w io.Writer) error {
	if err := json.MarshalWrite(w, r, jsontext.WithIndent("  "), json.Deterministic(true)); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	_, err := w.Write([]byte("\n"))
	return err
}

// WriteFile puts the whole file in place, or nothing.
func (r *Report) WriteFile(path string) error { return WriteWhole(path, r.Write) }

// ReadFile reads a report, and refuses one that does not fit together.
func ReadFile(path string) (*Report, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r, err := Read(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return r, nil
}

// Read reads a report, and refuses one that does not fit together.
func Read(from io.Reader) (*Report, error) {
	text, err := io.ReadAll(io.LimitReader(from, fileBytesMax+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > fileBytesMax:
		return nil, fmt.Errorf("more than %d MiB: not a report of sluice bench", fileBytesMax>>20)
	}
	var form struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(text, &form); err != nil {
		return nil, fmt.Errorf("not a report of sluice bench: %w", err)
	}
	switch {
	case form.Version < 1:
		return nil, errors.New("not a report of sluice bench: it has no version")
	case form.Version > Version:
		return nil, fmt.Errorf("version %d of reports: this sluice reads up to %d: take a newer one", form.Version, Version)
	}
	r := new(Report)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("not a report of sluice bench: %w", err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("not a whole report of sluice bench: %w", err)
	}
	return r, nil
}

// check reports what does not fit together.
func (r *Report) check() error {
	if r.Stamp.Start.IsZero() {
		return errors.New("it has no start")
	}
	if err := checkOutcomes(r.Outcomes); err != nil {
		return err
	}
	if r.Version > 1 {
		if err := checkOutcomes(r.Shoppers); err != nil {
			return fmt.Errorf("shoppers: %w", err)
		}
	}
	for i := range r.Settles {
		if err := checkOutcomes(r.Settles[i].Outcomes); err != nil {
			return fmt.Errorf("%s: %w", r.Settles[i].Call, err)
		}
	}
	for i := range r.Seconds {
		if r.Seconds[i].Second != i {
			return fmt.Errorf("second %d stands where %d should", r.Seconds[i].Second, i)
		}
		if longest := latencyMax.Seconds() * 1e3; !within(r.Seconds[i].P50MS, longest) || !within(r.Seconds[i].P99MS, longest) {
			return fmt.Errorf("second %d: p50 of %v ms, p99 of %v ms", i, r.Seconds[i].P50MS, r.Seconds[i].P99MS)
		}
		for name, n := range r.Seconds[i].Outcomes {
			if !slices.Contains(Words, name) || n < 0 {
				return fmt.Errorf("second %d: %d times outcome %q", i, n, name)
			}
		}
	}
	if verdict := r.Truth.Verdict; !slices.Contains([]Verdict{Right, Wrong, Unverified, NotJudged}, verdict) {
		return fmt.Errorf("truth: verdict %q", verdict)
	}
	if code := r.ExitCode(); r.Exit != code {
		return fmt.Errorf("exit code %d, where what it says leads to %d", r.Exit, code)
	}
	return nil
}

// within reports whether a time is one that a histogram can have: it may round the longest up.
func within(ms, longest float64) bool { return ms >= 0 && ms <= 1.01*longest }

// checkOutcomes wants every word once, in order, with as many latencies as requests.
func checkOutcomes(outcomes []Outcome) error {
	if len(outcomes) != len(Words) {
		return fmt.Errorf("%d outcomes: want %d", len(outcomes), len(Words))
	}
	for i := range outcomes {
		o := &outcomes[i]
		if o.Name != Words[i] {
			return fmt.Errorf("outcome %q stands where %q should", o.Name, Words[i])
		}
		h, err := o.Latency.Decode()
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", o.Name, err)
		case h.TotalCount() != o.Count:
			return fmt.Errorf("%s: %d requests, and latencies of %d", o.Name, o.Count, h.TotalCount())
		case o.PerSecond < 0 || math.IsInf(o.PerSecond, 0):
			return fmt.Errorf("%s: %v per second", o.Name, o.PerSecond)
		}
	}
	return nil
}
