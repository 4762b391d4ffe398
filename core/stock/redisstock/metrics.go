package redisstock

import (
	"errors"
	"fmt"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/stock"
	"sluice/core/telemetry"
)

// scriptMetrics are one script's.
type scriptMetrics struct {
	seconds  *metrics.PrometheusHistogram
	verdicts [stock.Verdicts]*metrics.Counter
	failures map[error]*metrics.Counter
}

func newScriptMetrics(set *metrics.Set, script string) *scriptMetrics {
	m := &scriptMetrics{
		seconds:  telemetry.Seconds(set, fmt.Sprintf("sluice_core_script_seconds{script=%q}", script)),
		failures: map[error]*metrics.Counter{},
	}
	for v := range m.verdicts {
		m.verdicts[v] = set.GetOrCreateCounter(
			fmt.Sprintf("sluice_core_script_verdicts_total{script=%q,verdict=%q}", script, stock.Verdict(v)))
	}
	for kind, name := range map[error]string{
		stock.ErrNotApplied: "not_applied", stock.ErrShut: "shut", stock.ErrUnknown: "unknown", stock.ErrProtocol: "protocol",
	} {
		m.failures[kind] = set.GetOrCreateCounter(
			fmt.Sprintf("sluice_core_script_failures_total{script=%q,kind=%q}", script, name))
	}
	return m
}

// called notes one call of the script.
func (m *scriptMetrics) called(took time.Duration, err error) {
	m.seconds.Update(took.Seconds())
	if err == nil {
		return
	}
	for kind, counter := range m.failures {
		if errors.Is(err, kind) {
			counter.Inc()
		}
	}
}

func (m *scriptMetrics) decided(outcomes []stock.Outcome) {
	var counts [stock.Verdicts]int
	for i := range outcomes {
		counts[outcomes[i].Verdict]++
	}
	for v, n := range counts {
		if n > 0 {
			m.verdicts[v].Add(n)
		}
	}
}
