package batch

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/stock"
	"sluice/edge/cells"
)

// BenchmarkCrowd measures the cost of the batcher itself for a request: the store answers at once. Compare runs by the
// CPU time of the whole process, with so many iterations that nothing else counts.
//
//	go test -run '^$' -bench BenchmarkCrowd -benchtime 1000000x ./edge/batch
func BenchmarkCrowd(b *testing.B) {
	for name, partitions := range map[string]int{"one_partition": 1, "many_partitions": 64} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			store := &instant{partitions: partitions}
			known := cells.New(store, cells.Config{}, metrics.NewSet())
			defer known.Close()
			batcher := New(store, known, &publisher{refuse: true}, Config{}, metrics.NewSet())
			var crowd sync.WaitGroup
			const goroutines = 256
			for g := range goroutines {
				crowd.Go(func() {
					var r stock.Request
					r.Cell, r.User, r.Quantity = stock.Cell{SKU: int64(1 + g%partitions)}, int64(1+g), 1
					r.ID[1] = byte(r.Cell.Partition(partitions))
					for range b.N/goroutines + 1 {
						if res, err := batcher.Do(stock.OpReserve, r); err != nil || res.Verdict != stock.VerdictOK {
							b.Error(res.Verdict, err)
							return
						}
					}
				})
			}
			crowd.Wait()
			if err := batcher.Drain(context.Background()); err != nil {
				b.Error(err)
			}
		})
	}
}

// instant accepts all that it is asked for.
type instant struct{ partitions int }

func (i *instant) Do(_ context.Context, vectors ...*stock.Vector) {
	runtime.Gosched() // so that requests gather, as while a call is in flight
	for _, v := range vectors {
		for range v.Requests {
			v.Outcomes = append(v.Outcomes, stock.Outcome{})
		}
		cell := stock.CellState{Cell: v.Requests[0].Cell, Loaded: true}
		cell.Ack = stock.AckRedis
		v.Cells = append(v.Cells, cell)
	}
}

func (i *instant) NodeOf(int) (string, error) { return "", nil }
func (i *instant) Partitions() int            { return i.partitions }

func (i *instant) StillHas(context.Context, int, stock.Mark) error { return nil }

func (i *instant) OutboxAfter(context.Context, int, string, int) ([]stock.Entry, error) {
	return nil, nil
}

func (i *instant) Cells(_ context.Context, cells []stock.Cell) ([]stock.CellState, int64, error) {
	return make([]stock.CellState, len(cells)), 0, nil
}
