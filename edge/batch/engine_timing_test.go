package batch_test

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/redis/rueidis"

	"sluice/core/stock"
	"sluice/edge/batch"
	"sluice/edge/cells"
	"sluice/edge/internal/storetest"
)

const timingPartitions = 64

// BenchmarkEngine compares the batcher with the same script called with one request per EVALSHA: 64
// of them in each pipeline, and one at a time on each of 64 connections. The ways take turns on one
// server, so that what else the machine does falls on all of them. Redis' CPU per accepted
// reservation is far steadier than throughput.
//
//	go test -run '^$' -bench BenchmarkEngine -benchtime 10x ./edge/batch
func BenchmarkEngine(b *testing.B) {
	for _, c := range []struct {
		name string
		skus int
	}{{"one_hot_sku", 1}, {"million_skus", 1_000_000}} {
		b.Run(c.name, func(b *testing.B) {
			e := newEngine(b, c.skus)
			ways := []*way{
				{name: "batcher_256", run: func(n int) { e.batched(256, n) }},
				{name: "batcher_1024", run: func(n int) { e.batched(1024, n) }},
				{name: "pipelined_64", run: func(n int) { e.pipelined(64, n/4) }},
				{name: "unpipelined", run: func(n int) { e.unpipelined(64, n/4) }},
			}
			for range b.N {
				for _, w := range ways {
					w.turn(e, 100_000)
				}
			}
			for _, w := range ways {
				b.ReportMetric(w.perSecond(), w.name+"/s")
				b.ReportMetric(w.each(w.cpu), w.name+"-redis-us")
				b.ReportMetric(w.each(w.own), w.name+"-own-us")
			}
			for _, w := range ways[:2] {
				b.ReportMetric(w.perSecond()/ways[2].perSecond(), w.name+"/pipelined")
				b.ReportMetric(w.perSecond()/ways[3].perSecond(), w.name+"/unpipelined")
			}
		})
	}
}

// way is one way to reserve, and what it took so far.
type way struct {
	name     string
	run      func(n int)
	accepted int64
	took     time.Duration
	cpu      time.Duration // of Redis
	own      time.Duration // of this process
}

func (w *way) turn(e *engine, n int) {
	before, cpu, own, start := e.accepted.Load(), e.server.CPU(e.b), ownCPU(), time.Now()
	w.run(n)
	w.took += time.Since(start)
	w.own += ownCPU() - own
	w.cpu += e.server.CPU(e.b) - cpu
	w.accepted += e.accepted.Load() - before
	e.dropOutbox()
}

func (w *way) perSecond() float64 { return float64(w.accepted) / w.took.Seconds() }

// each is the part of a time in us that fell to one accepted reservation.
func (w *way) each(total time.Duration) float64 {
	return float64(total.Microseconds()) / float64(w.accepted)
}

// engine is a server with stock and the ways to it.
type engine struct {
	b        *testing.B
	server   *storetest.Server
	single   stock.Store // each of its calls has a connection of its own
	batcher  *batch.Batcher
	cells    []stock.Cell
	next     atomic.Int64
	accepted atomic.Int64
}

func newEngine(b *testing.B, skus int) *engine {
	b.Helper()
	e := &engine{b: b, server: storetest.Start(b, timingPartitions)}
	e.single, _ = e.server.Connect(b, timingPartitions, func(o *rueidis.ClientOption) {
		o.DisableAutoPipelining = true
		o.BlockingPoolSize = 64
	})
	for sku := range skus {
		e.cells = append(e.cells, stock.Cell{SKU: int64(1 + sku)})
	}
	storetest.Load(b, e.server, 1_000_000_000, stock.Settings{Limit: 10}, e.cells...)
	e.dropOutbox()
	known := cells.New(e.server, cells.Config{CellsMax: 1 << 20}, metrics.NewSet())
	e.batcher = batch.New(e.server, known, nothing{}, batch.Config{CallTimeout: 20 * time.Second, ShedAfter: time.Minute}, metrics.NewSet())
	b.Cleanup(func() {
		if err := e.batcher.Drain(context.Background()); err != nil {
			b.Error(err)
		}
		known.Close()
	})
	return e
}

// request is a new request of a new user.
func (e *engine) request() stock.Request {
	n := e.next.Add(1)
	cell := e.cells[int(uint64(n)*0x9E3779B97F4A7C15%uint64(len(e.cells)))]
	r := stock.Request{Cell: cell, User: n, Quantity: 1, Fingerprint: 1}
	binary.BigEndian.PutUint16(r.ID[:], uint16(cell.Partition(timingPartitions)))
	binary.BigEndian.PutUint64(r.ID[2:], uint64(n)*0x9E3779B97F4A7C15)
	binary.BigEndian.PutUint32(r.ID[10:], uint32(n))
	return r
}

// share has so many goroutines do n requests between them.
func (e *engine) share(goroutines, n int, work func(n int)) {
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() { work(n / goroutines) })
	}
	wg.Wait()
}

func (e *engine) batched(goroutines, n int) {
	e.share(goroutines, n, func(n int) {
		for range n {
			if res, err := e.batcher.Do(stock.OpReserve, e.request()); err != nil || res.Verdict != stock.VerdictOK {
				e.b.Error(res.Verdict, err)
				return
			}
		}
		e.accepted.Add(int64(n))
	})
}

// pipelined sends pipelines of so many calls, two at a time so that Redis never waits for the next.
func (e *engine) pipelined(width, n int) {
	e.share(2, n, func(n int) {
		vectors := make([]*stock.Vector, width)
		for range n / width {
			for i := range vectors {
				r := e.request()
				vectors[i] = &stock.Vector{Op: stock.OpReserve, Partition: r.ID.Partition(), Requests: []stock.Request{r}}
			}
			e.server.Do(context.Background(), vectors...)
			for _, v := range vectors {
				e.check(v)
			}
		}
	})
}

func (e *engine) unpipelined(connections, n int) {
	e.share(connections, n, func(n int) {
		for range n {
			r := e.request()
			v := &stock.Vector{Op: stock.OpReserve, Partition: r.ID.Partition(), Requests: []stock.Request{r}}
			e.single.Do(context.Background(), v)
			e.check(v)
		}
	})
}

func (e *engine) check(v *stock.Vector) {
	if v.Err != nil || v.Outcomes[0].Verdict != stock.VerdictOK {
		e.b.Error(v.Outcomes, v.Err)
		return
	}
	e.accepted.Add(1)
}

// dropOutbox does the persister's part, so that memory does not run out.
func (e *engine) dropOutbox() {
	e.b.Helper()
	ctx := context.Background()
	stats, err := e.server.OutboxStats(ctx)
	if err != nil {
		e.b.Fatal(err)
	}
	for p, stat := range stats {
		for left := stat.Entries; left > 0; {
			entries, err := e.server.OutboxAfter(ctx, p, "", 256)
			if err != nil {
				e.b.Fatal(err)
			}
			ids := make([]string, len(entries))
			for i := range entries {
				ids[i] = entries[i].ID
			}
			deleted, err := e.server.OutboxDelete(ctx, p, ids)
			if err != nil {
				e.b.Fatal(err)
			}
			left -= deleted
		}
	}
}

// ownCPU is the CPU time that this process has used so far.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// nothing publishes nothing.
type nothing struct{}

func (nothing) Publish(stock.Entry) bool                  { return true }
func (nothing) PublishWait(stock.Entry, func(error)) bool { return false }
