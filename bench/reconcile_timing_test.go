package bench

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"sluice/bench/load"
	"sluice/bench/stack"
	"sluice/core/local"
)

const (
	comparedSKUs    = 100_000
	comparedOnSale  = 1000
	comparedPairs   = 11
	comparedClients = 64
)

// BenchmarkReconcile measures what comparing the stores costs a sale: reservations of a thousand SKUs out of 100,000 while a
// persister compares as it does by default, and while one compares nothing, in turn. Each round counts until MySQL has all of
// its events. A round in which stores are compared begins with a sweep, and is shorter than the time from one to the next: so it
// has more of them than a day has. RECONCILE_PAIRS says how many pairs. Run it with -benchtime 1x.
func BenchmarkReconcile(b *testing.B) {
	pairs := comparedPairs
	if text := os.Getenv("RECONCILE_PAIRS"); text != "" {
		var err error
		if pairs, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	length := 40 * time.Second // longer than a sweep and its rests
	if testing.Short() {
		length = 3 * time.Second
	}
	s := stack.New(b, "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_RATE_PER_USER=0", "SLUICE_OUTBOX_ENTRIES_MAX=10000000", "SLUICE_REDIS_CALL_TIMEOUT=10s")
	lines := []string{"sku_id,quantity"}
	for sku := 1; sku <= comparedSKUs; sku++ {
		lines = append(lines, strconv.Itoa(sku)+",1000000")
	}
	s.LoadCSV(lines...)
	edge := s.StartEdge()
	c := &compared{driver: newDriver(b, s, 0), stack: s, edge: edge}
	for b.Loop() {
		c.round("60s", length/4) // the first sweep, and a warm-up
		var rate, cpu [2][]float64
		var rates, cpus, more []float64
		for pair := range pairs {
			for i := range 2 {
				on := (i + pair) % 2
				r, used := c.round([]string{"0", "60s"}[on], length)
				rate[on], cpu[on] = append(rate[on], r), append(cpu[on], used)
			}
			rates, cpus = append(rates, rate[1][pair]/rate[0][pair]), append(cpus, cpu[1][pair]/cpu[0][pair])
			more = append(more, (cpu[1][pair]-cpu[0][pair])*rate[1][pair]*60/1e6)
		}
		b.ReportMetric(median(rate[0]), "off/s")
		b.ReportMetric(median(rate[1]), "on/s")
		b.ReportMetric(median(rates), "rate-ratio")
		b.ReportMetric(slices.Min(rates), "rate-ratio-min")
		b.ReportMetric(slices.Max(rates), "rate-ratio-max")
		b.ReportMetric(median(cpu[0]), "off-cpu-us")
		b.ReportMetric(median(cpu[1]), "on-cpu-us")
		b.ReportMetric(median(cpus), "cpu-ratio")
		b.ReportMetric(slices.Min(cpus), "cpu-ratio-min")
		b.ReportMetric(slices.Max(cpus), "cpu-ratio-max")
		b.ReportMetric(median(more), "more-cpu-s/min")
	}
}

type compared struct {
	*driver

	stack *stack.Stack
	edge  *stack.Process
}

// round sells while a persister compares within a time. It returns accepted reservations per second, and the microseconds of
// processor time that edge, Redis, MySQL and persister used for each.
func (c *compared) round(within string, length time.Duration) (rate, us float64) {
	c.b.Helper()
	persister := c.stack.StartPersister("SLUICE_PERSISTER_RECONCILE_WITHIN=" + within)
	defer func() {
		if err := persister.Stop(); err != nil {
			c.b.Fatal(err)
		}
	}()
	processes := []int{c.edge.PID(), c.stack.Redis.PID(), c.stack.MariaDB.PID(), persister.PID()}
	read := func() (all []time.Duration) {
		for _, pid := range processes {
			used, err := local.CPU(pid)
			if err != nil {
				c.b.Fatal(err)
			}
			all = append(all, used)
		}
		return all
	}
	before := read()
	c.runs++
	ctx, cancel := context.WithTimeout(c.b.Context(), length)
	defer cancel()
	report, err := load.Run(ctx, load.Plan{
		Addr: c.edge.Addr(), Connections: comparedClients, Timeout: 5 * time.Second,
		Next: func(conn, n int, buf []byte) []byte {
			return c.request(buf, int64(1+(n*comparedClients+conn)*7919%comparedOnSale), conn, n)
		},
	})
	if err != nil {
		c.b.Fatal(err)
	}
	accepted := report.Answers[http.StatusCreated]
	all := report.Errors
	for _, n := range report.Answers {
		all += n
	}
	if accepted < all-all/20 { // a busy machine takes its time for some
		c.b.Fatalf("not nearly every answer was a %d: %v", http.StatusCreated, report)
	}
	c.stack.Drained(c.b, 10*time.Minute)
	said := ""
	for i, used := range read() {
		one := float64((used - before[i]).Nanoseconds()) / 1e3 / float64(accepted)
		said += fmt.Sprintf(" %.1f", one)
		us += one
	}
	c.b.Logf("within %s: %.0f/s, %.1f us each: edge, Redis, MySQL, persister%s", within, report.PerSecond(http.StatusCreated), us, said)
	return report.PerSecond(http.StatusCreated), us
}
