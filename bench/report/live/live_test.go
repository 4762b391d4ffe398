package live

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/bench/report"
)

// screen is a terminal that knows what a view writes.
type screen struct {
	columns, rows int
	lines         []string // the cursor is at the beginning of the line after them
	frames        int
}

// Write implements io.Writer.
func (s *screen) Write(b []byte) (int, error) {
	text := string(b)
	s.frames++
	if rest, moved := strings.CutPrefix(text, "\x1b["); moved && !strings.HasPrefix(text, "\x1b[J") {
		count, after, _ := strings.Cut(rest, "A")
		up := 0
		for _, digit := range count {
			up = 10*up + int(digit-'0')
		}
		s.lines = s.lines[:max(0, len(s.lines)-up)]
		text = after
	}
	text, _ = strings.CutPrefix(text, "\r\x1b[J")
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		for len(line) > s.columns {
			s.lines = append(s.lines, line[:s.columns])
			line = line[s.columns:]
		}
		s.lines = append(s.lines, line)
	}
	return len(b), nil
}

func (s *screen) size() (columns, rows int) { return s.columns, s.rows }

// resize wraps what is there, as a terminal does.
func (s *screen) resize(columns int) {
	old := s.lines
	s.columns, s.lines = columns, nil
	_, _ = s.Write([]byte(strings.Join(old, "\n") + "\n"))
}

var plan = &report.Plan{WarmUpMS: 2000, LengthMS: 8000}

func at(n int, left int64) report.Second {
	return report.Second{
		Second: n, WarmUp: n < 2, Planned: 1000, Sent: 999, Late: 3, P50MS: 1.234, P99MS: 1234, StockLeft: &left,
		Outcomes: map[report.Word]int64{report.Accepted: 900, report.SoldOut: 99},
	}
}

// The view is drawn several times a second in one place, also on a terminal that becomes narrower, and stays whole when
// the run is interrupted.
func TestViewStaysInItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &screen{columns: 100, rows: 30, lines: []string{"before"}}
		v := New(s, s.size, plan, time.Now)
		ctx, interrupt := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			v.Run(ctx)
		}()
		for n := range 4 {
			time.Sleep(time.Second)
			v.Second(at(n, int64(5000-n)), report.Latency{P50MS: 1, P99MS: 2, P999MS: 3, MaxMS: 4})
		}
		time.Sleep(time.Second / 2)
		synctest.Wait()
		if s.frames < 12 {
			t.Errorf("%d frames in 4.5 s", s.frames)
		}
		s.resize(40)
		interrupt()
		<-done
		want := []string{
			"before",
			"  4s of 10s [###########..............]",
			"sent                 999/s  of 1,000/s p",
			"accepted             900/s  1,800 in all",
			"sold out              99/s  198 in all",
			"last second    p50 1.23 ms  p99 1.23 s",
			"all               p50 1 ms  p99 2 ms  p9",
			"stock left           4,997",
		}
		for i := range want {
			want[i] = cut(want[i], 39)
		}
		if diff := cmp.Diff(want, s.lines); diff != "" {
			t.Error(diff)
		}
	})
}

func TestViewFitsASmallTerminal(t *testing.T) {
	t.Parallel()
	s := &screen{columns: 80, rows: 4}
	v := New(s, s.size, plan, func() time.Time { return time.Unix(0, 0) })
	v.Second(at(0, 1), report.Latency{})
	for range 3 {
		v.draw()
	}
	if len(s.lines) != 3 || !strings.HasSuffix(s.lines[0], "warm-up") {
		t.Errorf("%q", s.lines)
	}
}

// Where there is no room for all, values come first.
func TestViewShowsValuesInANarrowTerminal(t *testing.T) {
	t.Parallel()
	v := New(io.Discard, nil, &report.Plan{LengthMS: 10_000}, time.Now)
	left := int64(4997)
	v.Second(report.Second{Sent: 999, Planned: 1000, P50MS: 1.23, P99MS: 1230, Outcomes: map[report.Word]int64{report.Accepted: 900}, StockLeft: &left}, report.Latency{})
	want := []string{"  0s of 10s", "sent          999/s", "accepted      900/s", "last se p50 1.23 ms", "all        p50 0 ms", "stock left    4,997"}
	if diff := cmp.Diff(want, v.lines(19)); diff != "" {
		t.Error(diff)
	}
}

func TestViewBeforeTheFirstSecondAndOfNoPlan(t *testing.T) {
	t.Parallel()
	s := &screen{columns: 80, rows: 24}
	New(s, s.size, &report.Plan{}, time.Now).draw()
	if len(s.lines) != 1 || !strings.Contains(s.lines[0], "0s of 0s") {
		t.Errorf("%q", s.lines)
	}
}
