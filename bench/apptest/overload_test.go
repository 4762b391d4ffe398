package apptest

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"sluice/bench/load"
	"sluice/bench/report"
	"sluice/bench/stack"
	"sluice/core/lifecycle"
)

const cappedBytes = 50_000 // per second from the edge to Redis

// crowds lets one crowd come after the other: two at once would make each other's answers late.
var crowds sync.Mutex

// TestOverload offers an edge five times what its Redis can carry. It serves 0.9 of its best, refuses the others at once,
// settles what was reserved, and is back when the crowd has gone.
//
// The capacity is that of the line to Redis: a proxy lets so many bytes per second pass, and each request of a vector takes some.
// So it is the same however busy the machine is, and larger vectors carry more, as with a Redis that is short of CPU.
func TestOverload(t *testing.T) {
	t.Parallel()
	crowds.Lock()
	defer crowds.Unlock()
	const sku = 1001
	s := stack.New(t, "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_RATE_PER_USER=0",
		"SLUICE_PARTITIONS=4") // what an edge sends for each of them by itself takes part of the line
	s.LoadCSV("sku_id,quantity,limit", fmt.Sprintf("%d,100000000,", sku))
	edge := s.StartEdge("SLUICE_REDIS_ADDR="+throttled(t, s.Redis.Addr), "SLUICE_VECTOR_MAX=16",
		"SLUICE_REDIS_CALL_TIMEOUT=3s") // calls wait behind each other in the line
	offer := func(perSecond float64, lasting time.Duration) offered {
		return offer(t, s, edge, sku, perSecond, lasting)
	}

	carried := offer(1000, 3*time.Second).goodput // more come than the line carries
	best := max(offer(1.2*carried, 5*time.Second).goodput, offer(0.9*carried, 5*time.Second).goodput)
	if best < 100 {
		t.Fatalf("the best is %.0f reservations per second: the line carries too little", best)
	}
	nothing := nothingAsked(t, edge)
	over := offer(5*best, 15*time.Second)
	idle := nothing()
	t.Logf("best %.0f/s; at five times that %v; 99 of 100 answers that cost nothing within %v", best, over, idle)
	if over.goodput < 0.9*best {
		t.Errorf("at five times the load %.0f reservations per second in time, want 0.9 of %.0f", over.goodput, best)
	}
	if slow := over.refusedP99 - idle; slow > 50*time.Millisecond { // a machine that is late with everything is late with both
		t.Errorf("99 of 100 refusals within %v, %v more than an answer that costs nothing", over.refusedP99, slow)
	}
	if over.settled == 0 || over.unsettled > 0 {
		t.Errorf("%d confirmed, %d not", over.settled, over.unsettled)
	}

	gone := time.Now()
	for {
		back := offer(0.9*best, 2*time.Second)
		if back.goodput >= 0.95*0.9*best {
			t.Logf("back after %v: %v", time.Since(gone).Round(100*time.Millisecond), back)
			return
		}
		if time.Since(gone) > time.Minute {
			t.Fatalf("a minute after the crowd: %v, want 0.95 of the %.0f/s that come", back, 0.9*best)
		}
	}
}

// offered is what became of an offer.
type offered struct {
	goodput            float64 // reservations per second within a second
	outcomes           map[report.Word]int64
	acceptedP50        time.Duration
	acceptedP99        time.Duration
	refusedP99         time.Duration
	settled, unsettled int64
}

func (o offered) String() string {
	return fmt.Sprintf("%.0f/s in time (%v), accepted p50 %v, refused p99 %v, %d confirmed", o.goodput, o.outcomes, o.acceptedP50, o.refusedP99, o.settled)
}

// offer has so many shoppers per second come for a time, whatever becomes of those before them. They wait for a second, and
// every tenth who gets something has it confirmed.
func offer(t testing.TB, s *stack.Stack, edge *stack.Process, sku int64, perSecond float64, lasting time.Duration) offered {
	t.Helper()
	crowd := load.Crowd{
		Curve: load.Constant(perSecond, lasting), Evenly: true, Users: 20_000, SKUs: 1, Choice: load.Hot,
		Impatient: 1, Patience: time.Second, BotTries: 1, Confirm: 0.1,
	}
	visited := crowd.Run(t.Context(), &load.Visit{
		Target: one(load.NewTarget("http://"+edge.Addr(), ""))(t), Run: fmt.Sprint(time.Now().UnixNano()), Connections: 4000, Timeout: 10 * time.Second,
		SKU:   func(int) int64 { return sku },
		Token: func(user int) string { return s.Token(int64(user)+1, "shopper") }, Service: s.Token(1, "service"),
	})
	o := offered{outcomes: map[report.Word]int64{}}
	for _, outcome := range visited.Outcomes {
		o.outcomes[outcome.Name] = outcome.Count
		switch outcome.Name {
		case report.Accepted:
			o.goodput = float64(outcome.Count) / lasting.Seconds()
			o.acceptedP50, o.acceptedP99 = inMS(outcome.Latency.P50MS), inMS(outcome.Latency.P99MS)
		case report.Shed:
			o.refusedP99 = inMS(outcome.Latency.P99MS)
		}
	}
	for _, settle := range visited.Settles {
		for _, outcome := range settle.Outcomes {
			if outcome.Name == report.Accepted {
				o.settled += outcome.Count
			} else {
				o.unsettled += outcome.Count
			}
		}
	}
	return o
}

func inMS(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// nothingAsked asks an edge for what it answers without any work, again and again. The returned function ends that, and
// returns within which time 99 of 100 answers came.
func nothingAsked(t *testing.T, edge *stack.Process) (end func() time.Duration) {
	t.Helper()
	c := one(load.Dial(edge.Addr(), 10*time.Second))(t)
	t.Cleanup(func() { _ = c.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	quantile := make(chan time.Duration, 1)
	go func() {
		took := report.NewHistogram()
		for lifecycle.Pause(ctx, 10*time.Millisecond) {
			asked := time.Now()
			if _, err := c.Do(load.AppendGet(nil, "/nothing", "")); err != nil {
				t.Error(err)
				break
			}
			report.Record(took, time.Since(asked))
		}
		quantile <- inMS(report.Quantile(took, 99))
	}()
	return func() time.Duration {
		cancel()
		return <-quantile
	}
}

// throttled is the address of a proxy before a server that lets so many bytes per second pass to it, over all connections.
func throttled(t *testing.T, server string) string {
	t.Helper()
	const piece = cappedBytes / 100
	line := rate.NewLimiter(cappedBytes, piece)
	listener := one((&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"))(t)
	ctx, cancel := context.WithCancel(context.Background())
	var ends sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		ends.Wait()
	})
	ends.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
			if err != nil {
				_ = near.Close()
				continue
			}
			closeBoth := func() { _, _ = near.Close(), far.Close() }
			stop := context.AfterFunc(ctx, closeBoth)
			ends.Go(func() {
				defer stop()
				defer closeBoth()
				buf := make([]byte, piece)
				for {
					n, err := near.Read(buf)
					if err != nil || line.WaitN(ctx, n) != nil {
						return
					}
					if _, err := far.Write(buf[:n]); err != nil {
						return
					}
				}
			})
			ends.Go(func() {
				defer closeBoth()
				_, _ = io.Copy(near, far)
			})
		}
	})
	return listener.Addr().String()
}
