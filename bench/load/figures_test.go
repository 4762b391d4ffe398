package load

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fasthttp"

	"sluice/bench/report"
)

// Rates are those while shoppers came. What comes after the last of them is counted, and is no part of a rate.
func TestRatesAreThoseWhileShoppersCame(t *testing.T) {
	t.Parallel()
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) {
		time.Sleep(600 * time.Millisecond)
		accept(ctx)
	}))
	v.Connections = 100
	got := crowd(100, time.Second).Run(t.Context(), v)
	for _, o := range []report.Outcome{got.Outcomes[0], got.Shoppers[0]} {
		if o.Count != 100 || o.PerSecond > 41 {
			t.Errorf("%d accepted, %v per second: the answers of 60 came after the second", o.Count, o.PerSecond)
		}
	}
}

// Seconds add up to the outcomes: they have neither confirmations nor what the warm-up left, and none is lost if whoever
// watches them is slow.
func TestSecondsAddUpToTheOutcomes(t *testing.T) {
	t.Parallel()
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) {
		if strings.Contains(string(ctx.PostBody()), `"sku_id":"2"`) {
			time.Sleep(1200 * time.Millisecond) // the warm-up ends before its answers come
		}
		accept(ctx)
	}))
	v.Connections = 500
	slow := true
	v.Watch = func(report.Second, report.Latency) {
		if slow {
			time.Sleep(2500 * time.Millisecond)
		}
		slow = false
	}
	c := crowd(100, 3*time.Second)
	c.WarmUp, c.Confirm, c.SettleAfter = time.Second, 1, 100*time.Millisecond
	got := c.Run(t.Context(), v)
	var planned, sent, answered, warm int64
	for n, s := range got.Seconds {
		if s.Second != n || s.WarmUp != (n == 0) {
			t.Errorf("second %d: %+v", n, s)
		}
		if n > 0 && s.Outcomes[report.Accepted] > 0 && (s.P99MS == 0 || s.P50MS > 1000) {
			t.Errorf("second %d: p50 %v ms, p99 %v ms", n, s.P50MS, s.P99MS)
		}
		if s.WarmUp {
			warm += s.Outcomes[report.Accepted]
			continue
		}
		planned, sent, answered = planned+s.Planned, sent+s.Sent, answered+s.Outcomes[report.Accepted]
	}
	if planned != 300 || sent != 300 || answered != 300 || warm != 0 || got.Outcomes[0].Count != 300 || got.Settles[0].Outcomes[0].Count != 300 {
		t.Errorf("%d planned, %d sent, %d answered, %d in the warm-up; %d accepted", planned, sent, answered, warm, got.Outcomes[0].Count)
	}
}

// What the warm-up has not sent by its end is not sent: those who come then do not wait behind it.
func TestNobodyWaitsBehindTheWarmUp(t *testing.T) {
	t.Parallel()
	var warm atomic.Int64
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) {
		if strings.Contains(string(ctx.PostBody()), `"sku_id":"2"`) {
			warm.Add(1)
		}
		time.Sleep(100 * time.Millisecond)
		accept(ctx)
	}))
	v.Connections = 4 // 40 per second
	c := crowd(100, time.Second)
	c.WarmUp = 3 * time.Second
	got := c.Run(t.Context(), v)
	if n := warm.Load(); n > 125 || n == 0 {
		t.Errorf("%d requests of the warm-up, which has time for 120", n)
	}
	if o := got.Outcomes[0]; o.Count != 100 || o.PerSecond < 20 {
		t.Errorf("%d accepted, %v of them per second", o.Count, o.PerSecond)
	}
}

// A shopper's time ends with the last answer, and has the waits before repetitions in it.
func TestAShoppersTimeHasHisRepetitionsInIt(t *testing.T) {
	t.Parallel()
	var seen sync.Map
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) {
		times, _ := seen.LoadOrStore(string(ctx.Request.Header.Peek("Idempotency-Key")), new(atomic.Int32))
		if times.(*atomic.Int32).Add(1) < 3 {
			refuse(ctx, 503, "overloaded", true)
			return
		}
		accept(ctx)
	}))
	c := crowd(100, time.Second)
	c.Retries, c.WarmUp = 2, time.Second
	got := c.Run(t.Context(), v)
	if diff := cmp.Diff(map[report.Word]int64{report.Accepted: 100, report.Shed: 200}, counts(got.Outcomes)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[report.Word]int64{report.Accepted: 100}, counts(got.Shoppers)); diff != "" {
		t.Error(diff)
	}
	if one, all := got.Outcomes[0].Latency, got.Shoppers[0].Latency; all.P50MS < 300 || all.P50MS < one.P50MS+300 {
		t.Errorf("p50 of one answer %v ms, of a shopper %v ms: there were pauses of 0.1 and 0.2 s at least", one.P50MS, all.P50MS)
	}
}

// Shoppers who were turned away together, and told to come back in a second, do not come back together, nor before.
func TestRepetitionsDoNotComeTogether(t *testing.T) {
	t.Parallel()
	for repeat, while := range map[int]time.Duration{1: backoff / 2, 2: backoff, 20: pauseMax / 2} {
		earliest, latest := time.Hour, time.Duration(0)
		for range 1000 {
			pause := pauseBefore(repeat, time.Second)
			earliest, latest = min(earliest, pause), max(latest, pause)
		}
		if earliest < time.Second+while || latest >= time.Second+2*while || latest-earliest < while/2 {
			t.Errorf("repetition %d comes after %v to %v: want %v to %v", repeat, earliest, latest, time.Second+while, time.Second+2*while)
		}
	}
}

// Who has lost patience does not come again. That is no fault of the generator.
func TestWhoHasLostPatienceDoesNotComeAgain(t *testing.T) {
	t.Parallel()
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) {
		ctx.Response.Header.Set("Retry-After", "30")
		refuse(ctx, 503, "overloaded", true)
	}))
	c := crowd(100, time.Second)
	c.Impatient, c.Patience, c.Retries = 1, 20*time.Second, 3
	got := c.Run(t.Context(), v)
	if g := got.Generator; g.Planned != 100 || g.Sent != 100 || g.Unsent != 0 || got.Shoppers[indexOf(report.Shed)].Count != 100 {
		t.Errorf("%+v, %+v", g, counts(got.Shoppers))
	}
}

// What is not sent because the run ends is counted as that, and makes nobody the bottleneck.
func TestWhatTheEndLeavesIsToldApart(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	var n atomic.Int64
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) {
		if n.Add(1) == 50 {
			interrupt()
		}
		ctx.Response.Header.Set("Retry-After", "30")
		refuse(ctx, 503, "overloaded", true)
	}))
	c := crowd(200, time.Hour)
	c.Retries = 1
	g := c.Run(ctx, v).Generator
	if g.Unsent < 50 || g.UnsentWhy["end"] != g.Unsent || g.Planned != g.Sent+g.Unsent || g.Bottleneck {
		t.Errorf("%+v", g)
	}
}

// A connection that this machine cannot open is the generator's fault. No outcome of the target counts it.
func TestWhatThisMachineLacksIsNoFaultOfTheTarget(t *testing.T) {
	t.Parallel()
	for lack, want := range map[error]report.Lack{syscall.EMFILE: report.LackFiles, syscall.ENFILE: report.LackFiles, syscall.EADDRNOTAVAIL: report.LackPorts} {
		v := visitTo(t, serve(t, accept))
		var n atomic.Int64
		v.Target.dialer.Control = func(string, string, syscall.RawConn) error {
			if n.Add(1) > 1 {
				return lack
			}
			return nil
		}
		c := crowd(100, time.Second)
		c.Retries = 3
		got := c.Run(t.Context(), v)
		g := got.Generator
		if got.Outcomes[indexOf(report.Refused)].Count != 0 || g.UnsentWhy[want] != g.Unsent || g.Planned != 100 || g.Sent != 100-g.Unsent {
			t.Errorf("%v: %+v, %+v", lack, counts(got.Outcomes), g)
		}
		if g.Unsent > 0 && !g.Bottleneck {
			t.Errorf("%v: %+v", lack, g)
		}
	}
}

// The generator's processor time is that of the time in which shoppers came, and no wait for late answers dilutes it.
func TestTheGeneratorsCPUIsNotDiluted(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) {
		if n.Add(1) == 100 {
			time.Sleep(3 * time.Second)
		}
		accept(ctx)
	}))
	o := newOpen(crowd(100, time.Second), v)
	o.run(t.Context())
	if rest := time.Duration(o.ended.Load()) - o.meter.to; rest < 2*time.Second || o.meter.to <= o.meter.from {
		t.Errorf("measured from %v to %v, of a run until %v", o.meter.from, o.meter.to, time.Duration(o.ended.Load()))
	}
	if m := (meter{from: time.Second, to: 2 * time.Second, used: time.Duration(runtime.GOMAXPROCS(0)) * time.Second / 2}); m.share() != 0.5 {
		t.Errorf("half of all cores is %v", m.share())
	}
	if m := (meter{from: time.Second, to: time.Second + time.Millisecond, used: time.Hour}); m.share() != 0 {
		t.Errorf("a millisecond tells of %v", m.share())
	}
}
