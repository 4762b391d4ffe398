package batch

import (
	"sync"
	"sync/atomic"
	"testing"
)

// crowdSize is how many goroutines wait for one vector in BenchmarkWake.
const crowdSize = 64

// BenchmarkWake compares ways to wake the goroutines that wait for one vector: a channel for all that
// is closed, and a channel with one slot for each.
//
//	go test -run '^$' -bench BenchmarkWake -cpu 2 ./edge/batch
func BenchmarkWake(b *testing.B) {
	b.Run("close", func(b *testing.B) {
		var done atomic.Pointer[chan struct{}]
		renew := func() {
			c := make(chan struct{})
			done.Store(&c)
		}
		renew()
		wakeRounds(b, func(int) <-chan struct{} { return *done.Load() }, func() {
			old := *done.Load()
			renew()
			close(old)
		})
	})
	b.Run("signal_each", func(b *testing.B) {
		signals := make([]chan struct{}, crowdSize)
		for i := range signals {
			signals[i] = make(chan struct{}, 1)
		}
		wakeRounds(b, func(worker int) <-chan struct{} { return signals[worker] }, func() {
			for _, s := range signals {
				s <- struct{}{}
			}
		})
	})
}

// wakeRounds has a crowd wait again and again. Each asks for its signal before it tells that it is
// about to wait.
func wakeRounds(b *testing.B, signal func(worker int) <-chan struct{}, wake func()) {
	b.Helper()
	var wg sync.WaitGroup
	var waiting atomic.Int32
	all := make(chan struct{}, 1)
	rounds := b.N/crowdSize + 1
	for worker := range crowdSize {
		wg.Go(func() {
			for range rounds {
				s := signal(worker)
				if waiting.Add(1) == crowdSize {
					waiting.Store(0)
					all <- struct{}{}
				}
				<-s
			}
		})
	}
	for range rounds {
		<-all
		wake()
	}
	wg.Wait()
}
