package bench

import (
	"fmt"
	"testing"
	"time"

	"sluice/bench/stack"
)

// BenchmarkLoading loads a million SKUs beside an edge and a persister, and then makes a sale. The sale's command begins with a vetting
// of all cells, as does every command that makes cells. Run it with -benchtime 1x.
func BenchmarkLoading(b *testing.B) {
	skus := 1_000_000
	if testing.Short() {
		skus = 10_000
	}
	s := stack.New(b)
	s.StartEdge()
	s.StartPersister()
	lines := make([]string, 0, skus+1)
	lines = append(lines, "sku_id,quantity")
	for sku := 1; sku <= skus; sku++ {
		lines = append(lines, fmt.Sprintf("%d,10", sku))
	}
	for b.Loop() {
		begun := time.Now()
		s.LoadCSV(lines...)
		b.ReportMetric(time.Since(begun).Seconds(), "s-load")
		s.Drained(b, 10*time.Minute)
		b.ReportMetric(time.Since(begun).Seconds(), "s-in-mysql")
		begun = time.Now()
		s.Run("", "sale", "create", "7", "--name", "summer", "--item", "1:5", "--yes")
		b.ReportMetric(time.Since(begun).Seconds(), "s-sale")
	}
}
