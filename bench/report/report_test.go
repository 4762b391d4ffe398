package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/go-cmp/cmp"
)

// sample is a small report that fits together.
func sample() *Report {
	r := &Report{
		Version: Version, Stamp: NewStamp(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "http://127.0.0.1:8080", 7),
		Plan:    Plan{Text: "1,000/s for 2s", Arrivals: "constant", Keys: "hot-1", Curve: []Point{{0, 1000}, {2000, 1000}}, SKUs: 1},
		Seconds: []Second{{Second: 0, WarmUp: true, Planned: 3, Sent: 3, Outcomes: map[Word]int64{Accepted: 3}}, {Second: 1, Outcomes: map[Word]int64{}}},
		Truth:   Truth{Verdict: Right},
	}
	for i, name := range Words {
		h := NewHistogram()
		for n := range i {
			Record(h, time.Duration(n+1)*time.Millisecond)
		}
		r.Outcomes = append(r.Outcomes, Outcome{Name: name, Count: int64(i), PerSecond: float64(i), Latency: LatencyOf(h)})
		Record(h, time.Second)
		r.Shoppers = append(r.Shoppers, Outcome{Name: name, Count: int64(i) + 1, PerSecond: float64(i), Latency: LatencyOf(h)})
	}
	r.Settles = []Settle{{Call: "confirm", Outcomes: r.Outcomes}}
	return r
}

// finer is a histogram of so many latencies with more digits than those of a report have, and far more memory.
func finer(t *testing.T, latencies int) string {
	t.Helper()
	h := hdrhistogram.New(1, latencyMax.Microseconds(), 5)
	for range latencies {
		Record(h, time.Millisecond)
	}
	encoded, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func TestAReportIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	want := sample()
	path := filepath.Join(t.TempDir(), "report.json")
	if err := want.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	all, err := Together(got.Outcomes)
	if err != nil || all.TotalCount() != got.Answers() || all.TotalCount() != 21 {
		t.Errorf("%d latencies of %d requests, %v", all.TotalCount(), got.Answers(), err)
	}
}

func TestReportsThatDoNotFitTogetherAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Report)
		want   string
	}{
		"no version":      {func(r *Report) { r.Version = 0 }, "no version"},
		"newer":           {func(r *Report) { r.Version = Version + 1 }, "take a newer one"},
		"no start":        {func(r *Report) { r.Stamp.Start = time.Time{} }, "no start"},
		"outcome missing": {func(r *Report) { r.Outcomes = r.Outcomes[1:] }, "want 7"},
		"another word":    {func(r *Report) { r.Outcomes[0].Name = "won" }, `"won"`},
		"count":           {func(r *Report) { r.Outcomes[3].Count++ }, "latencies of 3"},
		"no shoppers":     {func(r *Report) { r.Shoppers = nil }, "shoppers: 0 outcomes"},
		"histogram":       {func(r *Report) { r.Outcomes[3].Latency.Histogram = "AAAA" }, "histogram"},
		"seconds":         {func(r *Report) { r.Seconds[1].Second = 2 }, "second 2"},
		"second's p50":    {func(r *Report) { r.Seconds[1].P50MS = -1 }, "second 1: p50 of -1 ms"},
		"second's p99":    {func(r *Report) { r.Seconds[0].P99MS = 1e300 }, "p99 of 1e+300 ms"},
		"second's word":   {func(r *Report) { r.Seconds[1].Outcomes["won"] = 1 }, `"won"`},
		"settle":          {func(r *Report) { r.Settles[0].Outcomes = r.Outcomes[:6] }, "confirm: 6 outcomes"},
		"digits":          {func(r *Report) { r.Outcomes[3].Latency.Histogram = finer(t, 3) }, "5 digits"},
		"verdict":         {func(r *Report) { r.Truth.Verdict = "fine" }, `"fine"`},
		"exit":            {func(r *Report) { r.Exit = ExitTruth }, "leads to 0"},
	} {
		r := sample()
		c.change(r)
		var file bytes.Buffer
		if err := r.Write(&file); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(&file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for _, text := range []string{"", "{}", "[]", `{"version":1}`, `{"version":1,"version":1}`, "\x00"} {
		if _, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestNothingIsLeftOfAFileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := sample().WriteFile(filepath.Join(dir, "taken")); err == nil {
		t.Error("a directory was overwritten")
	}
	path, broken := filepath.Join(dir, "report.json"), errors.New("broken")
	if err := sample().WriteFile(path); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	err = WriteWhole(path, func(to io.Writer) error {
		_, err := io.WriteString(to, "half")
		return errors.Join(err, broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("a file that could not be written: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("it is no longer the file that it was: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestExitCodesRankWhatWentWrong(t *testing.T) {
	t.Parallel()
	r := sample()
	f := func(want int) {
		t.Helper()
		if got := r.ExitCode(); got != want {
			t.Errorf("exit code %d, want %d", got, want)
		}
	}
	f(ExitDone)
	r.Truth.Verdict = Unverified
	f(ExitUnverified)
	r.Thresholds = []Threshold{{Text: "p99<1ms", Met: true}, {Text: "p50<1ms"}}
	f(ExitThreshold)
	r.Generator.Bottleneck = true
	f(ExitGenerator)
	r.Cut = &Cut{Why: "the target is gone"}
	f(ExitFailed)
	r.Cut.Interrupted = true
	f(ExitInterrupted)
	r.Cut, r.Truth.Interrupted = nil, true // while stock was judged
	f(ExitInterrupted)
	r.Truth.Verdict = Wrong
	f(ExitTruth)
}

func TestLatenciesBeyondTheRangeCountAsTheLongest(t *testing.T) {
	t.Parallel()
	h := NewHistogram()
	Record(h, 0)
	Record(h, 2*time.Hour)
	if got := LatencyOf(h); h.TotalCount() != 2 || got.MaxMS < 3_500_000 || got.P50MS > 0.002 {
		t.Errorf("%d latencies: %+v", h.TotalCount(), got)
	}
}

func TestLoopbackByName(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]bool{
		"http://127.0.0.1:80": true, "127.0.0.1:80": true, "http://[::1]:80": true, "[::1]:80": true, "http://localhost": true,
		"http://127.0.0.1.example.org": false, "http://example.org:80": false, "10.0.0.1:80": false, "http://user@10.0.0.1": false,
	} {
		if got := Loopback(target); got != want {
			t.Errorf("Loopback(%q) = %v", target, got)
		}
	}
}

func FuzzRead(f *testing.F) {
	var file bytes.Buffer
	if err := sample().Write(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Read(bytes.NewReader(text))
		if err == nil && r.ExitCode() != r.Exit {
			t.Errorf("exit code %d of a report that leads to %d was read", r.Exit, r.ExitCode())
		}
	})
}

// The first version has no shoppers.
func TestAReportOfTheFirstVersionIsRead(t *testing.T) {
	t.Parallel()
	want := sample()
	want.Version, want.Shoppers = 1, nil
	var file bytes.Buffer
	if err := want.Write(&file); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Seconds count as measured only where shoppers came all the time.
func TestSecondsAreMeasuredWhileShoppersCome(t *testing.T) {
	t.Parallel()
	r := &Report{Plan: Plan{WarmUpMS: 2000}, ElapsedMS: 2500}
	for n := range 8 {
		r.Seconds = append(r.Seconds, Second{Second: n, WarmUp: n < 2})
	}
	if got := r.Measured(); len(got) != 2 || got[0].Second != 2 || got[1].Second != 3 {
		t.Errorf("%+v, want the seconds 2 and 3: 4 has half a second of shoppers", got)
	}
}

// What is no file is written into, and a link is followed; neither is replaced by a file.
func TestWhatIsNoFileIsWrittenInto(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe, file, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(file, []byte("older"), 0o600), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	read := make(chan string)
	go func() {
		text, _ := os.ReadFile(pipe)
		read <- string(text)
	}()
	write := func(to io.Writer) error { _, err := io.WriteString(to, "new"); return err }
	for _, path := range []string{pipe, link, "/dev/null", filepath.Join(dir, "fresh")} {
		if err := errors.Join(CanWrite(path), WriteWhole(path, write)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "fresh")); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("a new file: %v, %v, want one that all may read", info, err)
	}
	if got := <-read; got != "new" {
		t.Errorf("through the pipe came %q", got)
	}
	if text, err := os.ReadFile(file); string(text) != "new" || err != nil {
		t.Errorf("behind the link is %q, %v", text, err)
	}
	for path, kind := range map[string]fs.FileMode{pipe: fs.ModeNamedPipe, link: fs.ModeSymlink} {
		if info, err := os.Lstat(path); err != nil || info.Mode().Type() != kind {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if err := WriteWhole("/dev/full", write); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full device: %v", err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "none", "x"), filepath.Join(file, "x")} {
		if CanWrite(path) == nil || WriteWhole(path, write) == nil {
			t.Errorf("%s can be written", path)
		}
	}
	if left, err := os.ReadDir(dir); len(left) != 4 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// What is open already is written to from where it stands. So a file that stands behind /dev/stdout stays the one that it is, and has
// what others write to it too.
func TestWhatIsOpenIsWrittenTo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(fmt.Sprintf("/dev/fd/%d", file.Fd()), link); err != nil {
		t.Fatal(err)
	}
	write := func(to io.Writer) error { _, err := io.WriteString(to, "report,"); return err }
	for _, path := range []string{fmt.Sprintf("/dev/fd/%d", file.Fd()), fmt.Sprintf("/proc/self/fd/%d", file.Fd()), link} {
		if _, err := file.WriteString("before,"); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(CanWrite(path), WriteWhole(path, write)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := file.WriteString("after"); err != nil {
		t.Errorf("the descriptor is not what it was: %v", err)
	}
	if text, err := os.ReadFile(file.Name()); string(text) != strings.Repeat("before,report,", 3)+"after" || err != nil {
		t.Errorf("the file has %q, %v", text, err)
	}

	reads, err := os.Open(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer reads.Close()
	for _, path := range []string{fmt.Sprintf("/dev/fd/%d", reads.Fd()), "/dev/fd/99999"} {
		if CanWrite(path) == nil || WriteWhole(path, write) == nil {
			t.Errorf("%s can be written", path)
		}
	}
	if left, err := os.ReadDir(dir); len(left) != 2 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
