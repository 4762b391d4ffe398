package bench

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sluice/bench/load"
	"sluice/bench/stack"
	"sluice/core/stock"
)

// BenchmarkBaskets compares the p99 of a basket of three lines with that of a reserve. Every other request of a connection is a
// basket. A round first finds the best rate of this mix, with all connections busy, and then offers half of it, whether the
// edge keeps up or not. A request that is due before the last answer has come waits, and its wait counts. Events are published
// to Kafka; no persister runs. Run it with -benchtime 1x.
func BenchmarkBaskets(b *testing.B) {
	for _, lines := range []struct {
		name       string
		partitions int
	}{{"over three partitions", 3}, {"in one partition", 1}} {
		b.Run(lines.name, func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			s := stack.New(b, "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_RATE_PER_USER=0", "SLUICE_OUTBOX_ENTRIES_MAX=10000000")
			m := newMix(b, s, lines.partitions)
			edge := s.StartEdge()
			m.run(edge.Addr(), warmUp(), 0)
			for b.Loop() {
				var reserve, basket, ratio []float64
				for range rounds() {
					best := m.run(edge.Addr(), roundTime(), 0).PerSecond(http.StatusCreated)
					m.run(edge.Addr(), roundTime(), best/2)
					r, k := m.p99(reserves), m.p99(baskets)
					reserve, basket, ratio = append(reserve, r), append(basket, k), append(ratio, k/r)
					b.Logf("best %.0f/s; at half: reserve %.2f ms, basket %.2f ms, ratio %.2f", best, r, k, k/r)
				}
				b.ReportMetric(median(reserve), "reserve-p99-ms")
				b.ReportMetric(median(basket), "basket-p99-ms")
				b.ReportMetric(median(ratio), "ratio")
				b.ReportMetric(slices.Min(ratio), "ratio-min")
				b.ReportMetric(slices.Max(ratio), "ratio-max")
			}
		})
	}
}

// The kinds of requests.
const (
	reserves = iota
	baskets
	kinds
)

// mix sends reserves and baskets in turns, none of them twice.
type mix struct {
	*driver
	basket string // the body
	conns  [connections]offered
}

// offered counts the requests that one connection was offered.
type offered struct {
	begun   time.Time // when the present request was due, or could be sent if that was later
	latency [kinds]*hdrhistogram.Histogram
}

// newMix loads a SKU to reserve, and three others to put into baskets.
func newMix(b *testing.B, s *stack.Stack, partitions int) *mix {
	b.Helper()
	m := &mix{driver: newDriver(b, s, hotSKU)}
	csv := []string{"sku_id,quantity", fmt.Sprintf("%d,1000000000", hotSKU)}
	var items []string
	seen := map[int]bool{}
	for sku := int64(hotSKU + 1); len(items) < 3; sku++ {
		p := (stock.Cell{SKU: sku}).Partition(s.Store.Partitions())
		if !seen[p] && len(seen) == partitions || seen[p] && partitions > 1 {
			continue
		}
		seen[p] = true
		csv = append(csv, fmt.Sprintf("%d,1000000000", sku))
		items = append(items, load.ReserveBody(sku, 1))
	}
	s.LoadCSV(csv...)
	m.basket = `{"items":[` + strings.Join(items, ",") + `]}`
	return m
}

func kindOf(conn, n int) int { return (conn + n) % kinds }

// run offers so many requests per second. If rate is 0, it offers the next request as soon as one is answered.
func (m *mix) run(addr string, length time.Duration, rate float64) load.Report {
	m.b.Helper()
	m.runs++
	for i := range m.conns {
		for kind := range kinds {
			m.conns[i].latency[kind] = hdrhistogram.New(1, 60_000_000, 3)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	start := time.Now()
	report, err := load.Run(ctx, load.Plan{
		Addr: addr, Connections: connections, Timeout: 5 * time.Second,
		Next: func(conn, n int, buf []byte) []byte {
			c := &m.conns[conn]
			c.begun = time.Now()
			if rate > 0 {
				due := start.Add(time.Duration((float64(n*connections+conn) + 0.5) / rate * float64(time.Second)))
				if wait := due.Sub(c.begun); wait > 0 {
					time.Sleep(wait)
					c.begun = time.Now() // waking up late is not the edge's
				} else {
					c.begun = due
				}
				if ctx.Err() != nil {
					return nil
				}
			}
			return m.request(buf, conn, n)
		},
		Got: func(conn, n int, _ load.Response) {
			c := &m.conns[conn]
			_ = c.latency[kindOf(conn, n)].RecordValue(max(time.Since(c.begun).Microseconds(), 1))
		},
	})
	if err != nil {
		m.b.Fatal(err)
	}
	if report.Errors > 0 || len(report.Answers) != 1 || report.Answers[http.StatusCreated] == 0 {
		m.b.Fatalf("not every answer was a 201: %v", report)
	}
	return report
}

func (m *mix) request(buf []byte, conn, n int) []byte {
	if kindOf(conn, n) == reserves {
		return m.driver.request(buf, m.sku, conn, n)
	}
	token := m.tokens[(n*connections+conn+1)%len(m.tokens)]
	key := strconv.Itoa(m.runs) + "-" + strconv.Itoa(conn) + "-" + strconv.Itoa(n)
	return load.AppendPost(buf, "/v1/baskets", token, key, m.basket)
}

// p99 returns the 99th percentile of the last run, in ms.
func (m *mix) p99(kind int) float64 {
	all := hdrhistogram.New(1, 60_000_000, 3)
	for i := range m.conns {
		all.Merge(m.conns[i].latency[kind])
	}
	return float64(all.ValueAtQuantile(99)) / 1e3
}
