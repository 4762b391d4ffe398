package persister

import (
	"fmt"
	"sync"
	"testing"
)

func BenchmarkWrite(b *testing.B) {
	for _, cells := range []int{1, 1000, 1_000_000} {
		for _, workers := range []int{1, 2} {
			for _, size := range []int{1000, 4000} {
				b.Run(fmt.Sprintf("cells=%d/workers=%d/rows=%d", cells, workers, size), func(b *testing.B) {
					db := database(b)
					var all [][]*row
					const total = 200_000
					per := total / workers
					for i := range workers {
						h := newHistory(uint64(i), max(1, cells/workers))
						for _, c := range h.cells {
							c.last.Cell.Pool = uint32(i)
						}
						var rows []*row
						for len(rows) < per {
							batch := h.batch(64)
							for _, e := range batch.Events {
								rows = append(rows, &row{Event: e, partition: batch.Partition, timeMS: batch.TimeMS})
							}
						}
						all = append(all, rows)
					}
					b.ResetTimer()
					for range b.N {
						var wg sync.WaitGroup
						for _, rows := range all {
							wg.Go(func() {
								w := writer{db: db}
								for len(rows) > 0 {
									n := min(size, len(rows))
									if _, err := w.write(b.Context(), rows[:n], nil); err != nil {
										b.Error(err)
										return
									}
									rows = rows[n:]
								}
							})
						}
						wg.Wait()
					}
					b.ReportMetric(float64(total)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
				})
			}
		}
	}
}
