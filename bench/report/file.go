package report

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"syscall"

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

// WriteWhole puts the whole of a file in place, or nothing. It writes into what is no file, such as a pipe or /dev/null.
func WriteWhole(path string, write func(io.Writer) error) error {
	place, special, err := placeOf(path)
	if err != nil {
		return err
	}
	if special {
		return writeInto(place, write)
	}
	fresh, err := os.CreateTemp(filepath.Dir(place), filepath.Base(place)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	err = errors.Join(write(fresh), fresh.Chmod(0o644), fresh.Close())
	if err == nil {
		err = os.Rename(fresh.Name(), place)
	}
	if err != nil {
		_ = os.Remove(fresh.Name()) // whatever was written of it
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeInto(place string, write func(io.Writer) error) error {
	to, err := os.OpenFile(place, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("write %s: %w", place, err)
	}
	if err := errors.Join(write(to), to.Close()); err != nil {
		return fmt.Errorf("write %s: %w", place, err)
	}
	return nil
}

// CanWrite reports why WriteWhole could not write, and leaves nothing behind.
func CanWrite(path string) error {
	place, special, err := placeOf(path)
	switch {
	case err != nil:
		return err
	case special: // to open a pipe would wait for its reader
		if err := syscall.Access(place, accessWrite); err != nil {
			return &fs.PathError{Op: "write", Path: path, Err: err}
		}
		return nil
	}
	fresh, err := os.CreateTemp(filepath.Dir(place), filepath.Base(place)+".*")
	if err != nil {
		return err
	}
	return errors.Join(fresh.Close(), os.Remove(fresh.Name()))
}

const accessWrite = 2 // W_OK

// placeOf returns the file that a path leads to, and whether it is special: neither a file nor yet to be made.
func placeOf(path string) (place string, special bool, err error) {
	place = path
	if at, err := filepath.EvalSymlinks(path); err == nil {
		place = at
	}
	info, err := os.Stat(place)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return place, false, nil
	case err != nil:
		return "", false, err
	case info.IsDir():
		return "", false, &fs.PathError{Op: "write", Path: path, Err: syscall.EISDIR}
	}
	return place, !info.Mode().IsRegular(), nil
}

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
