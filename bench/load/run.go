package load

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Plan is a closed-loop run: each connection sends its next request when it has the last answer.
// Closed loops measure what a server can carry; they say nothing about waiting times under an
// offered load that does not slow down with the server.
type Plan struct {
	Addr        string
	Connections int
	Timeout     time.Duration // of one exchange
	// Next appends the n-th request of a connection to buf, or returns nil when the connection is
	// done. It is called by one goroutine per connection at once.
	Next func(conn, n int, buf []byte) []byte
	// Got sees every answer, if it is set; it must not keep Response.Body.
	Got func(conn, n int, r Response)
}

// Report has the figures of a run.
type Report struct {
	Elapsed time.Duration
	Answers map[int]int // by HTTP status
	Errors  int         // exchanges without an answer: their outcome is unknown
	// LatencyUS has the time of every exchange with an answer, in microseconds.
	LatencyUS *hdrhistogram.Histogram
}

// PerSecond is the rate of answers with the status.
func (r Report) PerSecond(status int) float64 {
	return float64(r.Answers[status]) / r.Elapsed.Seconds()
}

// String is the report on one line.
func (r Report) String() string {
	var b strings.Builder
	for _, status := range slices.Sorted(maps.Keys(r.Answers)) {
		fmt.Fprintf(&b, "%d: %.0f/s  ", status, r.PerSecond(status))
	}
	fmt.Fprintf(&b, "errors: %d  p50 %.2f ms  p99 %.2f ms  max %.2f ms", r.Errors,
		float64(r.LatencyUS.ValueAtQuantile(50))/1e3, float64(r.LatencyUS.ValueAtQuantile(99))/1e3,
		float64(r.LatencyUS.Max())/1e3)
	return b.String()
}

// Run drives the server until the plan's connections are done or the context ends. A connection
// that breaks is dialled again, and the request that was under way counts as an error; a server that
// cannot be dialled ends the connection's work.
func Run(ctx context.Context, p Plan) (Report, error) {
	workers := make([]worker, p.Connections)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range workers {
		w := &workers[i]
		*w = worker{plan: &p, conn: i, answers: map[int]int{}, latency: newHistogram()}
		wg.Go(func() { w.run(ctx) })
	}
	wg.Wait()

	report := Report{Elapsed: time.Since(start), Answers: map[int]int{}, LatencyUS: newHistogram()}
	var failure error
	for i := range workers {
		w := &workers[i]
		for status, n := range w.answers {
			report.Answers[status] += n
		}
		report.Errors += w.errors
		report.LatencyUS.Merge(w.latency)
		if w.err != nil {
			failure = w.err
		}
	}
	return report, failure
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 3) }

type worker struct {
	plan    *Plan
	conn    int
	answers map[int]int
	errors  int
	latency *hdrhistogram.Histogram
	err     error
}

func (w *worker) run(ctx context.Context) {
	var c *Conn
	defer func() {
		if c != nil {
			_ = c.Close()
		}
	}()
	var buf []byte
	for n := 0; ctx.Err() == nil; n++ {
		buf = w.plan.Next(w.conn, n, buf[:0])
		if buf == nil {
			return
		}
		if c == nil {
			if c, w.err = Dial(w.plan.Addr, w.plan.Timeout); w.err != nil {
				return
			}
		}
		start := time.Now()
		r, err := c.Do(buf)
		if err != nil {
			w.errors++
			_ = c.Close()
			c = nil
			continue
		}
		_ = w.latency.RecordValue(max(time.Since(start).Microseconds(), 1)) // a longer exchange has timed out
		w.answers[r.Status]++
		if w.plan.Got != nil {
			w.plan.Got(w.conn, n, r)
		}
		if r.close {
			_ = c.Close()
			c = nil
		}
	}
}
