package redisstock_test

import (
	"testing"
	"time"

	"sluice/core/stock"
)

// BenchmarkSettle measures what the end of a reservation costs Redis, at full vectors and with a limit.
//
//	go test -run '^$' -bench BenchmarkSettle -benchtime 200000x ./core/stock/redisstock
func BenchmarkSettle(b *testing.B) {
	for _, op := range []stock.Op{stock.OpConfirm, stock.OpRelease} {
		b.Run(op.String(), func(b *testing.B) {
			f := newBench(b, 1, 10)
			vectors := f.reserve(b, b.N)
			f.measure(b, len(vectors)*stock.VectorMax, func() {
				for _, v := range vectors {
					v.Op = op
					for i := range v.Requests {
						v.Requests[i].User = 0
					}
					if f.store.Do(b.Context(), v); v.Err != nil || v.Outcomes[0].Verdict != stock.VerdictOK {
						b.Fatal(v.Err, v.Outcomes)
					}
				}
			})
		})
	}
	b.Run("expire", func(b *testing.B) {
		f := newBench(b, 1, 10)
		f.hold(b, time.Millisecond)
		vectors := f.reserve(b, b.N)
		partition, expired := vectors[0].Partition, 0
		f.measure(b, len(vectors)*stock.VectorMax, func() {
			for expired < len(vectors)*stock.VectorMax {
				sweep, err := f.store.Expire(b.Context(), partition, 2048)
				if err != nil {
					b.Fatal(err)
				}
				expired += sweep.Expired
			}
		})
	})
}

// hold sets the hold time of every cell.
func (f *bench) hold(b *testing.B, hold time.Duration) {
	b.Helper()
	for p, cells := range f.cells {
		for _, cell := range cells {
			v := &stock.Vector{Op: stock.OpAdjust, Partition: p, Requests: []stock.Request{{
				ID: f.id(p), Cell: cell, User: 1,
				Adjustment: &stock.Adjustment{
					Kind: stock.AdjustPlain, Fields: stock.FieldHold, Reason: "bench", Settings: stock.Settings{Hold: hold},
				},
			}}}
			if f.store.Do(b.Context(), v); v.Err != nil {
				b.Fatal(v.Err)
			}
		}
	}
}
