package redisstock

import (
	"testing"

	"sluice/core/stock"
)

// BenchmarkCommand measures the making of a full vector's command.
func BenchmarkCommand(b *testing.B) {
	s, err := New(newSpy(b), Config{Partitions: 1})
	if err != nil {
		b.Fatal(err)
	}
	v := &stock.Vector{Op: stock.OpReserve, Requests: make([]stock.Request, stock.VectorMax)}
	for i := range v.Requests {
		v.Requests[i] = stock.Request{ID: stock.ReservationID{2: byte(i)}, Cell: stock.Cell{SKU: 1}, User: int64(i + 1), Quantity: 1}
	}
	c := newCall()
	b.ReportAllocs()
	for b.Loop() {
		c.reset()
		c.add(s, v)
	}
}
