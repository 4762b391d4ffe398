// Package bench measures the whole way of a purchase. Every figure is a ratio of two things measured in
// turn in one run, on one machine: absolute figures of one machine say little about another.
package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/bench/load"
	"sluice/bench/stack"
	"sluice/core/local"
)

const (
	connections = 256
	shoppers    = 10_000

	hotSKU       = 1001 // with a limit per user
	soldOutSKU   = 1002
	unlimitedSKU = 1003
)

// BenchmarkReservations compares accepted reservations of one hot SKU with a limit per user, each with a
// fresh Idempotency-Key, with a fasthttp handler that returns the same bytes and does nothing else.
// Events are published to Kafka; no persister runs. The client has one thread, as `wrk -t1`: the empty
// handler is then as fast as that thread asks. Run it with -benchtime 1x.
func BenchmarkReservations(b *testing.B) { compare(b, hotSKU, http.StatusCreated, setup{}) }

// BenchmarkReservationsTwoThreads is the same with a client that may use both cores, and shares them
// with the empty handler alone or with all of sluice.
func BenchmarkReservationsTwoThreads(b *testing.B) {
	compare(b, hotSKU, http.StatusCreated, setup{clientThreads: 2})
}

// BenchmarkReservationsUnlimited is the same for a SKU without a limit per user.
func BenchmarkReservationsUnlimited(b *testing.B) {
	compare(b, unlimitedSKU, http.StatusCreated, setup{})
}

// BenchmarkReservationsPersisted is BenchmarkReservations with a persister at work on the same two cores.
func BenchmarkReservationsPersisted(b *testing.B) {
	compare(b, hotSKU, http.StatusCreated, setup{persister: true})
}

// BenchmarkSoldOut does the same for a SKU that is sold out.
func BenchmarkSoldOut(b *testing.B) { compare(b, soldOutSKU, http.StatusConflict, setup{}) }

// BenchmarkShed does the same for an edge that sheds: one request has all the room there is, and waits for a Redis that stands
// still.
func BenchmarkShed(b *testing.B) {
	compare(b, hotSKU, http.StatusServiceUnavailable, setup{shedding: true})
}

// rounds is how often each thing is measured. With -short, which is for trying the benchmarks, all is little.
func rounds() int {
	if testing.Short() {
		return 2
	}
	return 7
}

func roundTime() time.Duration {
	if testing.Short() {
		return time.Second / 2
	}
	return 3 * time.Second
}

// warmUp lasts until Kafka's compiler has rest.
func warmUp() time.Duration {
	if testing.Short() {
		return time.Second
	}
	return 10 * time.Second
}

// setup has the parameters of a benchmark.
type setup struct {
	shedding      bool
	persister     bool
	clientThreads int // that run Go code; defaults to 1
}

func (s setup) warmUp() time.Duration {
	if s.shedding {
		return roundTime()
	}
	return warmUp()
}

func compare(b *testing.B, sku int64, status int, with setup) {
	b.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(1, with.clientThreads)))
	s := stack.New(b, "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_RATE_PER_USER=0", "SLUICE_OUTBOX_ENTRIES_MAX=10000000")
	s.LoadCSV("sku_id,quantity,limit", fmt.Sprintf("%d,1000000000,1000000", hotSKU), fmt.Sprintf("%d,1,", soldOutSKU),
		fmt.Sprintf("%d,1000000000,", unlimitedSKU))
	var settings []string
	if with.shedding {
		settings = []string{"SLUICE_QUEUE_MAX=1", "SLUICE_REDIS_CALL_TIMEOUT=10s"} // a round is shorter
	}
	edge := s.StartEdge(settings...)
	if with.persister {
		s.StartPersister()
	}
	d := newDriver(b, s, sku)
	d.one(edge.Addr(), soldOutSKU) // takes the only unit
	ready := func() (end func()) { return func() {} }
	if with.shedding {
		ready = func() func() { return d.standStill(edge.Addr(), s.Redis.PID()) }
	}
	end := ready()
	sample := d.one(edge.Addr(), sku)
	end()
	if sample.Status != status {
		b.Fatalf("a request was answered %d: %s", sample.Status, sample.Body)
	}
	empty := s.StartEmpty(sample)

	for b.Loop() {
		end = ready()
		d.run(edge.Addr(), with.warmUp(), status)
		end()
		d.run(empty.Addr(), warmUp()/5, status)
		var full, bare, ratio, edgeCPU, emptyCPU, redisCPU, kafkaCPU, clientCPU []float64
		for range rounds() {
			bareRate, cpu := d.measure(empty.Addr(), status, empty.CPU)
			bare, emptyCPU = append(bare, bareRate), append(emptyCPU, cpu[0])
			end = ready()
			fullRate, cpu := d.measure(edge.Addr(), status, edge.CPU, cpuOf(s.Redis.PID()), cpuOf(s.Kafka.PID()), cpuOf(os.Getpid()))
			end()
			full, edgeCPU = append(full, fullRate), append(edgeCPU, cpu[0])
			redisCPU, kafkaCPU, clientCPU = append(redisCPU, cpu[1]), append(kafkaCPU, cpu[2]), append(clientCPU, cpu[3])
			ratio = append(ratio, fullRate/bareRate)
		}
		b.ReportMetric(median(full), "answers/s")
		b.ReportMetric(median(bare), "empty/s")
		b.ReportMetric(median(ratio), "ratio")
		b.ReportMetric(slices.Min(ratio), "ratio-min")
		b.ReportMetric(slices.Max(ratio), "ratio-max")
		b.ReportMetric(median(edgeCPU), "edge-cpu-us")
		b.ReportMetric(median(emptyCPU), "empty-cpu-us")
		b.ReportMetric(median(redisCPU), "redis-cpu-us")
		b.ReportMetric(median(kafkaCPU), "kafka-cpu-us")
		b.ReportMetric(median(clientCPU), "client-cpu-us")
	}
}

// cpuOf reads the processor time that a process has used.
func cpuOf(pid int) func() (time.Duration, error) {
	return func() (time.Duration, error) { return local.CPU(pid) }
}

// driver sends requests for one SKU, none of them twice.
type driver struct {
	b      *testing.B
	sku    int64
	tokens []string
	runs   int
	length time.Duration // of what is measured at once; defaults to roundTime()
}

// newDriver makes a driver with a token per shopper.
func newDriver(b *testing.B, s *stack.Stack, sku int64) *driver {
	b.Helper()
	d := &driver{b: b, sku: sku, tokens: make([]string, shoppers)}
	for i := range d.tokens {
		d.tokens[i] = s.Token(int64(i+1), "shopper")
	}
	return d
}

// standStill stops a Redis, and sends a request that waits for it, until end is called.
func (d *driver) standStill(addr string, redis int) (end func()) {
	d.b.Helper()
	c, err := load.Dial(addr, time.Minute)
	if err == nil {
		err = syscall.Kill(redis, syscall.SIGSTOP)
	}
	if err != nil {
		d.b.Fatal(err)
	}
	d.runs++
	waiting, answered := d.request(nil, d.sku, -1, 0), make(chan struct{})
	go func() {
		defer close(answered)
		_, _ = c.Do(waiting)
	}()
	end = sync.OnceFunc(func() {
		_ = syscall.Kill(redis, syscall.SIGCONT)
		<-answered
		_ = c.Close()
	})
	d.b.Cleanup(end)
	for range 100 {
		// A request that is not answered came before the other one, and is now the one that waits.
		if r, err := d.try(addr, d.sku, time.Second); err == nil && r.Status == http.StatusServiceUnavailable {
			return end
		}
	}
	d.b.Fatal("the edge sheds nothing")
	return nil
}

// one sends a single request and returns its answer with a body of its own.
func (d *driver) one(addr string, sku int64) load.Response {
	d.b.Helper()
	r, err := d.try(addr, sku, 5*time.Second)
	if err != nil {
		d.b.Fatal(err)
	}
	return r
}

// try is one for a request that may not be answered.
func (d *driver) try(addr string, sku int64, timeout time.Duration) (load.Response, error) {
	c, err := load.Dial(addr, timeout)
	if err != nil {
		return load.Response{}, err
	}
	defer func() { _ = c.Close() }()
	d.runs++ // each under a key of its own
	r, err := c.Do(d.request(nil, sku, -1, 0))
	r.Body, r.Header = slices.Clone(r.Body), slices.Clone(r.Header)
	return r, err
}

func (d *driver) request(buf []byte, sku int64, conn, n int) []byte {
	token := d.tokens[(n*connections+conn+1)%len(d.tokens)]
	key := strconv.Itoa(d.runs) + "-" + strconv.Itoa(conn) + "-" + strconv.Itoa(n)
	return load.AppendPost(buf, "/v1/reservations", token, key, load.ReserveBody(sku, 1))
}

func (d *driver) run(addr string, length time.Duration, status int) load.Report {
	d.b.Helper()
	d.runs++
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	report, err := load.Run(ctx, load.Plan{
		Addr: addr, Connections: connections, Timeout: 5 * time.Second,
		Next: func(conn, n int, buf []byte) []byte { return d.request(buf, d.sku, conn, n) },
	})
	if err != nil {
		d.b.Fatal(err)
	}
	if report.Errors > 0 || len(report.Answers) != 1 || report.Answers[status] == 0 {
		d.b.Fatalf("not every answer was a %d: %v", status, report)
	}
	return report
}

// measure runs one round and returns the answers per second and, per answer, the microseconds of
// processor time of each process that is asked for it.
func (d *driver) measure(addr string, status int, cpu ...func() (time.Duration, error)) (rate float64, us []float64) {
	d.b.Helper()
	read := func() (all []time.Duration) {
		var failure error
		for _, f := range cpu {
			used, err := f()
			all, failure = append(all, used), errors.Join(failure, err)
		}
		if failure != nil {
			d.b.Fatal(failure)
		}
		return all
	}
	before := read()
	report := d.run(addr, cmp.Or(d.length, roundTime()), status)
	for i, used := range read() {
		us = append(us, float64((used-before[i]).Nanoseconds())/1e3/float64(report.Answers[status]))
	}
	d.b.Logf("%s: %v", addr, report)
	return report.PerSecond(status), us
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
