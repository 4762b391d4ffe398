package redisstock_test

import (
	"strconv"
	"testing"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// BenchmarkMemory measures how much Redis memory a million idle SKUs, open reservations and buyers
// take, each by itself. The outbox is left out: a persister empties it.
//
//	go test -run '^$' -bench BenchmarkMemory -benchtime 1x ./core/stock/redisstock
func BenchmarkMemory(b *testing.B) {
	many := 1_000_000
	if testing.Short() {
		many = 10_000
	}
	for b.Loop() {
		empty := newBench(b, 0, 0).memory(b)
		idle := newBench(b, many, 0)
		idle.forget(b)
		b.ReportMetric((idle.memory(b)-empty)/float64(many), "bytes/idle-sku")

		open := newBench(b, 1, 0)
		before := open.memory(b)
		open.reserve(b, many)
		each := (open.memory(b) - before) / float64(many)
		b.ReportMetric(each, "bytes/reservation")

		limited := newBench(b, 1, 10)
		before = limited.memory(b)
		limited.reserve(b, many)
		b.ReportMetric((limited.memory(b)-before)/float64(many)-each, "bytes/buyer")
	}
}

// reserve reserves one unit for each of at least so many users, and returns the vectors.
func (f *bench) reserve(b *testing.B, reservations int) []*stock.Vector {
	b.Helper()
	var vectors []*stock.Vector
	for len(vectors)*stock.VectorMax < reservations {
		v := f.vector(len(vectors), stock.VectorMax)
		if f.store.Do(b.Context(), v); v.Err != nil {
			b.Fatal(v.Err)
		}
		if _, err := f.store.OutboxDelete(b.Context(), v.Partition, []string{v.Entry.ID}); err != nil {
			b.Fatal(err)
		}
		vectors = append(vectors, v)
	}
	return vectors
}

// forget drops the records of the adjustments that made the cells, as the end of their retention
// does.
func (f *bench) forget(b *testing.B) {
	b.Helper()
	for p := range benchPartitions {
		err := f.client.Do(b.Context(), f.client.B().Del().
			Key(redisstock.ResKey(p), redisstock.GoneKey(p)).Build()).Error()
		if err != nil {
			b.Fatal(err)
		}
	}
}

// memory returns how many bytes Redis has allocated for data.
func (f *bench) memory(b *testing.B) float64 {
	b.Helper()
	fields := f.info(b, "memory")
	bytes := 0.0
	for name, sign := range map[string]float64{
		"used_memory": 1, "mem_clients_normal": -1, "mem_aof_buffer": -1, "used_memory_scripts": -1,
	} {
		n, err := strconv.ParseFloat(fields[name], 64)
		if err != nil {
			b.Fatal(err)
		}
		bytes += sign * n
	}
	return bytes
}
