package expiry

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// BenchmarkTwoSweepers lets 10,000 reservations a second become due for three seconds, and tells how
// late their units came back. It fails if one was later than the promise.
func BenchmarkTwoSweepers(b *testing.B) {
	const perSecond, seconds = 10_000, 3
	for name, skus := range map[string]int64{"one hot SKU": 1, "a thousand SKUs": 1000} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				late, cpu := expireSteadily(b, skus, perSecond, seconds)
				slices.Sort(late)
				if last := late[len(late)-1]; last > promise {
					b.Errorf("units came back %v after their deadline", last)
				}
				for _, q := range []float64{0.5, 0.99, 1} {
					b.ReportMetric(late[int(q*float64(len(late)-1))].Seconds()*1000, fmt.Sprintf("late-ms-p%g", 100*q))
				}
				b.ReportMetric(float64(cpu.Microseconds())/float64(len(late)), "redis-us/expiry")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// expireSteadily reserves at a steady rate and returns how late each reservation expired, and the CPU
// time that Redis spent on it while nothing else was going on but the sweeps.
func expireSteadily(b *testing.B, skus int64, perSecond, seconds int) ([]time.Duration, time.Duration) {
	b.Helper()
	const ticks, hold = 100, 10 * time.Second // a tick is 10 ms
	addr, store, client := openRedis(b)
	for sku := int64(1); sku <= skus; sku++ {
		load(b, store, stock.Cell{SKU: sku}, stock.UnitsMax/2, hold)
	}
	tick := time.NewTicker(time.Second / ticks)
	defer tick.Stop()
	user, n := int64(0), perSecond*seconds
	begin := time.Now()
	for range ticks * seconds {
		<-tick.C
		var requests []stock.Request
		for range perSecond / ticks {
			user++
			cell := stock.Cell{SKU: 1 + user%skus}
			id := stock.Identity{User: user, Route: stock.OpReserve, Cell: cell}.ID(store.Partitions())
			requests = append(requests, stock.Request{ID: id, Cell: cell, User: user, Quantity: 1})
		}
		for _, d := range stock.DoAll(b.Context(), store, stock.OpReserve, requests) {
			if d.Err != nil || d.Verdict != stock.VerdictOK {
				b.Fatalf("reserve: %v, %v", d.Verdict, d.Err)
			}
		}
	}
	if took := time.Since(begin); took > hold-time.Second {
		b.Fatalf("reserving took %v: too slow a machine to tell expiry from it", took)
	}

	seen := newJournal()
	for range 2 {
		own, _ := connect(b, addr)
		start(b, &Sweeper{Store: own, Publish: seen.publish})
	}
	before := redisCPU(b, client)
	seen.wait(b, n)
	cpu := redisCPU(b, client) - before
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if len(seen.late) != n || seen.doubles != 0 || seen.broken != nil {
		b.Fatalf("%d expired, %d of them twice, want %d; error %v", len(seen.late), seen.doubles, n, seen.broken)
	}
	var late []time.Duration
	for _, d := range seen.late {
		late = append(late, d)
	}
	return late, cpu
}

// redisCPU is the processor time that Redis has used.
func redisCPU(b *testing.B, client rueidis.Client) time.Duration {
	b.Helper()
	info, err := client.Do(b.Context(), client.B().Info().Section("cpu").Build()).ToString()
	if err != nil {
		b.Fatal(err)
	}
	total := 0.0
	for line := range strings.Lines(info) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name == "used_cpu_user" || name == "used_cpu_sys" {
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.Fatal(err)
			}
			total += seconds
		}
	}
	return time.Duration(total * float64(time.Second))
}
