package batch

import (
	"math"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// coresEvery is how old the figure of cores gets while somebody asks for it.
const coresEvery = 20 * time.Millisecond

// handOvers is how often a request has waited for a core until its call has ended. It may come just after a call has left, and
// then waits for that call and for its own: each goes through the goroutines that write to Redis, read from it, and run the lane.
const handOvers = 6

// cores tells how long the goroutines of this process wait for a core when they could run.
type cores struct {
	mean atomic.Int64 // in ns, of all that began to run between the last two readings

	reading sync.Mutex
	read    time.Time
	sample  [1]metrics.Sample
	before  []uint64 // counts of the reading before
}

func newCores() *cores {
	return &cores{sample: [1]metrics.Sample{{Name: "/sched/latencies:seconds"}}}
}

// share is how much of the time of a call, and of those who waited for it, the process spent waiting for its own cores.
func (c *cores) share(now time.Time) time.Duration {
	if c.reading.TryLock() { // somebody else reads
		if now.Sub(c.read) >= coresEvery {
			c.read = now
			metrics.Read(c.sample[:])
			c.mean.Store(int64(c.since(c.sample[0].Value.Float64Histogram())))
		}
		c.reading.Unlock()
	}
	return handOvers * time.Duration(c.mean.Load())
}

// since returns the mean of what a histogram of seconds has counted since the last one. Each value counts as the lower bound of its
// bucket.
func (c *cores) since(h *metrics.Float64Histogram) time.Duration {
	c.before = append(c.before, make([]uint64, len(h.Counts)-len(c.before))...)
	var waits uint64
	var sum float64
	for i, total := range h.Counts {
		if n := total - c.before[i]; n > 0 {
			waits += n
			sum += float64(n) * math.Max(h.Buckets[i], 0) // the lowest has no bound
		}
		c.before[i] = total
	}
	if waits == 0 {
		return 0
	}
	return time.Duration(sum / float64(waits) * float64(time.Second))
}
