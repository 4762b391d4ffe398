package page_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/bench/report"
	"sluice/bench/report/against"
	"sluice/bench/report/page"
	"sluice/bench/report/reporttest"
)

var update = flag.Bool("update", false, "write the expected page anew")

func sample() (*report.Report, *against.Comparison) {
	older := reporttest.New(reporttest.Run{Seed: 1, Seconds: 12, PerSecond: 1000, P50MS: 2, Stock: 8000})
	newer := reporttest.New(reporttest.Run{Seed: 2, Seconds: 12, PerSecond: 1000, P50MS: 3, Stock: 8000})
	newer.Stamp.Cores = 4
	c, err := against.Compare(older, newer)
	if err != nil {
		panic(err)
	}
	return newer, c
}

func written(t *testing.T, r *report.Report, c *against.Comparison) string {
	t.Helper()
	var text strings.Builder
	if err := page.Write(&text, r, c); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestPageIsAsExpected(t *testing.T) {
	t.Parallel()
	r, c := sample()
	got := written(t, r, c)
	const golden = "testdata/page.html"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s\ngo test ./bench/report/page -update writes it anew", diff)
	}
}

// The page needs nothing from elsewhere, is well-formed, and each chart has a name, axes with units, words for those who
// cannot see it, and its numbers as a table.
func TestPageStandsAlone(t *testing.T) {
	t.Parallel()
	r, c := sample()
	text := written(t, r, c)
	for _, outside := range []string{"<script", "http:", "https:", "@import", "url(", "<link", "<img", "src="} {
		if strings.Contains(strings.ReplaceAll(text, r.Stamp.Target, ""), outside) {
			t.Errorf("%q is there", outside)
		}
	}
	const charts = 6
	for part, n := range map[string]int{
		`role="img"`: charts, "<title id=": charts, "<desc id=": charts, "<details>": charts, "prefers-color-scheme: dark": 1, "@media print": 1, `<html lang="en">`: 1,
		"second since the first arrival</text>": 4, ">milliseconds</text>": 2, ">free units</text>": 1, ">shoppers</text>": 1, ">percentile</text>": 1,
	} {
		if got := strings.Count(text, part); got != n {
			t.Errorf("%q is there %d times, want %d", part, got, n)
		}
	}
	if strings.Contains(text, "rgb(") {
		t.Error("a color is not the page's: it is not readable in the dark")
	}
	wellFormed(t, text)
}

func wellFormed(t *testing.T, text string) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "<!DOCTYPE html>")))
	decoder.Strict, decoder.AutoClose, decoder.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}

// Whatever a file says stands on the page as text.
func TestHostileReportsInjectNothing(t *testing.T) {
	t.Parallel()
	const hostile = `"'></td></svg></style></title><script>alert("x")</script><img src=x onerror=alert(1)>{{.}}`
	r, c := sample()
	for _, text := range []*string{
		&r.Stamp.Machine, &r.Stamp.Platform, &r.Stamp.Kernel, &r.Stamp.CPU, &r.Stamp.Sluice, &r.Stamp.Commit, &r.Stamp.Go, &r.Stamp.Redis, &r.Stamp.MySQL,
		&r.Stamp.Target, &r.Plan.Text, &r.Plan.Arrivals, &r.Plan.Keys, &r.Settles[0].Call, &r.Thresholds[0].Text,
	} {
		*text = hostile
	}
	r.Outcomes[0].Name = hostile // a reader refuses it: it must not get through here either
	r.Outcomes[0].Codes = map[string]int64{hostile: 1}
	r.Stamp.Settings = map[string]string{hostile: hostile}
	r.Generator.Bottleneck, r.Generator.Why = true, []string{hostile}
	r.Truth.Verdict, r.Truth.Reasons = hostile, []string{hostile}
	r.Cut = &report.Cut{Why: hostile}
	c.Warnings = []string{hostile}
	c.Figures[0].Name, c.Figures[0].Unit, c.Figures[0].Verdict = hostile, hostile, hostile
	c.Differs = []against.Difference{{What: hostile, Old: hostile, New: hostile}}
	text := written(t, r, c)
	for _, tag := range []string{"<script", "<img", `"'>`} {
		if strings.Contains(text, tag) {
			t.Errorf("%s is there", tag)
		}
	}
	if got := strings.Count(text, "&lt;script&gt;"); got < 25 {
		t.Errorf("the text is there %d times", got)
	}
	wellFormed(t, text)
}

// Numbers that no run has draw a page all the same, and a long run has a page of bounded size.
func TestOddReportsHavePages(t *testing.T) {
	t.Parallel()
	empty := reporttest.New(reporttest.Run{Seed: 1})
	empty.Fairness = nil
	if text := written(t, empty, nil); strings.Count(text, "There is nothing to show.") != 3 || !strings.Contains(text, "Nothing was answered.") {
		t.Error("an empty report has no empty page")
	}
	one := reporttest.New(reporttest.Run{Seed: 1, Seconds: 1, PerSecond: 10, P50MS: 1, Stock: 5})
	one.Seconds = one.Seconds[:1]
	written(t, one, nil)
	odd, _ := sample()
	for i := range odd.Seconds {
		s := &odd.Seconds[i]
		s.P50MS, s.P99MS, s.Planned, s.Sent = 1e300, -1e300, 1<<62, -1<<62
	}
	odd.Fairness.Slices = []report.Slice{{FromMS: -1e308, Winners: -1 << 63, Losers: 1<<63 - 1}}
	wellFormed(t, written(t, odd, nil))

	day := reporttest.New(reporttest.Run{Seed: 1, Seconds: 86_400, PerSecond: 1, P50MS: 1, Stock: 5000})
	text := written(t, day, nil)
	if !strings.Contains(text, "Each point is 145 seconds: their mean.") || len(text) > 1<<20 {
		t.Errorf("a day's page has %d bytes", len(text))
	}
}

func TestFirstLineSaysHowARunEnded(t *testing.T) {
	t.Parallel()
	r, _ := sample()
	f := func(want string) {
		t.Helper()
		if text := written(t, r, nil); !strings.Contains(text, "<title>Load run of "+r.Stamp.Start.Format(time.DateTime)+"Z: "+want+"</title>") {
			t.Errorf("it does not end with %q", want)
		}
	}
	f("done")
	r.Truth.Verdict = report.Unverified
	f("stock could not be judged")
	r.Thresholds[0].Met = false
	f("a threshold was missed")
	r.Generator.Bottleneck = true
	f("the generator was the bottleneck")
	r.Cut = &report.Cut{Why: "the target is gone"}
	f("cut short")
	r.Truth.Verdict = report.Wrong
	f("stock is wrong")
}
