package batch

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"
)

func TestMeanWaitForCores(t *testing.T) {
	t.Parallel()
	c := newCores()
	h := &metrics.Float64Histogram{Counts: []uint64{0, 0, 0}, Buckets: []float64{0, 0.001, 0.01, 0.1}}
	f := func(want time.Duration, counts ...uint64) {
		t.Helper()
		copy(h.Counts, counts)
		if got := c.since(h); got != want {
			t.Errorf("%v: %v, want %v", counts, got, want)
		}
	}
	f(0, 0, 0, 0)
	f(0, 10, 0, 0)
	f(10*time.Millisecond, 10, 0, 5)
	f(0, 10, 0, 5)
	f(5500*time.Microsecond, 10, 3, 8)
}

// TestWaitForCoresIsSeen has many more goroutines than cores: those who ask for one wait, and nobody waits when they have gone.
func TestWaitForCoresIsSeen(t *testing.T) {
	c := newCores()
	now := time.Now()
	share := func() time.Duration {
		now = now.Add(coresEvery)
		return c.share(now)
	}
	share()
	var crowd sync.WaitGroup
	for range 200 * runtime.GOMAXPROCS(0) {
		crowd.Go(func() {
			for began := time.Now(); time.Since(began) < time.Millisecond; {
			}
		})
	}
	crowd.Wait()
	busy := share()
	time.Sleep(coresEvery) // nobody wants a core but the timer
	if idle := share(); busy < handOvers*20*time.Millisecond || idle > busy/2 {
		t.Errorf("with 200 goroutines of 1 ms per core %v, and without them %v", busy, idle)
	}
}

func BenchmarkCores(b *testing.B) {
	c, now := newCores(), time.Now()
	for b.Loop() {
		now = now.Add(coresEvery)
		c.share(now)
	}
}
