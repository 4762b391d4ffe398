package against

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"sluice/bench/report"
)

const (
	// secondsMin is how many measured seconds both runs must have for their noise to be known.
	secondsMin = 10
	resamples  = 2000
	// noisePart is the part of all resamples that the band of noise holds.
	noisePart = 0.95
)

// series is a figure by second: the sum of counts by the sum of weights is the figure of any set of seconds.
type series struct {
	counts, weights []float64
}

func (s *series) add(count, weight float64) {
	s.counts = append(s.counts, count)
	s.weights = append(s.weights, weight)
}

// of returns the figure of some seconds, which may repeat.
func (s *series) of(seconds []int) float64 {
	count, weight := 0.0, 0.0
	for _, i := range seconds {
		count += s.counts[i]
		weight += s.weights[i]
	}
	if weight == 0 {
		return 0
	}
	return count / weight
}

func (s *series) all() float64 { return s.of(upTo(len(s.counts))) }

func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// by makes a series of what each measured second has.
func by(r *report.Report, of func(*report.Second) (count, weight float64)) *series {
	s := new(series)
	seconds := r.Measured()
	for i := range seconds {
		s.add(of(&seconds[i]))
	}
	return s
}

// figures compares all figures.
func figures(older, newer *report.Report) (all []Figure) {
	pair := func(name, unit string, better Verdict, of func(*report.Second) (float64, float64)) {
		a, b := by(older, of), by(newer, of)
		if len(a.counts) > 0 && len(b.counts) > 0 {
			all = append(all, compare(name, unit, better, a, b))
		}
	}
	pair("answers", "per second", "", func(s *report.Second) (float64, float64) { return float64(answers(s)), 1 })
	better := map[report.Word]Verdict{report.Accepted: Higher, report.Shed: Lower, report.Unknown: Lower, report.Refused: Lower}
	for _, word := range report.Words {
		if word == report.Accepted || occurs(older, word) || occurs(newer, word) {
			pair(strings.ReplaceAll(string(word), "_", " "), "per second", better[word], func(s *report.Second) (float64, float64) { return float64(s.Outcomes[word]), 1 })
		}
	}
	pair("p50 of a second, mean", "ms", Lower, func(s *report.Second) (float64, float64) { return answered(s, s.P50MS) })
	pair("p99 of a second, mean", "ms", Lower, func(s *report.Second) (float64, float64) { return answered(s, s.P99MS) })
	all = append(all, whole("accepted", older.Outcome(report.Accepted), newer.Outcome(report.Accepted))...)
	return append(all, whole("shoppers, accepted", older.Shopper(report.Accepted), newer.Shopper(report.Accepted))...)
}

// whole compares how long something took in the whole runs, whose noise is not known.
func whole(what string, older, newer *report.Outcome) (all []Figure) {
	if older == nil || newer == nil || older.Count == 0 || newer.Count == 0 {
		return nil
	}
	a, b := &older.Latency, &newer.Latency
	for _, l := range []struct {
		name     string
		old, new float64
	}{
		{"p50", a.P50MS, b.P50MS}, {"p99", a.P99MS, b.P99MS}, {"p99.9", a.P999MS, b.P999MS}, {"longest", a.MaxMS, b.MaxMS},
	} {
		all = append(all, Figure{Name: l.name + " of " + what, Unit: "ms", Old: l.old, New: l.new, Ratio: ratio(l.old, l.new), Verdict: Unknown, Better: Lower})
	}
	return all
}

func answers(s *report.Second) (n int64) {
	for _, count := range s.Outcomes {
		n += count
	}
	return n
}

// answered gives a second without an answer no weight.
func answered(s *report.Second, ms float64) (count, weight float64) {
	if answers(s) == 0 {
		return 0, 0
	}
	return ms, 1
}

func occurs(r *report.Report, word report.Word) bool {
	o := r.Outcome(word)
	return o != nil && o.Count > 0
}

func names(sets ...map[string]string) []string {
	all := map[string]bool{}
	for _, m := range sets {
		for name := range m {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func ratio(older, newer float64) *float64 {
	if older == 0 {
		return nil
	}
	r := newer / older
	return &r
}

func compare(name, unit string, better Verdict, older, newer *series) Figure {
	f := Figure{Name: name, Unit: unit, Old: older.all(), New: newer.all(), Verdict: Unknown, Better: better}
	f.Ratio = ratio(f.Old, f.New)
	low, high, ok := band(older, newer)
	if !ok {
		return f
	}
	rounding := 1e-9 * max(f.Old, f.New)
	low, high = max(0, f.Old+low-rounding), f.Old+high+rounding
	f.Low, f.High = &low, &high
	switch {
	case f.New < low:
		f.Verdict = Lower
	case f.New > high:
		f.Verdict = Higher
	default:
		f.Verdict = Noise
	}
	return f
}

// band returns how far noise alone takes the new figure from the old one. It is the circular block bootstrap of Politis
// and Romano (1992): the seconds of both runs are drawn anew in blocks, which keeps the likeness of neighbors, and both
// runs by the same draw, so that what the plan does to both is no noise. Blocks have the cube root of the seconds, as
// Künsch (1989) and Bühlmann (2002) advise. The draws depend on nothing else, so a comparison can be repeated.
func band(older, newer *series) (low, high float64, ok bool) {
	n := min(len(older.counts), len(newer.counts))
	if n < secondsMin {
		return 0, 0, false
	}
	block := int(math.Ceil(math.Cbrt(float64(n))))
	all := upTo(n)
	center := newer.of(all) - older.of(all)
	draw := rand.New(rand.NewPCG(1, 2))
	differences := make([]float64, resamples)
	seconds := make([]int, 0, n+block)
	for i := range differences {
		seconds = seconds[:0]
		for len(seconds) < n {
			first := draw.IntN(n)
			for k := range block {
				seconds = append(seconds, (first+k)%n)
			}
		}
		differences[i] = newer.of(seconds[:n]) - older.of(seconds[:n]) - center
	}
	slices.Sort(differences)
	outside := int(resamples * (1 - noisePart) / 2)
	return differences[outside], differences[resamples-1-outside], true
}
