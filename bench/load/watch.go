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

// meter measures the processor time of a while.
type meter struct {
	running  bool
	from, to time.Duration
	before   time.Duration
	used     time.Duration
}

// start begins to measure, once.
func (m *meter) start(now func() time.Duration) {
	if !m.running && m.to == 0 {
		m.running, m.from, m.before = true, now(), cpuTime()
	}
}

func (m *meter) stop(now func() time.Duration) {
	if m.running {
		m.running, m.to, m.used = false, now(), cpuTime()-m.before
	}
}

// meterMin is a while of which the system's count of processor time says something.
const meterMin = 100 * time.Millisecond

// share is that of all cores; 0 if the while was too short to tell.
func (m *meter) share() float64 {
	if m.to-m.from < meterMin {
		return 0
	}
	return min(1, m.used.Seconds()/(m.to-m.from).Seconds()/float64(runtime.GOMAXPROCS(0)))
}

// lackOf tells what this machine lacks for a connection; empty: it is not this machine's fault that there is none.
func lackOf(err error) report.Lack {
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return report.LackFiles
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return report.LackPorts
	}
	return ""
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
	for _, c := range []struct {
		lack report.Lack
		mend string
	}{
		{report.LackConnections, fmt.Sprintf("raise --connections (%d), or the target cannot bear the rate", g.Connections)},
		{report.LackFiles, "raise this machine's limit (ulimit -n), or lower --connections"},
		{report.LackPorts, "widen net.ipv4.ip_local_port_range, or lower --connections"},
		{report.LackPlaces, fmt.Sprintf("lower --retries, or the rate (%d may wait)", laterMax)},
	} {
		if unsent := share(g.UnsentWhy[c.lack]); unsent > unsentShareMax {
			why("%.1f %% of the requests were never sent, because %s: %s", 100*unsent, c.lack.Text(), c.mend)
		}
	}
}

// visited sums up a run.
func (o *open) visited(cut error, ended time.Duration) *Visited {
	c := o.crowd
	v := &Visited{Length: min(max(0, ended-c.WarmUp), c.Curve.Length())}
	if cut != nil {
		v.Cut = &report.Cut{AtMS: inMS(ended), Why: cut.Error()}
		if errors.Is(cut, context.Canceled) {
			v.Cut.Why, v.Cut.Interrupted = "interrupted", true
		}
	}
	v.Outcomes, _ = o.record.of(reserve, v.Length)
	v.Shoppers = o.record.ofShoppers(v.Length)
	for _, call := range []call{confirm, release} {
		if outcomes, n := o.record.of(call, v.Length); n > 0 {
			v.Settles = append(v.Settles, report.Settle{Call: callNames[call], Outcomes: outcomes})
		}
	}
	for n := range o.record.seconds {
		s := o.record.second(n)
		if n < len(o.stock) {
			s.StockLeft = o.stock[n]
		}
		v.Seconds = append(v.Seconds, s)
	}
	g := &v.Generator
	g.LateMS, g.Connections, g.Peak = inMS(lateAfter), o.visit.Connections, int(o.peak.Load())
	g.UnsentWhy = map[report.Lack]int64{}
	var worst time.Duration
	for _, s := range o.record.shards {
		g.Planned += s.planned
		g.Sent += s.sent
		g.Late += s.late
		g.Waited += s.waited
		for lack, n := range s.unsent {
			g.Unsent += n
			g.UnsentWhy[lack] += n
		}
		worst = max(worst, s.worst)
	}
	g.WorstMS = inMS(worst)
	g.CPU = o.meter.share()
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
