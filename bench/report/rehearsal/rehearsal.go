// Package rehearsal has the record of a rehearsal: a sale played against a copy of its stock at one rate after the
// other, until the copy breaks. It sends nothing and prints nothing.
package rehearsal

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sluice/bench/load"
	"sluice/bench/report"
)

// goodputMin is the share of what shoppers sent that must be answered. With less, the copy falls behind.
const goodputMin = 0.95

// Cause says why a rehearsal went no further.
type Cause string

// The causes.
const (
	Goodput   Cause = "goodput"   // too few requests got an answer that tells
	Latency   Cause = "latency"   // too many answers came too late
	Behind    Cause = "behind"    // MySQL fell behind what was sold
	Gone      Cause = "gone"      // the copy no longer answered
	Generator Cause = "generator" // the generator was the bottleneck: what the copy bears is not known
	Stock     Cause = "stock"     // the copy has other stock than shoppers were told
	None      Cause = "none"      // the highest rate was reached, and the copy bore it
)

// Rehearsal is what a rehearsal came to.
type Rehearsal struct {
	Stamp   report.Stamp `json:"stamp"`
	Sale    int64        `json:"sale_id,string"`
	Name    string       `json:"name"`
	SKUs    int          `json:"skus"`
	Units   int64        `json:"units"`
	Limit   int64        `json:"limit"` // per user and SKU; 0: none
	P99MS   float64      `json:"p99_ms_max"`
	Steps   []Step       `json:"steps"`
	Carries float64      `json:"carries_per_second"` // the highest rate that the copy bore; 0: none
	Breaks  float64      `json:"breaks_per_second"`  // 0: it did not
	Cause   Cause        `json:"cause,omitempty"`    // empty: somebody ended the rehearsal before
	Why     string       `json:"why,omitempty"`
}

// Step is what came of one rate.
type Step struct {
	PerSecond float64               `json:"per_second"` // planned
	Requests  int64                 `json:"requests"`   // that were to be sent
	Answered  int64                 `json:"answered"`   // with an answer that tells: accepted, replayed, sold_out, limited
	Accepted  int64                 `json:"accepted"`
	Shed      int64                 `json:"shed"`
	Unknown   int64                 `json:"unknown"`
	Refused   int64                 `json:"refused"`
	P50MS     float64               `json:"p50_ms"` // of the answers that tell
	P99MS     float64               `json:"p99_ms"`
	Late      int64                 `json:"late"`                 // sent late by the generator's own fault
	Unsent    int64                 `json:"unsent"`               // never sent
	UnsentWhy map[report.Lack]int64 `json:"unsent_why,omitempty"` // as in a report
	CPU       float64               `json:"cpu_share"`            // of the generator's cores
	// Units of the copy's stock that are gone, as far as it was read; that shoppers were told they have; and that they may have.
	GoneUnits     *int64 `json:"gone_units,omitempty"`
	AcceptedUnits int64  `json:"accepted_units"`
	UnknownUnits  int64  `json:"unknown_units"`
}

// tells are the outcomes that tell a shopper how it ended.
var tells = map[report.Word]bool{report.Accepted: true, report.Replayed: true, report.SoldOut: true, report.Limited: true}

// NewStep sums up a run at a rate.
func NewStep(perSecond float64, outcomes []report.Outcome, g *report.Generator) (Step, error) {
	s := Step{PerSecond: perSecond, Requests: g.Planned, Late: g.Late, Unsent: g.Unsent, UnsentWhy: g.UnsentWhy, CPU: g.CPU}
	var told []report.Outcome
	for i := range outcomes {
		o := &outcomes[i]
		if tells[o.Name] {
			told = append(told, *o)
			s.Answered += o.Count
		}
		switch o.Name {
		case report.Accepted:
			s.Accepted = o.Count
		case report.Shed:
			s.Shed = o.Count
		case report.Unknown:
			s.Unknown = o.Count
		case report.Refused:
			s.Refused = o.Count
		case report.Replayed, report.SoldOut, report.Limited:
		}
	}
	all, err := report.Together(told)
	s.P50MS, s.P99MS = report.Quantile(all, 50), report.Quantile(all, 99)
	return s, err
}

// Judge says whether a step broke, and at what. Why is empty if it did not.
//
// An unfit generator comes before all that it can cause. But connections that are all in use are no fault of it: then
// answers take too long.
func (s *Step) Judge(p99 time.Duration) (cause Cause, why string) {
	limit := float64(p99.Microseconds()) / 1e3
	share := float64(s.Answered) / float64(max(1, s.Requests))
	late := float64(s.Late) / float64(max(1, s.Requests))
	lack, lacking := s.lacking()
	switch {
	case s.GoneUnits != nil && !s.units().Fit(*s.GoneUnits):
		return Stock, fmt.Sprintf("%d units are gone, where shoppers were told of %d, and %d are unknown to them", *s.GoneUnits, s.AcceptedUnits, s.UnknownUnits)
	case late > load.LateShareMax:
		return Generator, fmt.Sprintf("%.1f %% of the requests were sent late, although connections were free: this machine has no more time", 100*late)
	case s.CPU > load.CPUShareMax:
		return Generator, fmt.Sprintf("the generator used %.0f %% of its cores", 100*s.CPU)
	case lacking > 0:
		return Generator, fmt.Sprintf("%d requests were never sent, because %s", lacking, lack.Text())
	case share < goodputMin:
		return Goodput, fmt.Sprintf("%.1f %% of the requests got an answer that tells (want %.0f %%)%s", 100*share, 100*goodputMin, s.instead())
	case s.P99MS > limit:
		return Latency, fmt.Sprintf("p99 was %.0f ms (want at most %.0f ms)", s.P99MS, limit)
	}
	return None, ""
}

// lacking says what this machine had too little of, and how many requests were not sent for that.
func (s *Step) lacking() (what report.Lack, requests int64) {
	for _, why := range slices.Sorted(maps.Keys(s.UnsentWhy)) {
		if n := s.UnsentWhy[why]; why != report.LackConnections && why != report.LackTime && n > requests {
			what, requests = why, n
		}
	}
	return what, requests
}

func (s *Step) units() load.Units {
	return load.Units{Accepted: s.AcceptedUnits, Unknown: s.UnknownUnits}
}

// instead says what became of the other requests.
func (s *Step) instead() string {
	var parts []string
	for _, other := range []struct {
		n    int64
		what string
	}{{s.Shed, "were shed"}, {s.Unknown, "had no answer that tells"}, {s.Refused, "were refused"}} {
		if other.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", other.n, other.what))
		}
	}
	for _, lack := range slices.Sorted(maps.Keys(s.UnsentWhy)) {
		parts = append(parts, fmt.Sprintf("%d were never sent, because %s", s.UnsentWhy[lack], lack.Text()))
	}
	if parts == nil {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// Add adds a step, and reports whether the rehearsal goes on to a higher rate. A step without a cause was cut short.
func (r *Rehearsal) Add(s *Step, cause Cause, why string) bool {
	r.Steps = append(r.Steps, *s)
	switch cause {
	case None:
		r.Carries = s.PerSecond
		return true
	case "", Generator:
	case Goodput, Latency, Stock, Behind, Gone:
		r.Breaks = s.PerSecond
	}
	r.Cause, r.Why = cause, why
	return false
}

// Text says in a sentence what the rehearsal came to.
func (r *Rehearsal) Text() string {
	carries := "It bore no rate"
	if r.Carries > 0 {
		carries = fmt.Sprintf("It bore %.0f shoppers per second", r.Carries)
	}
	switch r.Cause {
	case None:
		return carries + ", the highest rate of the rehearsal, and did not break."
	case Goodput, Latency, Stock, Behind, Gone:
		return fmt.Sprintf("%s, and broke at %.0f: %s.", carries, r.Breaks, r.Why)
	case Generator:
		return fmt.Sprintf("%s. At %.0f the generator was the bottleneck, so what the copy bears is not known: %s.", carries, r.Steps[len(r.Steps)-1].PerSecond, r.Why)
	}
	return carries + ", and was ended before it broke."
}

// Rates are the rates of the steps: each is higher than the one before by a part, and the last is the highest.
func Rates(from, to, percent int64) (rates []int64) {
	for rate := from; rate < to; rate = max(rate+1, rate+rate*percent/100) {
		rates = append(rates, rate)
	}
	return append(rates, to)
}
