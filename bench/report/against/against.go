// Package against compares the report of a load run with that of an older one: each figure old and new, and whether
// noise alone explains the difference. It sends nothing and prints nothing.
package against

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/bench/report"
)

// ErrOtherPlan means that two runs were not planned alike, so that their figures say nothing about each other.
var ErrOtherPlan = errors.New("the runs were planned differently")

// Comparison is a report compared with an older one.
type Comparison struct {
	Old      Run          `json:"old"`
	New      Run          `json:"new"`
	Warnings []string     `json:"warnings,omitempty"` // why the figures may differ for reasons that the target has not
	Differs  []Difference `json:"differs,omitempty"`  // what else is not the same: versions, seed, settings
	Figures  []Figure     `json:"figures"`
}

// Run names a run.
type Run struct {
	Start   time.Time `json:"start"`
	Sluice  string    `json:"sluice"`
	Commit  string    `json:"commit,omitempty"`
	Machine string    `json:"machine"`
	Plan    string    `json:"plan"`
}

// Difference is something that the two runs do not share.
type Difference struct {
	What string `json:"what"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// Verdict says how a figure compares.
type Verdict string

// The verdicts.
const (
	Noise   Verdict = "noise"   // the difference lies within the noise
	Higher  Verdict = "higher"  // the new one is higher than noise explains
	Lower   Verdict = "lower"   // the new one is lower than noise explains
	Unknown Verdict = "unknown" // the noise is not known
)

// Figure is one figure of both runs.
type Figure struct {
	Name  string   `json:"figure"`
	Unit  string   `json:"unit"`
	Old   float64  `json:"old"`
	New   float64  `json:"new"`
	Ratio *float64 `json:"ratio"` // new / old; nil: the old one is 0
	// Low and High bound what the new one may be by noise alone. Nil: not known.
	Low     *float64 `json:"noise_low"`
	High    *float64 `json:"noise_high"`
	Verdict Verdict  `json:"verdict"`
	// Better says which of higher and lower is better; empty: neither.
	Better Verdict `json:"better,omitempty"`
}

// Text says how a figure compares, for people.
func (f *Figure) Text() string {
	switch {
	case f.Verdict == Noise:
		return "within the noise"
	case f.Verdict == Unknown:
		return "noise not known"
	case f.Better == "":
		return string(f.Verdict)
	case f.Verdict == f.Better:
		return "better"
	}
	return "worse"
}

// Compare compares a report with an older one. It fails with ErrOtherPlan if the runs were planned differently.
func Compare(older, newer *report.Report) (*Comparison, error) {
	if err := SamePlan(&older.Plan, &newer.Plan); err != nil {
		return nil, err
	}
	c := &Comparison{Old: run(older), New: run(newer), Differs: differs(&older.Stamp, &newer.Stamp)}
	for _, d := range machines(older, newer) {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s: %s, was %s", d.What, d.New, d.Old))
	}
	if older.Version != newer.Version {
		c.Warnings = append(c.Warnings, fmt.Sprintf("version of the report: %d, was %d: the first counts in its seconds what confirms and releases, and what the warm-up left",
			newer.Version, older.Version))
	}
	c.Warnings = append(c.Warnings, unfit("old", older)...)
	c.Warnings = append(c.Warnings, unfit("new", newer)...)
	c.Figures = figures(older, newer)
	return c, nil
}

func run(r *report.Report) Run {
	return Run{Start: r.Stamp.Start, Sluice: r.Stamp.Sluice, Commit: r.Stamp.Commit, Machine: r.Stamp.Machine, Plan: r.Plan.Text}
}

// SamePlan returns ErrOtherPlan with what differs, if two plans do not send the same.
func SamePlan(older, newer *report.Plan) error {
	var texts []string
	for _, d := range list(
		"arrivals", older.Arrivals, newer.Arrivals, "curve", older.Curve, newer.Curve,
		"warm-up", ms(older.WarmUpMS), ms(newer.WarmUpMS), "length", ms(older.LengthMS), ms(newer.LengthMS),
		"users", older.Users, newer.Users, "SKUs", older.SKUs, newer.SKUs, "choice of SKUs", older.Keys, newer.Keys,
		"limit per user", older.Limit, newer.Limit, "retries", older.Retries, newer.Retries,
		"impatient", older.Impatient, newer.Impatient, "patience", ms(older.PatienceMS), ms(newer.PatienceMS),
		"bots", older.Bots, newer.Bots, "tries of a bot", older.BotTries, newer.BotTries,
		"confirm", older.Confirm, newer.Confirm, "release", older.Release, newer.Release,
		"connections", older.Connections, newer.Connections,
	) {
		texts = append(texts, fmt.Sprintf("%s: %s, was %s", d.What, d.New, d.Old))
	}
	if texts == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: compare runs of one plan", ErrOtherPlan, strings.Join(texts, "; "))
}

// machines are the differences that make figures incomparable although the plans are the same.
func machines(older, newer *report.Report) []Difference {
	a, b := &older.Stamp, &newer.Stamp
	return list(
		"machine", a.Machine, b.Machine, "CPU", a.CPU, b.CPU, "cores", a.Cores, b.Cores, "bytes of memory", a.Memory, b.Memory,
		"platform", a.Platform, b.Platform, "kernel", a.Kernel, b.Kernel,
		"generator and target on one machine", a.SameSystem, b.SameSystem,
		"units per SKU at the start", older.Plan.Stock, newer.Plan.Stock,
	)
}

// differs are the differences that a comparison may be made for.
func differs(older, newer *report.Stamp) []Difference {
	all := list(
		"sluice", older.Sluice, newer.Sluice, "commit", older.Commit, newer.Commit, "changed sources", older.Modified, newer.Modified,
		"Go", older.Go, newer.Go, "Redis", older.Redis, newer.Redis, "MySQL", older.MySQL, newer.MySQL,
		"target", older.Target, newer.Target, "seed", older.Seed, newer.Seed,
	)
	for _, name := range names(older.Settings, newer.Settings) {
		if slices.Contains([]string{"against", "html", "report", "output", "seed"}, name) { // where results go, and what is told above
			continue
		}
		all = append(all, list("--"+name, older.Settings[name], newer.Settings[name])...)
	}
	return all
}

// list takes triples of a name and two values, and returns those that differ.
func list(triples ...any) (all []Difference) {
	for i := 0; i < len(triples); i += 3 {
		was, is := fmt.Sprint(triples[i+1]), fmt.Sprint(triples[i+2])
		if was != is {
			all = append(all, Difference{What: fmt.Sprint(triples[i]), Old: orNone(was), New: orNone(is)})
		}
	}
	return all
}

func orNone(text string) string {
	if text == "" {
		return "not known"
	}
	return text
}

func ms(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

// unfit says why the figures of a run say less than they seem to.
func unfit(which string, r *report.Report) (why []string) {
	if r.Truth.Verdict == report.Wrong {
		why = append(why, "the "+which+" run left wrong stock")
	}
	if r.Cut != nil {
		why = append(why, fmt.Sprintf("the %s run was cut short after %v: %s", which, ms(r.Cut.AtMS).Round(time.Millisecond), r.Cut.Why))
	}
	if r.Generator.Bottleneck {
		why = append(why, "in the "+which+" run the generator was the bottleneck: its figures say nothing about the target")
	}
	return why
}
