package compare

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sluice/bench/baseline"
	"sluice/bench/report"
)

// ErrWrong means that a store has sold what it did not have, or does not have what was sold.
var ErrWrong = errors.New("a store is wrong after the sale")

// Version is that of the form of reports.
const Version = 1

// Report is what a comparison found.
type Report struct {
	Version int          `json:"version"`
	Kind    string       `json:"kind"`
	Stamp   report.Stamp `json:"stamp"`
	ForMS   int64        `json:"for_ms"`
	Rounds  int          `json:"rounds"`
	Base    string       `json:"base"` // what ratios divide by
	Rows    []Row        `json:"rows"`
	Against *Against     `json:"against,omitempty"` // an older comparison
}

// kind is what a report says of itself.
const kind = "compare"

// Row is one way.
type Row struct {
	Name   string `json:"name"`
	Title  string `json:"title"`
	Does   string `json:"does"`
	HTTP   bool   `json:"http"`
	Buyers int    `json:"buyers"`

	PerSecond Spread             `json:"accepted_per_second"`
	Ratio     Spread             `json:"ratio"` // to the base, in the same round
	Latency   report.Latency     `json:"latency"`
	CPU       map[string]float64 `json:"cpu_us_per_accepted"` // by process, medians; without /proc there is none
	CPUTotal  Spread             `json:"cpu_us_per_accepted_total"`
	Turns     []Turn             `json:"turns"`

	Judged   bool  `json:"judged"`   // a store was asked
	Oversold int64 `json:"oversold"` // units that were sold without the store having them, in all turns
	Lost     int64 `json:"lost"`     // units that are gone from a store and were not sold
	SoldOut  bool  `json:"sold_out"` // a small stock was sold to its last unit

	Failure string `json:"failure,omitempty"` // why the way has no figures, or not all

	latency *hdrhistogram.Histogram
}

// Turn is what one turn measured.
type Turn struct {
	Round     int                `json:"round"`
	PerSecond float64            `json:"accepted_per_second"`
	CPU       map[string]float64 `json:"cpu_us_per_accepted"`
}

// Spread is the median of several figures, with the smallest and the largest.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func newReport(cfg *Config) *Report {
	r := &Report{
		Version: Version, Kind: kind, Base: baseline.Empty, ForMS: cfg.For.Milliseconds(), Rounds: cfg.Rounds,
		Stamp: report.NewStamp(time.Now(), "127.0.0.1", 0),
	}
	r.Stamp.Settings["for"], r.Stamp.Settings["rounds"] = cfg.For.String(), fmt.Sprint(cfg.Rounds)
	return r
}

// stampServers notes the versions of the servers. A way has used them, so that a missing one only leaves a blank.
func (r *Report) stampServers(ctx context.Context, p *baseline.Place) {
	r.Stamp.Redis, r.Stamp.MySQL = p.Versions(ctx)
}

func newRow(w *baseline.Way) Row {
	return Row{
		Name: w.Name, Title: w.Title, Does: w.Does, HTTP: w.HTTP, Buyers: slices.Max(w.Buyers), Turns: []Turn{},
		CPU: map[string]float64{}, latency: report.NewHistogram(),
	}
}

// account compares what was sold with what the stores have.
func (r *Row) account(t *turn) {
	for _, c := range t.counts {
		r.Judged = true
		gone := t.units - c.Left
		r.Oversold += max(0, t.accepted-gone, t.accepted-t.units, -c.Left)
		r.Lost += max(0, gone-t.accepted)
		if missing := t.accepted - c.Orders; missing > 0 {
			r.Lost += missing
		} else {
			r.Oversold += max(0, -missing)
		}
	}
}

// add adds a measured turn.
func (r *Row) add(t *turn, round int) {
	m := Turn{Round: round + 1, PerSecond: t.perSecond(), CPU: map[string]float64{}}
	for name, used := range t.cpu {
		m.CPU[name] = float64(used.Nanoseconds()) / 1e3 / float64(t.accepted)
	}
	r.Turns = append(r.Turns, m)
	r.latency.Merge(t.latency)
}

// sum computes the figures of each row from its turns.
func (r *Report) sum() {
	base := map[int]float64{}
	for i := range r.Rows {
		if r.Rows[i].Name == r.Base {
			for _, t := range r.Rows[i].Turns {
				base[t.Round] = t.PerSecond
			}
		}
	}
	for i := range r.Rows {
		r.Rows[i].sum(base)
	}
}

func (r *Row) sum(base map[int]float64) {
	var rates, ratios, totals []float64
	byProcess := map[string][]float64{}
	for _, t := range r.Turns {
		rates = append(rates, t.PerSecond)
		if base[t.Round] > 0 {
			ratios = append(ratios, t.PerSecond/base[t.Round])
		}
		total := 0.0
		for name, us := range t.CPU {
			byProcess[name] = append(byProcess[name], us)
			total += us
		}
		if len(t.CPU) > 0 {
			totals = append(totals, total)
		}
	}
	r.PerSecond, r.Ratio, r.CPUTotal = spreadOf(rates), spreadOf(ratios), spreadOf(totals)
	for name, us := range byProcess {
		r.CPU[name] = spreadOf(us).Median
	}
	r.Latency = report.LatencyOf(r.latency)
}

func spreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + median) / 2
	}
	round := func(v float64) float64 { return math.Round(v*1e4) / 1e4 }
	return Spread{round(median), round(sorted[0]), round(sorted[len(sorted)-1])}
}

// Measured reports whether any way has a figure.
func (r *Report) Measured() bool {
	return slices.ContainsFunc(r.Rows, func(row Row) bool { return len(row.Turns) > 0 })
}

// Err reports ways that are wrong, which wraps ErrWrong, and ways that failed.
func (r *Report) Err() error {
	var wrong, failed []string
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Wrong() {
			wrong = append(wrong, fmt.Sprintf("%s: %d units oversold, %d lost", row.Name, row.Oversold, row.Lost))
		}
		if row.Failure != "" {
			failed = append(failed, row.Name+": "+row.Failure)
		}
	}
	var err error
	if len(failed) > 0 {
		err = errors.New(strings.Join(failed, "\n"))
	}
	if len(wrong) > 0 {
		err = errors.Join(fmt.Errorf("%w: %s", ErrWrong, strings.Join(wrong, "; ")), err)
	}
	return err
}

// Wrong reports whether a store does not have what was sold.
func (r *Row) Wrong() bool { return r.Oversold > 0 || r.Lost > 0 }
