package rehearsal

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/bench/report"
)

func outcomes(counts map[report.Word]int64, took time.Duration) (list []report.Outcome) {
	for _, word := range report.Words {
		h := report.NewHistogram()
		for range counts[word] {
			report.Record(h, took)
		}
		list = append(list, report.Outcome{Name: word, Count: counts[word], Latency: report.LatencyOf(h)})
	}
	return list
}

func TestAStepBreaksAtItsCause(t *testing.T) {
	t.Parallel()
	fine := map[report.Word]int64{report.Accepted: 500, report.SoldOut: 400, report.Limited: 60}
	for name, c := range map[string]struct {
		counts map[report.Word]int64
		took   time.Duration
		g      report.Generator
		gone   int64
		want   Cause
		why    string
	}{
		"bears it":            {fine, 10 * time.Millisecond, report.Generator{}, 500, None, ""},
		"slow":                {fine, 80 * time.Millisecond, report.Generator{}, 500, Latency, "p99 was 80 ms (want at most 50 ms)"},
		"sheds":               {map[report.Word]int64{report.Accepted: 500, report.Shed: 500}, time.Millisecond, report.Generator{}, 500, Goodput, "50.0 % of the requests got an answer that tells (want 95 %): 500 were shed"},
		"silent":              {map[report.Word]int64{report.Accepted: 500, report.Unknown: 400}, time.Millisecond, report.Generator{Unsent: 100, UnsentWhy: map[report.Lack]int64{report.LackConnections: 100}}, 500, Goodput, "100 were never sent, because all connections were in use"},
		"late":                {fine, 80 * time.Millisecond, report.Generator{Late: 20}, 500, Generator, "2.0 % of the requests were sent late"},
		"no files":            {map[report.Word]int64{report.Accepted: 500}, time.Millisecond, report.Generator{Unsent: 500, UnsentWhy: map[report.Lack]int64{report.LackFiles: 400, report.LackConnections: 100}}, 500, Generator, "400 requests were never sent, because there were too many open files"},
		"no processor":        {map[report.Word]int64{report.Accepted: 500}, time.Second, report.Generator{CPU: 0.95}, 500, Generator, "95 % of its cores"},
		"sold twice":          {fine, 80 * time.Millisecond, report.Generator{Late: 500}, 499, Stock, "499 units are gone, where shoppers were told of 500, and 10 are unknown to them"},
		"lost":                {fine, time.Millisecond, report.Generator{}, 511, Stock, "511 units are gone"},
		"what nobody tells":   {fine, time.Millisecond, report.Generator{}, 510, None, ""},
		"refused in the copy": {map[report.Word]int64{report.Refused: 1000}, time.Millisecond, report.Generator{}, 500, Goodput, "1000 were refused"},
	} {
		c.g.Planned = 1000
		s, err := NewStep(100, outcomes(c.counts, c.took), &c.g)
		if err != nil {
			t.Fatal(err)
		}
		s.GoneUnits, s.AcceptedUnits, s.UnknownUnits = &c.gone, 500, 10
		if cause, why := s.Judge(50 * time.Millisecond); cause != c.want || !strings.Contains(why, c.why) {
			t.Errorf("%s: %s: %q; want %s: %q", name, cause, why, c.want, c.why)
		}
	}
}

func TestARehearsalSaysWhatItCameTo(t *testing.T) {
	t.Parallel()
	f := func(want string, carries, breaks float64, causes ...Cause) {
		t.Helper()
		r := new(Rehearsal)
		for i, cause := range causes {
			if on := r.Add(&Step{PerSecond: float64(100 * (i + 1))}, cause, "so it is"); on != (cause == None) {
				t.Errorf("after %s it goes on: %v", cause, on)
			}
		}
		if r.Carries != carries || r.Breaks != breaks || !strings.Contains(r.Text(), want) {
			t.Errorf("bears %v, breaks at %v: %s; want %q", r.Carries, r.Breaks, r.Text(), want)
		}
	}
	f("It bore 200 shoppers per second, and broke at 300: so it is.", 200, 300, None, None, Latency)
	f("It bore no rate, and broke at 100: so it is.", 0, 100, Goodput)
	f("It bore 100 shoppers per second. At 200 the generator was the bottleneck", 100, 0, None, Generator)
	f("It bore 100 shoppers per second, and was ended before it broke.", 100, 0, None)
	f("It bore 100 shoppers per second, and was ended before it broke.", 100, 0, None, "")
	f("It bore 100 shoppers per second, and broke at 200: so it is.", 100, 200, None, Gone)
	f("It bore 100 shoppers per second, and broke at 200: so it is.", 100, 200, None, Behind)
	whole := &Rehearsal{Carries: 500, Cause: None}
	if got := whole.Text(); !strings.Contains(got, "did not break") {
		t.Error(got)
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	f := func(from, to, percent int64, want ...int64) {
		t.Helper()
		if got := Rates(from, to, percent); !slices.Equal(got, want) {
			t.Errorf("Rates(%d, %d, %d) = %v, want %v", from, to, percent, got, want)
		}
	}
	f(100, 400, 50, 100, 150, 225, 337, 400)
	f(1, 4, 1, 1, 2, 3, 4)
	f(100, 100, 50, 100)
	f(100, 101, 900, 100, 101)
}
