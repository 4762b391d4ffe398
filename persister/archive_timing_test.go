package persister

import (
	"log/slog"
	"testing"
	"time"

	"sluice/core/archive"
)

// BenchmarkArchive tells how many events a second leave a ledger for files.
func BenchmarkArchive(b *testing.B) {
	db := database(b)
	h := newHistory(1, 400)
	log := slog.New(slog.DiscardHandler)
	a, m := newApplier(db, newTestMeters(), log), newMarker(db, newTestMeters(), log)
	events := 0
	for events < 200_000 {
		var rows []*row
		for range 200 {
			rows = append(rows, rowsOf(h.batch(100))...)
		}
		if err := a.apply(b.Context(), rows, nil); err != nil {
			b.Fatal(err)
		}
		for _, r := range rows {
			m.touch(r.Cell)
		}
		events += len(rows)
	}
	for range 40 {
		if err := m.round(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		start := time.Now()
		done, err := archive.Run(b.Context(), archive.Config{DB: db, Dir: b.TempDir(), Deployment: "d", Before: time.Now(), Share: 1, Log: log})
		if err != nil {
			b.Fatal(err)
		}
		if done.Events > 0 {
			b.ReportMetric(float64(done.Events)/time.Since(start).Seconds(), "events/s")
			b.ReportMetric(float64(done.Events), "events")
		}
	}
}
