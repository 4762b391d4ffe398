package persister

import (
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/db"
	"sluice/core/telemetry"
)

// meters are the persister's metrics. Labels are words of fixed sets.
type meters struct {
	events, duplicates, batches *metrics.Counter
	batchEvents, seconds        *metrics.PrometheusHistogram
	letters                     map[string]*metrics.Counter
	retries                     map[db.Failure]*metrics.Counter
	fetchFailures, offsetGaps   *metrics.Counter
	offsetResets, generations   *metrics.Counter
	cleaned, cleanFailures      *metrics.Counter
	cleanDropped                *metrics.Counter
	marksMoved                  *metrics.Counter

	blocked  blocked
	newestMS atomic.Int64 // Redis time of the newest event applied
	progress atomic.Pointer[progress]
	now      func() time.Time
}

func newMeters(set *metrics.Set) *meters {
	m := &meters{
		events:        set.NewCounter("sluice_persister_ledger_rows_total"),
		duplicates:    set.NewCounter("sluice_persister_duplicate_events_total"),
		batches:       set.NewCounter("sluice_persister_batches_total"),
		batchEvents:   telemetry.Sizes(set, "sluice_persister_batch_events", 8192),
		seconds:       telemetry.Seconds(set, "sluice_persister_transaction_seconds"),
		letters:       map[string]*metrics.Counter{},
		retries:       map[db.Failure]*metrics.Counter{},
		fetchFailures: set.NewCounter("sluice_persister_fetch_failures_total"),
		offsetGaps:    set.NewCounter("sluice_persister_offset_gaps_total"),
		offsetResets:  set.NewCounter("sluice_persister_offset_resets_total"),
		generations:   set.NewCounter("sluice_persister_group_generations_total"),
		cleaned:       set.NewCounter("sluice_persister_outbox_deleted_entries_total"),
		cleanFailures: set.NewCounter("sluice_persister_outbox_delete_failures_total"),
		cleanDropped:  set.NewCounter("sluice_persister_outbox_left_entries_total"),
		marksMoved:    set.NewCounter("sluice_persister_applied_mark_moves_total"),
		now:           time.Now,
	}
	m.blocked = blocked{now: m.clock, workers: map[*applier]obstacle{}}
	for _, reason := range reasons {
		m.letters[reason] = set.NewCounter(`sluice_persister_dead_letters_total{reason="` + reason + `"}`)
	}
	for _, t := range db.Failures {
		m.retries[t] = set.NewCounter(`sluice_persister_transaction_retries_total{reason="` + string(t) + `"}`)
		set.NewGauge(`sluice_persister_blocked_workers{reason="`+string(t)+`"}`, func() float64 { return m.blocked.count(t) })
	}
	set.NewGauge("sluice_persister_unread_messages", func() float64 { return float64(m.unread()) })
	set.NewGauge("sluice_persister_lag_seconds", m.lagSeconds)
	return m
}

// clock is now, which tests set later.
func (m *meters) clock() time.Time { return m.now() }

// applied notes the Redis time of an event that was applied.
func (m *meters) applied(ms int64) {
	for {
		have := m.newestMS.Load()
		if ms <= have || m.newestMS.CompareAndSwap(have, ms) {
			return
		}
	}
}

// unread is how many messages of the assigned partitions are not yet applied.
func (m *meters) unread() int64 {
	if p := m.progress.Load(); p != nil {
		return p.unread()
	}
	return 0
}

// lagSeconds is how old the newest applied event is, by this machine's clock; 0 when nothing is unread.
func (m *meters) lagSeconds() float64 {
	newest := m.newestMS.Load()
	if newest == 0 || m.unread() == 0 {
		return 0
	}
	return max(0, m.now().Sub(time.UnixMilli(newest)).Seconds())
}
