package against

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sluice/bench/report"
	"sluice/bench/report/reporttest"
)

func sample(seed uint64, p50MS float64, perSecond int64) *report.Report {
	return reporttest.New(reporttest.Run{Seed: seed, Seconds: 60, PerSecond: perSecond, P50MS: p50MS, Stock: 1 << 40})
}

func compared(t *testing.T, older, newer *report.Report) *Comparison {
	t.Helper()
	c, err := Compare(older, newer)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *Comparison) verdict(t *testing.T, name string) string {
	t.Helper()
	i := slices.IndexFunc(c.Figures, func(f Figure) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("no figure %q in %v", name, c.Figures)
	}
	return c.Figures[i].Text()
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	older := sample(1, 2, 100)
	f := func(name, figure string, newer *report.Report, want string) {
		t.Helper()
		if got := compared(t, older, newer).verdict(t, figure); got != want {
			t.Errorf("%s: %s is %q, want %q", name, figure, got, want)
		}
	}
	with := func(word report.Word) *report.Report {
		r := sample(2, 2, 100)
		for i := range r.Seconds {
			r.Seconds[i].Outcomes[word] = 5
		}
		r.Outcome(word).Count = int64(5 * len(r.Seconds))
		return r
	}
	for _, word := range []report.Word{report.Shed, report.Unknown, report.Refused} {
		f("some", string(word), with(word), "worse")
	}
	for _, word := range []report.Word{report.Replayed, report.SoldOut, report.Limited} {
		f("some", strings.ReplaceAll(string(word), "_", " "), with(word), "higher")
	}
	f("another seed", "accepted", sample(2, 2, 100), "within the noise")
	f("another seed", "p99 of a second, mean", sample(2, 2, 100), "within the noise")
	f("itself", "accepted", older, "within the noise")
	f("slower", "p50 of a second, mean", sample(2, 2.4, 100), "worse")
	f("faster", "p99 of a second, mean", sample(2, 1.5, 100), "better")
	f("more", "accepted", sample(2, 2, 110), "better")
	f("fewer", "accepted", sample(2, 2, 90), "worse")
	f("more", "answers", sample(2, 2, 110), "higher")
	f("whole run", "p99 of accepted", sample(2, 2, 110), "noise not known")
}

// What never happened before and then does in every second is no noise, and what happens once is.
func TestWhatWasNotThereBefore(t *testing.T) {
	t.Parallel()
	older, newer := sample(1, 2, 100), sample(2, 2, 100)
	shed := func(seconds int) *report.Report {
		r := sample(2, 2, 100)
		for i := range seconds {
			r.Seconds[3+i].Outcomes[report.Shed] = 5
		}
		r.Outcome(report.Shed).Count = int64(5 * seconds)
		return r
	}
	if c := compared(t, older, shed(60)); c.verdict(t, "shed") != "worse" || c.Figures[2].Ratio != nil {
		t.Errorf("%+v", c.Figures[2])
	}
	if got := compared(t, older, shed(1)).verdict(t, "shed"); got != "within the noise" {
		t.Errorf("one second of sixty is %s", got)
	}
	for _, f := range compared(t, older, newer).Figures {
		if f.Name == "shed" {
			t.Error("a figure of what nobody saw")
		}
	}
}

// Of a hundred pairs of runs that differ by their seed only, about five lie outside of a band that holds 95.
func TestBandHoldsItsPart(t *testing.T) {
	t.Parallel()
	const pairs = 100
	outside := map[string]int{}
	for i := range uint64(pairs) {
		for _, f := range compared(t, sample(1+2*i, 2, 20), sample(2+2*i, 2, 20)).Figures {
			if f.Verdict == Higher || f.Verdict == Lower {
				outside[f.Name]++
			}
		}
	}
	for _, name := range []string{"accepted", "p50 of a second, mean", "p99 of a second, mean"} {
		if n := outside[name]; n < 1 || n > 15 {
			t.Errorf("%s: %d of %d lie outside", name, n, pairs)
		}
	}
}

// Figures of whole runs are told for requests and for shoppers, each from its own outcomes.
func TestShoppersAreComparedWithShoppers(t *testing.T) {
	t.Parallel()
	older, newer := sample(1, 2, 100), sample(2, 2, 100)
	for i, r := range []*report.Report{older, newer} {
		r.Shoppers = slices.Clone(r.Shoppers)
		r.Shopper(report.Accepted).Latency.P99MS = float64(1000 * (i + 1))
	}
	c := compared(t, older, newer)
	i := slices.IndexFunc(c.Figures, func(f Figure) bool { return f.Name == "p99 of shoppers, accepted" })
	if i < 0 || c.Figures[i].Old != 1000 || c.Figures[i].New != 2000 {
		t.Errorf("%+v", c.Figures)
	}
}

// Seconds that are like their neighbors tell less than as many that are not: their band is wider.
func TestBandKnowsThatNeighborsAreAlike(t *testing.T) {
	t.Parallel()
	const seconds, alike = 240, 8
	width := func(of func(second int) float64) float64 {
		var older, newer series
		for i := range seconds {
			older.add(100, 1)
			newer.add(100+of(i), 1)
		}
		low, high, ok := band(&older, &newer)
		if !ok || low >= 0 || high <= 0 {
			t.Fatalf("from %v to %v, %v", low, high, ok)
		}
		return high - low
	}
	draw := rand.New(rand.NewPCG(1, 1))
	stretches, mixed := make([]float64, seconds/alike), draw.Perm(seconds)
	for i := range stretches {
		stretches[i] = draw.NormFloat64()
	}
	alone, together := width(func(i int) float64 { return stretches[mixed[i]/alike] }), width(func(i int) float64 { return stretches[i/alike] })
	if together < 1.5*alone {
		t.Errorf("bands of %v and, for the same seconds in stretches of %d, of %v", alone, alike, together)
	}
}

// After the last shopper only late answers come, and how long that takes says nothing about the rate.
func TestWhatComesAfterTheLastShopperIsNotCompared(t *testing.T) {
	t.Parallel()
	older := sample(1, 2, 100)
	drained := sample(1, 2, 100)
	for range 40 {
		drained.Seconds = append(drained.Seconds, report.Second{Second: len(drained.Seconds), Outcomes: map[report.Word]int64{report.Unknown: 1}, P50MS: 5000, P99MS: 5000})
	}
	for _, f := range compared(t, older, drained).Figures {
		if f.Old != f.New || f.Verdict != Noise && f.Verdict != Unknown {
			t.Errorf("%+v", f)
		}
	}
}

// A run without a whole second has no figures by second.
func TestRunsBelowASecondHaveNoFiguresBySecond(t *testing.T) {
	t.Parallel()
	brief := reporttest.New(reporttest.Run{Seed: 1, Seconds: 1, PerSecond: 100, P50MS: 1, Stock: 1 << 40})
	brief.ElapsedMS = 500
	for _, f := range compared(t, brief, brief).Figures {
		if !strings.Contains(f.Name, " of accepted") && !strings.Contains(f.Name, " of shoppers") {
			t.Errorf("%+v", f)
		}
	}
}

func TestShortRunsHaveNoBand(t *testing.T) {
	t.Parallel()
	short := func(seed uint64) *report.Report {
		return reporttest.New(reporttest.Run{Seed: seed, Seconds: secondsMin - 1, PerSecond: 100, P50MS: 1, Stock: 1 << 40})
	}
	for _, f := range compared(t, short(1), short(2)).Figures {
		if f.Verdict != Unknown || f.Low != nil {
			t.Errorf("%+v", f)
		}
	}
}

func TestOtherPlansAreRefused(t *testing.T) {
	t.Parallel()
	older := sample(1, 2, 100)
	for want, change := range map[string]func(*report.Plan){
		"arrivals: ramp, was poisson": func(p *report.Plan) { p.Arrivals = "ramp" },
		"curve: ":                     func(p *report.Plan) { p.Curve = append(slices.Clone(p.Curve), report.Point{}) },
		"length: 1s, was 1m0s":        func(p *report.Plan) { p.LengthMS = 1000 },
		"choice of SKUs: zipf":        func(p *report.Plan) { p.Keys = "zipf" },
		"bots: 0.5, was 0.05":         func(p *report.Plan) { p.Bots = 0.5 },
	} {
		newer := sample(2, 2, 100)
		change(&newer.Plan)
		if _, err := Compare(older, newer); !errors.Is(err, ErrOtherPlan) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	older, newer := sample(1, 2, 100), sample(2, 2, 100)
	older.Truth.Verdict = report.Wrong
	newer.Stamp.Cores, newer.Stamp.CPU, newer.Plan.Stock = 8, "", 5
	newer.Stamp.Commit, newer.Stamp.Settings = "feed", map[string]string{"rate": "1000", "limit": "2", "report": "new.json", "seed": "2"}
	newer.Cut, newer.Generator.Bottleneck = &report.Cut{AtMS: 1500, Why: "the target is gone"}, true
	c := compared(t, older, newer)
	for _, want := range []string{
		"cores: 8, was 2", "CPU: not known, was Example CPU", "units per SKU at the start: 5, was 1099511627776", "the old run left wrong stock",
		"the new run was cut short after 1.5s: the target is gone", "in the new run the generator was the bottleneck: its figures say nothing about the target",
	} {
		if !slices.Contains(c.Warnings, want) {
			t.Errorf("no %q in %q", want, c.Warnings)
		}
	}
	for _, want := range []Difference{{"commit", "0123456789ab", "feed"}, {"seed", "1", "2"}, {"--limit", "not known", "2"}} {
		if !slices.Contains(c.Differs, want) {
			t.Errorf("no %v in %v", want, c.Differs)
		}
	}
	first := sample(1, 2, 100)
	first.Version = 1
	if w := compared(t, first, sample(2, 2, 100)).Warnings; len(w) != 1 || !strings.Contains(w[0], "version of the report: 2, was 1") {
		t.Errorf("%q", w)
	}
	if len(c.Differs) != 3 {
		t.Errorf("more differs than the run: %v", c.Differs)
	}
	if calm := compared(t, sample(1, 2, 100), sample(2, 2, 100)); calm.Warnings != nil {
		t.Errorf("warnings of runs that were alike: %q", calm.Warnings)
	}
}
