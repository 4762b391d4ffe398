package redisstock_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

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
				f.reserveOne(b, round)
			}
		})
	})
	for name, partitions := range map[string]int{"in one partition": 1, "over three partitions": 3} {
		b.Run(name, func(b *testing.B) {
			f := newBench(b, 32*benchPartitions, 0) // several cells in each partition
			f.measure(b, b.N, func() {
				for round := range b.N {
					f.holdBasket(b, round, partitions)
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

// reserveOne reserves a unit in a call of its own.
func (f *bench) reserveOne(b *testing.B, round int) {
	b.Helper()
	v := f.vector(round, 1)
	if f.store.Do(b.Context(), v); v.Err != nil || v.Outcomes[0].Verdict != stock.VerdictOK {
		b.Fatal(v.Outcomes, v.Err)
	}
}

// holdBasket holds a basket of three lines in so many partitions.
func (f *bench) holdBasket(b *testing.B, round, partitions int) {
	b.Helper()
	var items []stock.Line
	for i := range 3 {
		cells := f.cells[(round+i%partitions)%benchPartitions]
		items = append(items, stock.Line{Cell: cells[i%len(cells)], Quantity: 1})
	}
	wanted, err := stock.NewBasket(int64(partitions), strconv.Itoa(round), items, benchPartitions)
	if err != nil {
		b.Fatal(err)
	}
	r, err := basket.Decide(&wanted, basket.Direct(b.Context(), f.store, func(stock.Entry) {}), nil)
	if err != nil || r.State != stock.BasketHeld {
		b.Fatal(r, err)
	}
}

// BenchmarkBasketPairs lets a reserve and baskets of three lines take turns on one server, so that a busy machine slows
// all of them alike. It reports two medians over the turns, both as multiples of a reserve's: a basket's CPU of Redis,
// and the time of its slowest hundredth.
//
//	go test -run '^$' -bench BenchmarkBasketPairs -benchtime 30x ./core/stock/redisstock
func BenchmarkBasketPairs(b *testing.B) {
	const turn = 1000 // operations
	f := newBench(b, 32*benchPartitions, 0)
	works := []func(round int){
		func(round int) { f.reserveOne(b, round) },
		func(round int) { f.holdBasket(b, round, 1) },
		func(round int) { f.holdBasket(b, round, 3) },
	}
	ratios := map[string][]float64{}
	for n := range b.N {
		var cpu, slow [3]float64
		for k := range works {
			kind := (n + k) % len(works) // nobody is always the first
			before, took := f.cpuMicroseconds(b), make([]time.Duration, turn)
			for i := range took {
				began := time.Now()
				works[kind](n*turn + i)
				took[i] = time.Since(began)
			}
			slices.Sort(took)
			cpu[kind], slow[kind] = f.cpuMicroseconds(b)-before, float64(took[turn*99/100])
		}
		for kind, name := range map[int]string{1: "one-partition", 2: "three-partitions"} {
			ratios["cpu-"+name] = append(ratios["cpu-"+name], cpu[kind]/cpu[0])
			ratios["p99-"+name] = append(ratios["p99-"+name], slow[kind]/slow[0])
		}
	}
	for name, all := range ratios {
		slices.Sort(all)
		b.ReportMetric(all[len(all)/2], name+"/reserve")
	}
}
