package load

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"sluice/bench/report"
)

// The shares above which the generator is the bottleneck.
const (
	LateShareMax   = 0.01
	unsentShareMax = 0.001
	CPUShareMax    = 0.9
)

// cpuTime is the processor time that this process has used.
func cpuTime() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// heard reports whether anything was answered in a second.
func (r *record) heard(second int) bool {
	heard := false
	for _, s := range r.shards {
		s.mu.Lock()
		heard = heard || s.answeredAt >= time.Duration(second)*time.Second
		s.mu.Unlock()
	}
	return heard
}

// judge says whether the generator was the bottleneck, and why.
func judge(g *report.Generator) {
	why := func(format string, values ...any) {
		g.Bottleneck = true
		g.Why = append(g.Why, fmt.Sprintf(format, values...))
	}
	share := func(n int64) float64 { return float64(n) / float64(max(1, g.Planned)) }
	if late := share(g.Late); late > LateShareMax {
		why("%.1f %% of the requests were sent more than %.0f ms late, although connections were free: this machine is too slow or too busy for the rate",
			100*late, g.LateMS)
	}
	if g.CPU > CPUShareMax {
		why("it used %.0f %% of its %d cores: lower the rate, or run it on a larger machine", 100*g.CPU, runtime.GOMAXPROCS(0))
	}
	if unsent := share(g.Unsent); unsent > unsentShareMax {
		why("%.1f %% of the requests were never sent, because all of %d connections were in use for too long: raise --connections, or the target cannot bear the rate",
			100*unsent, g.Connections)
	}
}

// visited sums up a run.
func (o *open) visited(cause error, ended, cpu time.Duration) *Visited {
	c := o.crowd
	v := &Visited{Length: min(max(0, ended-c.WarmUp), c.Curve.Length())}
	if cause != nil {
		v.Cut = &report.Cut{AtMS: inMS(ended), Why: cause.Error()}
		if errors.Is(cause, context.Canceled) {
			v.Cut.Why, v.Cut.Interrupted = "interrupted", true
		}
	}
	v.Outcomes, _ = o.record.of(reserve, v.Length)
	for _, call := range []call{confirm, release} {
		if outcomes, n := o.record.of(call, v.Length); n > 0 {
			v.Settles = append(v.Settles, report.Settle{Call: callNames[call], Outcomes: outcomes})
		}
	}
	for n := range o.record.seconds {
		s := o.record.second(n, c.WarmUp)
		if n < len(o.stock) {
			s.StockLeft = o.stock[n]
		}
		v.Seconds = append(v.Seconds, s)
	}
	g := &v.Generator
	g.LateMS, g.Connections, g.Peak = inMS(lateAfter), o.visit.Connections, int(o.peak.Load())
	var worst time.Duration
	for _, s := range o.record.shards {
		g.Planned += s.planned
		g.Sent += s.sent
		g.Late += s.late
		g.Waited += s.waited
		g.Unsent += s.unsent
		worst = max(worst, s.worst)
	}
	g.WorstMS = inMS(worst)
	if ended > 0 {
		g.CPU = min(1, cpu.Seconds()/ended.Seconds()/float64(runtime.GOMAXPROCS(0)))
	}
	if v.Cut == nil {
		judge(g)
	}
	v.Fairness = o.fairness.figure(o.visit.SKU(0))
	v.Units = make([]Units, len(o.units))
	for i := range o.units {
		v.Units[i] = Units{int64(o.units[i].accepted.Load()), int64(o.units[i].unknown.Load())}
	}
	return v
}
