package cells

import (
	"fmt"
	"testing"
	"time"

	"sluice/core/stock"
)

// BenchmarkVector measures the cost of the cache for a vector of 64 requests: its fences, and its cells.
func BenchmarkVector(b *testing.B) {
	for _, distinct := range []int{1, 64} {
		b.Run(fmt.Sprint(distinct, "_cells"), func(b *testing.B) {
			c := newCache(b, &store{}, Config{})
			requests := make([]stock.Request, 64)
			var states []stock.CellState
			for i := range requests {
				requests[i].Cell = sku(int64(1 + i%distinct))
				if i < distinct {
					states = append(states, loaded(requests[i].Cell, 1, 1))
				}
			}
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				c.Prepare(0, requests)
				c.Observe(0, states, now)
			}
		})
	}
}
