package screen

import (
	"testing"
	"time"

	"sluice/core/stock"
)

// BenchmarkScreens measures the cost of the screens for three requests: for a known SKU, for a SKU in a partition where
// nothing is sold out, and for a SKU that is sold out.
func BenchmarkScreens(b *testing.B) {
	b.Run("known", func(b *testing.B) {
		k, _ := startKnown(b, newCatalog(skusFrom(1, 10_000)...), KnownConfig{})
		for !k.Ready() {
			<-time.After(time.Millisecond)
		}
		ctx := b.Context()
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for n := int64(0); pb.Next(); n++ {
				if may, err := k.MayExist(ctx, sku(1+n%10_000), false); !may {
					b.Error("refused", err)
				}
			}
		})
	})
	b.Run("not_sold_out", func(b *testing.B) {
		s := newSale(b, newModel(), 1, stock.Settings{}, SoldOutConfig{})
		r := s.request()
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if s.Certain(s.cell, r.ID) {
					b.Error("answered")
				}
			}
		})
	})
	b.Run("sold_out", func(b *testing.B) {
		s := newSale(b, newModel(), 0, stock.Settings{}, SoldOutConfig{})
		s.Saw(s.cell)
		r := s.request()
		for !s.Certain(s.cell, r.ID) {
			<-time.After(time.Millisecond)
		}
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_ = s.Certain(s.cell, r.ID)
			}
		})
	})
}
