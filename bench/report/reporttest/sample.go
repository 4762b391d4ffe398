// Package reporttest has a report of a load run for tests of what reads reports.
package reporttest

import (
	"math/rand/v2"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sluice/bench/report"
)

// Run says how a sample run went.
type Run struct {
	Seed      uint64
	Seconds   int // measured, after three of warm-up
	PerSecond int64
	P50MS     float64
	Stock     int64
}

// New returns the report of a run at a constant rate in which somebody wins until stock is gone. All of it follows from
// its arguments.
func New(run Run) *report.Report {
	const warmUp = 3
	draw := rand.New(rand.NewPCG(run.Seed, 0))
	left := run.Stock
	r := &report.Report{
		Version: report.Version,
		Stamp: report.Stamp{
			Start:   time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(run.Seed) * time.Hour),
			Machine: "bench-1", Platform: "linux/amd64", Kernel: "6.1.0", CPU: "Example CPU", Cores: 2, Memory: 24 << 30,
			Sluice: "v1.2.3", Commit: "0123456789ab", Go: "go1.26.8", Redis: "redis 7.0.15", MySQL: "10.11.6-MariaDB",
			Target: "http://127.0.0.1:8080", Seed: run.Seed, SameSystem: true, Settings: map[string]string{"rate": "1000"},
		},
		Plan: report.Plan{
			Text: "1,000 shoppers per second", Arrivals: "poisson", Curve: []report.Point{{AtMS: 0, PerSecond: 1000}, {AtMS: 1000 * float64(warmUp+run.Seconds), PerSecond: 1000}},
			WarmUpMS: warmUp * 1000, LengthMS: float64(run.Seconds) * 1000, Shoppers: run.PerSecond * int64(run.Seconds), Users: 100_000, SKUs: 1,
			Keys: "hot-1", Stock: run.Stock, Limit: 2, Retries: 2, Impatient: 0.1, PatienceMS: 800, Bots: 0.05, BotTries: 5, Confirm: 0.6, Release: 0.1, Connections: 256,
		},
		ElapsedMS: float64(run.Seconds) * 1000,
		Generator: report.Generator{LateMS: 10, WorstMS: 12.5, CPU: 0.4, Connections: 256, Peak: 31},
		Fairness: &report.Fairness{
			SKU: 1001, Winners: run.Stock, Losers: 100, InOrder: 0.987, FirstCome: 0.97, BotWinners: 0.12, BotShoppers: 0.05,
		},
		Thresholds: []report.Threshold{{Text: "p99<50ms", Value: 12.3, Met: true}, {Text: "accepted>900/s", Value: 950, Met: true}},
		Truth:      report.Truth{Verdict: report.Right, UnknownUnits: 1, WaitedMS: 321},
	}
	counts, times := map[report.Word]int64{}, map[report.Word]*hdrhistogram.Histogram{}
	for _, word := range report.Words {
		times[word] = report.NewHistogram()
	}
	for i := range warmUp + run.Seconds {
		n := run.PerSecond + draw.Int64N(run.PerSecond/10+1) - run.PerSecond/20
		won := min(n, left)
		left -= won
		stock := left
		s := report.Second{
			Second: i, WarmUp: i < warmUp, Planned: n, Sent: n, Late: int64(i % 2), Outcomes: map[report.Word]int64{},
			P50MS: run.P50MS * (0.9 + 0.2*draw.Float64()), P99MS: run.P50MS * (5 + draw.Float64()), StockLeft: &stock,
		}
		for word, count := range map[report.Word]int64{report.Accepted: won, report.SoldOut: n - won} {
			if count == 0 {
				continue
			}
			s.Outcomes[word] = count
			if !s.WarmUp {
				counts[word] += count
			}
		}
		if !s.WarmUp {
			for _, word := range []report.Word{report.Accepted, report.SoldOut} {
				for range s.Outcomes[word] {
					report.Record(times[word], time.Duration(float64(time.Millisecond)*run.P50MS*(0.5+draw.ExpFloat64())))
				}
			}
			r.Generator.Planned += n
			r.Generator.Sent += n
			r.Generator.Late += s.Late
			r.Fairness.Slices = append(r.Fairness.Slices, report.Slice{FromMS: float64(i) * 1000, UntilMS: float64(i+1) * 1000, Winners: won, Losers: n - won})
		}
		r.Seconds = append(r.Seconds, s)
	}
	for _, word := range report.Words {
		o := report.Outcome{
			Name: word, Count: counts[word], PerSecond: float64(counts[word]) / float64(run.Seconds), Latency: report.LatencyOf(times[word]),
		}
		if word == report.SoldOut && o.Count > 0 {
			o.Codes = map[string]int64{"sold_out": o.Count}
		}
		r.Outcomes = append(r.Outcomes, o)
	}
	r.Shoppers = r.Outcomes
	units := counts[report.Accepted]
	r.Truth.AcceptedUnits, r.Truth.RedisUnits, r.Truth.MySQLUnits = units, &units, &units
	r.Settles = []report.Settle{{Call: "confirm", Outcomes: r.Outcomes}}
	r.Exit = r.ExitCode()
	return r
}
