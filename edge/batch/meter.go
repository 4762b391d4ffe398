package batch

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/stock"
	"sluice/core/telemetry"
)

// meter has the batcher's metrics. The store counts how long scripts took and what they decided.
type meter struct {
	sizes       [opCount]*metrics.PrometheusHistogram
	waits       *metrics.PrometheusHistogram
	full        *metrics.Counter
	share       *metrics.Counter
	panics      *metrics.Counter
	unpublished *metrics.Counter
	replays     *metrics.Counter
	proofs      *metrics.Counter
}

func newMeter(set *metrics.Set, b *Batcher) *meter {
	m := &meter{
		waits:       telemetry.Seconds(set, "sluice_edge_batch_wait_seconds"),
		full:        set.NewCounter(`sluice_edge_batch_refused_requests_total{reason="full"}`),
		share:       set.NewCounter(`sluice_edge_batch_refused_requests_total{reason="share"}`),
		panics:      set.NewCounter("sluice_edge_batch_panics_total"),
		unpublished: set.NewCounter("sluice_edge_batch_unpublished_entries_total"),
		replays:     set.NewCounter(`sluice_edge_batch_second_rounds_total{ack="replica"}`),
		proofs:      set.NewCounter(`sluice_edge_batch_second_rounds_total{ack="log"}`),
	}
	for _, op := range []stock.Op{
		stock.OpReserve, stock.OpConfirm, stock.OpRelease, stock.OpDeduct, stock.OpAdjust, stock.OpReturn, stock.OpExtend,
		stock.OpGather, stock.OpDecide, stock.OpVoid,
	} {
		m.sizes[op] = telemetry.Sizes(set, fmt.Sprintf("sluice_edge_batch_vector_requests{op=%q}", op), stock.VectorMax)
	}
	set.NewGauge("sluice_edge_batch_in_flight_calls", func() float64 { return float64(b.inFlight.Load()) })
	set.NewGauge("sluice_edge_batch_limit_requests", func() float64 { return float64(b.limit()) })
	set.NewGauge("sluice_edge_batch_queued_requests", func() float64 { return float64(b.Queued()) })
	return m
}

// sending counts a vector. wait is how long its first request waited, which is the longest of all.
func (m *meter) sending(v *stock.Vector, wait time.Duration) {
	m.sizes[v.Op].Update(float64(len(v.Requests)))
	m.waits.Update(wait.Seconds())
}

// admitted counts a request if it was refused for want of room.
func (m *meter) admitted(err error) {
	switch {
	case err == nil:
	case errors.Is(err, ErrShare):
		m.share.Inc()
	case errors.Is(err, ErrFull):
		m.full.Inc()
	}
}

func (m *meter) panicked(log *slog.Logger, p any) {
	m.panics.Inc()
	log.Error("batch: a call panicked", "panic", p, "stack", string(debug.Stack()))
}
