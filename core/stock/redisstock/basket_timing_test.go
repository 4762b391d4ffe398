package redisstock_test

import (
	"strconv"
	"testing"

	"sluice/core/basket"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// BenchmarkBasket compares what a basket of three lines costs Redis with one reserve, each by calls of its own. It also
// measures the memory of the records of decided baskets.
//
//	go test -run '^$' -bench BenchmarkBasket -benchtime 10000x ./core/stock/redisstock
func BenchmarkBasket(b *testing.B) {
	b.Run("reserve", func(b *testing.B) {
		f := newBench(b, 32*benchPartitions, 0) // several cells in each partition
		f.measure(b, b.N, func() {
			for round := range b.N {
				v := f.vector(round, 1)
				if f.store.Do(b.Context(), v); v.Err != nil || v.Outcomes[0].Verdict != stock.VerdictOK {
					b.Fatal(v.Outcomes, v.Err)
				}
			}
		})
	})
	for name, partitions := range map[string]int{"in one partition": 1, "over three partitions": 3} {
		b.Run(name, func(b *testing.B) {
			f := newBench(b, 32*benchPartitions, 0) // several cells in each partition
			f.measure(b, b.N, func() {
				for round := range b.N {
					var items []stock.Line
					for i := range 3 {
						cells := f.cells[(round+i%partitions)%benchPartitions]
						items = append(items, stock.Line{Cell: cells[i%len(cells)], Quantity: 1})
					}
					basketOf, err := stock.NewBasket(1, strconv.Itoa(round), items, benchPartitions)
					if err != nil {
						b.Fatal(err)
					}
					r, err := basket.Decide(&basketOf, basket.Direct(b.Context(), f.store, func(stock.Entry) {}))
					if err != nil || r.State != stock.BasketHeld {
						b.Fatal(r, err)
					}
				}
			})
			total := int64(0)
			for p := range benchPartitions {
				n, _ := f.client.Do(b.Context(), f.client.B().MemoryUsage().Key(redisstock.BasketsKey(p)).Samples(0).Build()).AsInt64()
				total += n // nil, and 0, of a partition that is nobody's home
			}
			b.ReportMetric(float64(total)/float64(b.N), "bytes/basket")
		})
	}
}
