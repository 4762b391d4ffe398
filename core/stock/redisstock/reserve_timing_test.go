package redisstock_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/rueidis"

	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// BenchmarkReserve measures what an accepted reservation costs: Redis' CPU by its own account, which
// is far steadier than throughput, and reservations per second.
//
//	go test -run '^$' -bench BenchmarkReserve -benchtime 500000x ./core/stock/redisstock
func BenchmarkReserve(b *testing.B) {
	for _, c := range []struct {
		name               string
		skus, limit, width int
	}{
		{"hot_limit/128", 1, 10, 128},
		{"hot_limit/64", 1, 10, 64},
		{"hot_limit/1", 1, 10, 1},
		{"hot/128", 1, 0, 128},
		{"million_skus/128", 1_000_000, 0, 128},
		{"million_skus_limit/128", 1_000_000, 10, 128},
	} {
		b.Run(c.name, func(b *testing.B) {
			bench := newBench(b, c.skus, c.limit)
			bench.run(b, c.width)
		})
	}
}

const benchPartitions = 16

// bench is a server with stock.
type bench struct {
	client rueidis.Client
	store  *redisstock.Store
	cells  [benchPartitions][]stock.Cell
	next   atomic.Int64
}

func newBench(b *testing.B, skus, limit int) *bench {
	b.Helper()
	// A rewrite of the append-only file, which a young server makes often, would compete for the cores.
	server := servicetest.RedisWith(b, local.RedisOptions{Extra: []string{"auto-aof-rewrite-percentage 0"}})
	client := connect(b, server.Addr)
	cfg := openConfig()
	cfg.Partitions = benchPartitions
	report, err := redisstock.Open(b.Context(), client, cfg)
	if err != nil {
		b.Fatal(err)
	}
	store, err := redisstock.New(client, redisstock.Config{
		Partitions: benchPartitions, CallTimeout: 30e9, OutboxEntriesMax: 1 << 40,
	})
	if err != nil {
		b.Fatal(err)
	}
	store.Trust(report.Marks)
	bench := &bench{client: client, store: store}
	for sku := 1; sku <= skus; sku++ {
		cell := stock.Cell{SKU: int64(sku)}
		p := cell.Partition(benchPartitions)
		bench.cells[p] = append(bench.cells[p], cell)
	}
	bench.load(b, limit)
	return bench
}

// load creates the cells and drops the outbox entries about them.
func (f *bench) load(b *testing.B, limit int) {
	b.Helper()
	for p, cells := range f.cells {
		for at := 0; at < len(cells); at += stock.VectorMax {
			v := &stock.Vector{Op: stock.OpAdjust, Partition: p}
			for _, cell := range cells[at:min(len(cells), at+stock.VectorMax)] {
				v.Requests = append(v.Requests, stock.Request{
					ID: f.id(p), Cell: cell, User: 1,
					Adjustment: &stock.Adjustment{
						Kind: stock.AdjustPlain, Create: true, Delta: 1_000_000_000, Reason: "bench",
						Settings: stock.Settings{Limit: int64(limit), Hold: stock.HoldDefault},
					},
				})
			}
			if f.store.Do(b.Context(), v); v.Err != nil {
				b.Fatal(v.Err)
			}
		}
		err := f.client.Do(b.Context(), f.client.B().Unlink().Key(redisstock.OutboxKey(p)).Build()).Error()
		if err != nil {
			b.Fatal(err)
		}
	}
}

// id is a new reservation id of a partition.
func (f *bench) id(partition int) stock.ReservationID {
	var id stock.ReservationID
	binary.BigEndian.PutUint16(id[:], uint16(partition))
	n := uint64(f.next.Add(1))
	binary.BigEndian.PutUint64(id[2:], n*0x9E3779B97F4A7C15) // spread as a hash would be
	binary.BigEndian.PutUint32(id[10:], uint32(n>>8)*0x85EBCA6B)
	binary.BigEndian.PutUint16(id[14:], uint16(n))
	return id
}

// vector is a vector of new reserves, over neighbouring cells of one partition.
func (f *bench) vector(round, width int) *stock.Vector {
	p := round % benchPartitions
	for len(f.cells[p]) == 0 {
		p = (p + 1) % benchPartitions
	}
	v := &stock.Vector{Op: stock.OpReserve, Partition: p, Requests: make([]stock.Request, width)}
	for i := range v.Requests {
		user := f.next.Load()
		v.Requests[i] = stock.Request{
			ID: f.id(p), Cell: f.cells[p][(round/benchPartitions*width+i)%len(f.cells[p])],
			User: user, Quantity: 1, Fingerprint: stock.FingerprintOf(1),
		}
	}
	return v
}

// run reserves b.N units by vectors of a width, four calls in flight.
func (f *bench) run(b *testing.B, width int) {
	b.Helper()
	const inFlight = 4
	var round atomic.Int64
	rounds := int64((b.N + width - 1) / width)
	call := func() {
		for r := round.Add(1); r <= rounds; r = round.Add(1) {
			v := f.vector(int(r), width)
			f.store.Do(context.Background(), v)
			if v.Err != nil {
				b.Error(v.Err)
				return
			}
			for i := range v.Outcomes {
				if v.Outcomes[i].Verdict != stock.VerdictOK {
					b.Errorf("verdict %v", v.Outcomes[i].Verdict)
					return
				}
			}
		}
	}
	f.measure(b, int(rounds)*width, func() {
		var callers sync.WaitGroup
		for range inFlight {
			callers.Go(call)
		}
		callers.Wait()
	})
}

// measure reports what work, of so many accepted requests, costs each.
func (f *bench) measure(b *testing.B, accepted int, work func()) {
	b.Helper()
	before := f.cpuMicroseconds(b)
	b.ReportAllocs()
	b.ResetTimer()
	work()
	b.StopTimer()
	b.ReportMetric((f.cpuMicroseconds(b)-before)/float64(accepted), "redis-us/accepted")
	b.ReportMetric(float64(accepted)/b.Elapsed().Seconds(), "accepted/s")
}

// cpuMicroseconds is the CPU time that Redis' main thread has used so far.
func (f *bench) cpuMicroseconds(b *testing.B) float64 {
	b.Helper()
	fields := f.info(b, "cpu")
	total := 0.0
	for _, name := range []string{"used_cpu_user_main_thread", "used_cpu_sys_main_thread"} {
		seconds, err := strconv.ParseFloat(fields[name], 64)
		if err != nil {
			b.Fatal(err)
		}
		total += seconds * 1e6
	}
	return total
}

func (f *bench) info(b *testing.B, section string) map[string]string {
	b.Helper()
	text, err := f.client.Do(b.Context(), f.client.B().Info().Section(section).Build()).ToString()
	if err != nil {
		b.Fatal(err)
	}
	fields := map[string]string{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok {
			fields[name] = value
		}
	}
	if len(fields) == 0 {
		b.Fatal(fmt.Errorf("no section %q", section))
	}
	return fields
}
