package api

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/problem"
	"sluice/core/telemetry"
	"sluice/edge/front"
)

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
			seconds:  telemetry.Seconds(m.set, fmt.Sprintf(`sluice_edge_http_request_duration_seconds{route=%q}`, name)),
			refusals: make(map[*problem.Kind]*counter),
		}
		for _, kind := range slices.Concat(problem.Kinds(), front.Kinds()) {
			r.refusals[kind] = new(counter)
		}
		m.routes[name] = r
	}
	return r
}

// routeMeter counts the requests of one route. It makes a counter when its outcome first happens, because most routes never
// see most outcomes.
type routeMeter struct {
	set          *metrics.Set
	name         string
	seconds      *metrics.PrometheusHistogram
	oks, replays counter
	refusals     map[*problem.Kind]*counter // never changed
}

type counter struct {
	atomic.Pointer[metrics.Counter]
}

// done counts a request: refused for a kind of reason, or not.
func (r *routeMeter) done(refused *problem.Kind, replayed bool, took time.Duration) {
	r.seconds.Update(took.Seconds())
	switch {
	case refused != nil:
		r.refuse(refused)
	case replayed:
		r.inc(&r.replays, "replayed")
	default:
		r.inc(&r.oks, "ok")
	}
}

func (r *routeMeter) refuse(kind *problem.Kind) { r.inc(r.refusals[kind], kind.Code) }

func (r *routeMeter) inc(c *counter, outcome string) {
	made := c.Load()
	if made == nil {
		made = r.set.GetOrCreateCounter(fmt.Sprintf(`sluice_edge_http_requests_total{route=%q,outcome=%q}`, r.name, outcome))
		c.Store(made)
	}
	made.Inc()
}
