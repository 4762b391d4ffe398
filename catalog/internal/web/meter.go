package web

import (
	"fmt"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/problem"
	"sluice/core/telemetry"
)

// meter counts requests by route and outcome.
type meter struct {
	set    *metrics.Set
	panics *metrics.Counter
	bugs   *metrics.Counter
}

func newMeter(set *metrics.Set) *meter {
	return &meter{
		set:    set,
		panics: set.NewCounter("sluice_catalog_http_panics_total"),
		bugs:   set.NewCounter("sluice_catalog_http_unexpected_errors_total"),
	}
}

// routeMeter counts the requests of one route.
type routeMeter struct {
	set     *metrics.Set
	name    string
	seconds *metrics.PrometheusHistogram
}

// route is the meter of one route.
func (m *meter) route(name string) *routeMeter {
	seconds := telemetry.Seconds(m.set, fmt.Sprintf(`sluice_catalog_http_request_duration_seconds{route=%q}`, name))
	return &routeMeter{set: m.set, name: name, seconds: seconds}
}

// done counts a request: refused for a kind of reason, or not.
func (r *routeMeter) done(refused *problem.Kind, took time.Duration) {
	outcome := "ok"
	if refused != nil {
		outcome = refused.Code
	}
	r.seconds.Update(took.Seconds())
	r.set.GetOrCreateCounter(fmt.Sprintf(`sluice_catalog_http_requests_total{route=%q,outcome=%q}`, r.name, outcome)).Inc()
}
