package bench

import (
	"testing"
	"time"

	"sluice/bench/stack"
)

// BenchmarkIdle measures the processor time that an edge and its Redis use a second while nobody asks for anything: the edge looks
// for reservations that are due, for entries to relay, and whether Redis is still the one that it vetted. Run it with -benchtime 1x.
func BenchmarkIdle(b *testing.B) {
	s := stack.New(b)
	edge := s.StartEdge()
	redis := cpuOf(s.Redis.PID())
	length := 10 * roundTime()
	time.Sleep(warmUp()) // what an edge does at its start
	used := func() [2]time.Duration {
		e, err := edge.CPU()
		if err != nil {
			b.Fatal(err)
		}
		r, err := redis()
		if err != nil {
			b.Fatal(err)
		}
		return [2]time.Duration{e, r}
	}
	for b.Loop() {
		before := used()
		time.Sleep(length)
		for i, now := range used() {
			b.ReportMetric((now-before[i]).Seconds()*1000/length.Seconds(), []string{"edge-ms/s", "redis-ms/s"}[i])
		}
	}
}
