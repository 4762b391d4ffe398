package api

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/telemetry"
)

// codeNone is the outcome of a request that was not refused, for counting.
const codeNone = code(codes)

// meter counts requests by route and outcome.
type meter struct {
	set    *metrics.Set
	panics *metrics.Counter
	bugs   *metrics.Counter
	routes map[string]*routeMeter
}

func newMeter(set *metrics.Set) *meter {
	return &meter{
		set:    set,
		panics: set.NewCounter("sluice_edge_http_panics_total"),
		bugs:   set.NewCounter("sluice_edge_http_unexpected_errors_total"),
		routes: make(map[string]*routeMeter),
	}
}

// route is the meter of one route. All are made before the first request.
func (m *meter) route(name string) *routeMeter {
	r := m.routes[name]
	if r == nil {
		r = &routeMeter{
			set: m.set, name: name,
			seconds: telemetry.Seconds(m.set, fmt.Sprintf(`sluice_edge_http_request_duration_seconds{route=%q}`, name)),
		}
		m.routes[name] = r
	}
	return r
}

// routeMeter counts the requests of one route. A counter is made when its outcome first happens, since
// most routes never see most outcomes.
type routeMeter struct {
	set      *metrics.Set
	name     string
	seconds  *metrics.PrometheusHistogram
	counters [codes + 1]atomic.Pointer[metrics.Counter]
	replays  atomic.Pointer[metrics.Counter]
}

func (r *routeMeter) done(outcome code, replayed bool, took time.Duration) {
	r.seconds.Update(took.Seconds())
	if replayed && outcome == codeNone {
		r.inc(&r.replays, "replayed")
		return
	}
	r.count(outcome)
}

func (r *routeMeter) count(outcome code) {
	word := "ok"
	if outcome != codeNone {
		word = outcome.String()
	}
	r.inc(&r.counters[outcome], word)
}

func (r *routeMeter) inc(counter *atomic.Pointer[metrics.Counter], word string) {
	c := counter.Load()
	if c == nil {
		c = r.set.GetOrCreateCounter(fmt.Sprintf(`sluice_edge_http_requests_total{route=%q,outcome=%q}`, r.name, word))
		counter.Store(c)
	}
	c.Inc()
}
