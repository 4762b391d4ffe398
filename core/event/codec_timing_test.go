package event

import (
	"testing"

	"sluice/core/stock"
)

// full is the batch of a full vector of reserves, as most batches of a sale are.
func full() Batch {
	b := Batch{Partition: 7, TimeMS: 1_700_000_000_000}
	for i := range int64(stock.VectorMax) {
		b.Events = append(b.Events, Event{
			Kind: KindReserve, Reservation: stock.ReservationID{0, 7, byte(i)}, User: 1000 + i, Quantity: 1,
			Fingerprint: stock.FingerprintOf(1), Cell: stock.Cell{SKU: 1001}, Position: stock.Position{Epoch: 1, Seq: uint64(2 + i)},
			Avail: 99_999 - i, Held: 1 + i, DeadlineMS: 1_700_000_900_000,
		})
	}
	return b
}

func BenchmarkAppend(b *testing.B) {
	batch := full()
	var data []byte
	b.ReportAllocs()
	for b.Loop() {
		data = Append(data[:0], batch)
	}
	b.SetBytes(int64(len(data)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/stock.VectorMax, "ns/event")
}

func BenchmarkDecode(b *testing.B) {
	data := Append(nil, full())
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/stock.VectorMax, "ns/event")
}

func BenchmarkDecoder(b *testing.B) {
	data := Append(nil, full())
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var e Event
	for b.Loop() {
		d, err := NewDecoder(data)
		for i := 0; err == nil && i < d.Count; i++ {
			err = d.Next(&e)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/stock.VectorMax, "ns/event")
}
