package load

import (
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fasthttp"

	"sluice/bench/report"
)

// hangUp ends a connection without an answer.
func hangUp(ctx *fasthttp.RequestCtx) {
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(c net.Conn) { _ = c.Close() })
}

// A request without an answer may have had its effect. A repetition that is turned away tells nothing of it: the unit stays
// unknown, and is that of the SKU that was asked for.
func TestARepetitionThatIsTurnedAwayLeavesTheFirstUnknown(t *testing.T) {
	t.Parallel()
	var seen sync.Map
	var lost [2]atomic.Int64
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) {
		if _, again := seen.LoadOrStore(string(ctx.Request.Header.Peek("Idempotency-Key")), true); again {
			refuse(ctx, 503, "overloaded", true)
			return
		}
		sku := 0
		if strings.Contains(string(ctx.PostBody()), `"sku_id":"2"`) {
			sku = 1
		}
		lost[sku].Add(1)
		hangUp(ctx)
	}))
	c := crowd(100, time.Second)
	c.SKUs, c.Choice, c.Retries = 2, Uniform, 1
	got := c.Run(t.Context(), v)
	want := []Units{{Unknown: lost[0].Load()}, {Unknown: lost[1].Load()}, {}}
	if diff := cmp.Diff(want, got.Units); diff != "" || lost[0].Load()*lost[1].Load() == 0 {
		t.Error(diff)
	}
}

// A repetition is sent at its time, and not when the next shopper comes.
func TestARepetitionDoesNotWaitForTheNextShopper(t *testing.T) {
	t.Parallel()
	var seen sync.Map
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) {
		ctx.SetConnectionClose() // the server would not wait for the next one
		if _, again := seen.LoadOrStore(string(ctx.Request.Header.Peek("Idempotency-Key")), true); !again {
			refuse(ctx, 503, "overloaded", true)
			return
		}
		accept(ctx)
	}))
	c := crowd(0.5, 4*time.Second) // they come after 1 and 3 seconds, and again 0.1 to 0.2 s later
	c.Retries = 1
	got := c.Run(t.Context(), v)
	if g := got.Generator; g.Sent != 4 || g.WorstMS > 1500 {
		t.Errorf("%+v", g)
	}
}

// Who pays does so a while after the answer, however long that took.
func TestSettlingComesAWhileAfterTheAnswer(t *testing.T) {
	t.Parallel()
	const slow, while = 400 * time.Millisecond, 300 * time.Millisecond
	var ids atomic.Int64
	var answered sync.Map // by id
	var early, settled atomic.Int64
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) {
		path := string(ctx.Path())
		if path == "/v1/reservations" {
			time.Sleep(slow)
			id := strconv.FormatInt(ids.Add(1), 10)
			answered.Store(id, time.Now())
			ctx.SetStatusCode(201)
			ctx.SetBodyString(`{"reservation_id":"` + id + `","state":"held"}`)
			return
		}
		settled.Add(1)
		if at, _ := answered.Load(strings.Split(path, "/")[3]); time.Since(at.(time.Time)) < while {
			early.Add(1)
		}
		accept(ctx)
	}))
	c := crowd(50, time.Second)
	c.Confirm, c.SettleAfter = 1, while
	got := c.Run(t.Context(), v)
	if early.Load() != 0 || settled.Load() != 50 || counts(got.Settles[0].Outcomes)[report.Accepted] != 50 {
		t.Errorf("%d settled, %d of them before their time; %+v", settled.Load(), early.Load(), counts(got.Settles[0].Outcomes))
	}
}

// A server may close a connection that was idle for long just as a request is sent, and then nobody knows what became of it.
// So a worker takes a fresh one.
func TestConnectionsThatWereIdleForLongAreLeft(t *testing.T) {
	t.Parallel()
	var connections atomic.Int64
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) {
		if ctx.ConnRequestNum() == 1 {
			connections.Add(1)
		}
		accept(ctx)
	}))
	o := newOpen(crowd(1, time.Second), v)
	o.hard = t.Context()
	o.start = time.Now().Add(-time.Hour)
	w := &openWorker{open: o, shard: o.record.shards[0]}
	defer w.hangUp()
	ask := func(name string, want int64) {
		t.Helper()
		a, unsent := w.exchange(&request{visit: &visit{}, planned: o.since()}, time.Hour)
		if n := connections.Load(); a.word != report.Accepted || unsent != "" || n != want {
			t.Errorf("%s: %+v, %d connections so far, want %d", name, a, n, want)
		}
	}
	ask("the first", 1)
	ask("at once", 1)
	w.used -= idleMax / 2
	ask("soon", 1)
	w.used -= idleMax + time.Second
	ask("after long", 2)
}

// A run is cut short for a target that is silent for ten seconds, and for no other: neither one that answers, nor one of whom
// nobody wants anything for that long.
func TestATargetThatAnswersIsNotGone(t *testing.T) {
	t.Parallel()
	var asking sync.WaitGroup
	for name, curve := range map[string]Curve{
		"answers all the time": Constant(20, (silenceMax+2)*time.Second),
		"has nothing to answer": {
			{0, 20}, {time.Second, 20}, {time.Second, 0}, {(silenceMax + 2) * time.Second, 0}, {(silenceMax + 2) * time.Second, 20}, {(silenceMax + 3) * time.Second, 20},
		},
	} {
		asking.Go(func() {
			c := crowd(1, time.Second)
			c.Curve = curve
			got := c.Run(t.Context(), visitTo(t, serve(t, accept)))
			if got.Cut != nil || got.Outcomes[0].Count < 39 {
				t.Errorf("%s: %+v, %d accepted", name, got.Cut, got.Outcomes[0].Count)
			}
		})
	}
	asking.Wait()
}
