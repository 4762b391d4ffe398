package load

import (
	"context"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fasthttp"
	"pgregory.net/rapid"

	"sluice/bench/report"
)

// crowd is a small one, all of whom want one SKU.
func crowd(rate float64, length time.Duration) *Crowd {
	return &Crowd{
		Curve: Constant(rate, length), Evenly: true, Users: 100, SKUs: 1, Choice: Hot, Patience: time.Minute, BotTries: 1,
	}
}

// visitTo visits a server on this machine.
func visitTo(t *testing.T, addr string) *Visit {
	t.Helper()
	target, err := NewTarget("http://"+addr, "")
	if err != nil {
		t.Fatal(err)
	}
	return &Visit{
		Target: target, Run: "t", Connections: 64, Timeout: 20 * time.Second, SKU: func(n int) int64 { return int64(n + 1) },
		Token: func(user int) string { return fmt.Sprint("user", user) }, Service: "service",
	}
}

// counts returns the outcomes that occurred.
func counts(outcomes []report.Outcome) map[report.Word]int64 {
	n := map[report.Word]int64{}
	for _, o := range outcomes {
		if o.Count > 0 {
			n[o.Name] = o.Count
		}
	}
	return n
}

func accept(ctx *fasthttp.RequestCtx) {
	ctx.SetStatusCode(201)
	ctx.SetBodyString(`{"reservation_id":"00ff","state":"held"}`)
}

func refuse(ctx *fasthttp.RequestCtx, status int, code string, retryable bool) {
	ctx.SetStatusCode(status)
	ctx.SetBodyString(fmt.Sprintf(`{"code":%q,"retryable":%v}`, code, retryable))
}

// A server stands still for a second. Whoever comes meanwhile waits until its end, and all of these waits must count, whether
// there are connections for all or for few: each of a closed loop's connections has one request under way then, and does
// not send those that would have waited too.
func TestAStallShowsInThePercentiles(t *testing.T) {
	t.Parallel()
	stalling := func() fasthttp.RequestHandler {
		var first sync.Once
		var begun time.Time
		return func(ctx *fasthttp.RequestCtx) {
			first.Do(func() { begun = time.Now() })
			if at := time.Since(begun); at > time.Second && at < 2*time.Second {
				time.Sleep(2*time.Second - at)
			}
			accept(ctx)
		}
	}
	const perSecond = 500
	for _, connections := range []int{16, 2 * perSecond} {
		v := visitTo(t, serve(t, stalling()))
		v.Connections = connections
		got := crowd(perSecond, 3*time.Second).Run(t.Context(), v)
		accepted := got.Outcomes[0]
		waits, err := accepted.Latency.Decode()
		if err != nil || accepted.Count != 3*perSecond {
			t.Fatalf("%d accepted, %v", accepted.Count, err)
		}
		for part := 0.05; part < 0.96; part += 0.1 { // who comes when so much of the stall is left waits as long at least
			var longer int64
			for _, bar := range waits.Distribution() {
				if float64(bar.From) >= part*1e6*0.99 {
					longer += bar.Count
				}
			}
			if want := int64((1-part)*perSecond) - 5; longer < want {
				t.Errorf("%d connections: %d waited for %.2f s or longer, want %d at least", connections, longer, part, want)
			}
		}
		g := got.Generator
		if want := min(connections, perSecond*8/10); g.Sent != 3*perSecond || g.Peak < want || g.Peak > connections {
			t.Errorf("%+v, want %d connections in use at least", g, want)
		}
		if connections == 16 && (g.Waited < 300 || g.WorstMS < 900) { // who came first in the stall and found no connection
			t.Errorf("%+v", g)
		}
		if len(got.Seconds) < 3 || max(got.Seconds[1].P99MS, got.Seconds[2].P99MS) < 500 {
			t.Errorf("%+v", got.Seconds)
		}
		if connections != 16 {
			continue
		}
		closed, err := Run(t.Context(), Plan{
			Addr: serve(t, stalling()), Connections: 16, Timeout: 20 * time.Second,
			Next: func(_, n int, buf []byte) []byte {
				if n == 2000 {
					return nil
				}
				time.Sleep(time.Millisecond)
				return AppendPost(buf, "/", "token", "key", "{}")
			},
		})
		if err != nil || closed.LatencyUS.ValueAtQuantile(90) > int64(accepted.Latency.P90MS*1000) {
			t.Errorf("a closed loop sees the stall as much as an open one does: %v, %v", closed, err)
		}
	}
}

// Every kind of answer counts as what it is, and repetitions have the key of the first request.
func TestOutcomesAreToldApart(t *testing.T) {
	t.Parallel()
	var seen sync.Map
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) {
		key := string(ctx.Request.Header.Peek("Idempotency-Key"))
		times, _ := seen.LoadOrStore(key, new(atomic.Int32))
		again := times.(*atomic.Int32).Add(1) > 1
		var n int
		_, _ = fmt.Sscanf(key, "t-%d-", &n)
		switch n % 8 {
		case 0:
			accept(ctx)
		case 1:
			ctx.Response.Header.Set("Idempotent-Replayed", "true")
			accept(ctx)
		case 2:
			refuse(ctx, 409, "sold_out", false)
		case 3:
			refuse(ctx, 409, "limit_reached", false)
		case 4: // shed, then accepted
			if again {
				accept(ctx)
			} else {
				refuse(ctx, 503, "overloaded", true)
			}
		case 5: // unknown, then replayed
			if again {
				ctx.Response.Header.Set("Idempotent-Replayed", "true")
				accept(ctx)
			} else {
				ctx.HijackSetNoResponse(true)
				ctx.Hijack(func(c net.Conn) { _ = c.Close() })
			}
		case 6: // unknown for ever
			refuse(ctx, 504, "outcome_unknown", true)
		case 7:
			refuse(ctx, 422, "mismatch", false)
		}
	}))
	c := crowd(400, time.Second)
	c.Retries = 1
	got := c.Run(t.Context(), v)
	want := map[report.Word]int64{
		report.Accepted: 100, report.Replayed: 100, report.SoldOut: 50, report.Limited: 50, report.Shed: 50, report.Unknown: 150, report.Refused: 50,
	}
	if diff := cmp.Diff(want, counts(got.Outcomes)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Units{{Accepted: 200, Unknown: 50}, {}}, got.Units); diff != "" {
		t.Error(diff)
	}
	codes := map[string]int64{codeNoAnswer: 50, "outcome_unknown": 100}
	if diff := cmp.Diff(codes, got.Outcomes[indexOf(report.Unknown)].Codes); diff != "" {
		t.Error(diff)
	}
	var inSeconds int64
	for _, s := range got.Seconds {
		for _, n := range s.Outcomes {
			inSeconds += n
		}
	}
	if inSeconds != 550 || got.Generator.Planned != 550 || got.Generator.Sent != 550 || got.Cut != nil {
		t.Errorf("%d in seconds, %+v, %v", inSeconds, got.Generator, got.Cut)
	}
}

// Shoppers confirm and release what they got, by the right token, and bots try several keys.
func TestShoppersDoWhatThePlanSays(t *testing.T) {
	t.Parallel()
	var reserved, confirmed, released, wrong atomic.Int64
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) {
		token := string(ctx.Request.Header.Peek("Authorization"))
		switch path := string(ctx.Path()); {
		case path == "/v1/reservations" && strings.HasPrefix(token, "Bearer user") && string(ctx.PostBody()) == `{"sku_id":"1","quantity":1,"sale_id":"7"}`:
			reserved.Add(1)
		case path == "/v1/reservations/00ff/confirm" && token == "Bearer service":
			confirmed.Add(1)
		case path == "/v1/reservations/00ff/release" && strings.HasPrefix(token, "Bearer user"):
			released.Add(1)
		default:
			wrong.Add(1)
		}
		accept(ctx)
	}))
	v.SaleID = "7"
	c := crowd(500, time.Second)
	c.Bots, c.BotTries, c.Confirm, c.Release, c.SettleAfter = 1, 3, 0.6, 0.3, 100*time.Millisecond
	got := c.Run(t.Context(), v)
	if reserved.Load() != 1500 || wrong.Load() != 0 || confirmed.Load() < 700 || released.Load() < 300 {
		t.Errorf("%d reserved, %d confirmed, %d released, %d wrong", reserved.Load(), confirmed.Load(), released.Load(), wrong.Load())
	}
	settled := map[string]int64{}
	for _, s := range got.Settles {
		settled[s.Call] = counts(s.Outcomes)[report.Accepted]
	}
	if settled["confirm"] != confirmed.Load() || settled["release"] != released.Load() {
		t.Errorf("%v", settled)
	}
}

// The patience of a shopper who waits long for a connection is shorter by that wait: nobody is answered who has gone.
func TestPatienceCountsTheWaitForAConnection(t *testing.T) {
	t.Parallel()
	const patience = time.Second
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) {
		time.Sleep(patience * 6 / 10)
		accept(ctx)
	}))
	v.Target.dialer.Control = func(string, string, syscall.RawConn) error {
		time.Sleep(patience * 6 / 10)
		return nil
	}
	c := crowd(500, 100*time.Millisecond)
	c.Impatient, c.Patience = 1, patience
	got := c.Run(t.Context(), v)
	if n := counts(got.Outcomes); n[report.Accepted] > 0 {
		t.Errorf("%v: some were answered after their patience was over", n)
	}
}

// An impatient shopper hangs up, and what becomes of the request is unknown.
func TestImpatientShoppersGiveUp(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) { <-hold; accept(ctx) }))
	t.Cleanup(func() { close(hold) })
	c := crowd(100, 500*time.Millisecond)
	c.Impatient, c.Patience, c.Retries = 1, 100*time.Millisecond, 3
	got := c.Run(t.Context(), v)
	unknown := got.Outcomes[indexOf(report.Unknown)]
	if unknown.Codes[codeGaveUp] != unknown.Count || unknown.Count+got.Generator.Unsent != 50 || got.Units[0].Unknown != unknown.Count {
		t.Errorf("%+v, %+v, %+v", unknown, got.Generator, got.Units)
	}
}

// The warm-up is shown second by second, and counts nowhere else.
func TestTheWarmUpIsLeftOut(t *testing.T) {
	t.Parallel()
	var warm, sold atomic.Int64
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) {
		if strings.Contains(string(ctx.PostBody()), `"sku_id":"2"`) {
			warm.Add(1)
		} else {
			sold.Add(1)
		}
		accept(ctx)
	}))
	c := crowd(100, time.Second)
	c.WarmUp = time.Second
	left := int64(5)
	v.StockLeft = func(context.Context) (int64, error) { return left, nil }
	var watched []report.Second
	v.Watch = func(s report.Second, _ report.Latency) { watched = append(watched, s) }
	got := c.Run(t.Context(), v)
	if warm.Load() != 100 || sold.Load() != 100 || got.Outcomes[0].Count != 100 || got.Generator.Planned != 100 || got.Length != time.Second {
		t.Errorf("%d in the warm-up, %d after it, counted %d of %d in %v", warm.Load(), sold.Load(), got.Outcomes[0].Count, got.Generator.Planned, got.Length)
	}
	first := got.Seconds[0]
	if !first.WarmUp || got.Seconds[1].WarmUp || first.Planned != 100 || first.StockLeft == nil || *first.StockLeft != left {
		t.Errorf("%+v", got.Seconds)
	}
	if len(watched) == 0 || !watched[0].WarmUp {
		t.Errorf("watched %+v", watched)
	}
}

// What was measured until the end of the context is told.
func TestAnInterruptedRunTellsWhatItMeasured(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	var n atomic.Int64
	hold := make(chan struct{})
	v := visitTo(t, serve(t, func(ctx *fasthttp.RequestCtx) {
		if n.Add(1) > 50 {
			interrupt()
			<-hold // the last ones have no answer
		}
		accept(ctx)
	}))
	t.Cleanup(func() { close(hold) })
	got := crowd(200, time.Hour).Run(ctx, v)
	if got.Cut == nil || !got.Cut.Interrupted || counts(got.Outcomes)[report.Accepted] != 50 || got.Length >= time.Hour {
		t.Errorf("%+v, %v, %v", got.Cut, counts(got.Outcomes), got.Length)
	}
	if unknown := counts(got.Outcomes)[report.Unknown]; unknown == 0 || got.Units[0].Unknown != unknown {
		t.Errorf("%d without an answer, %+v", unknown, got.Units[0])
	}
	if len(got.Generator.Why) > 0 {
		t.Errorf("%v", got.Generator.Why)
	}
}

// A target that dies ends the run, and what was not sent is not unknown.
func TestATargetThatDiesEndsTheRun(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	got := crowd(20, time.Hour).Run(t.Context(), visitTo(t, ln.Addr().String()))
	refused := got.Outcomes[indexOf(report.Refused)]
	if got.Cut == nil || got.Cut.Why != errTargetGone.Error() || got.Cut.Interrupted || refused.Codes[codeNotSent] != refused.Count || refused.Count == 0 {
		t.Errorf("%+v, %+v", got.Cut, refused)
	}
	if got.Units[0] != (Units{}) {
		t.Errorf("%+v", got.Units[0])
	}
}

func TestTheGeneratorSaysWhenItWasTheBottleneck(t *testing.T) {
	t.Parallel()
	for want, g := range map[string]report.Generator{
		"":                    {Planned: 1000, Sent: 900, Late: 10, Waited: 900, CPU: 0.9, LateMS: 10, UnsentWhy: map[report.Lack]int64{report.LackConnections: 1, report.LackTime: 99}},
		"10 ms late":          {Planned: 1000, Sent: 1000, Late: 11, LateMS: 10},
		"91 % of its":         {Planned: 1000, CPU: 0.91},
		"raise --connections": {Planned: 1000, UnsentWhy: map[report.Lack]int64{report.LackConnections: 2}, Connections: 8},
		"ulimit -n":           {Planned: 1000, UnsentWhy: map[report.Lack]int64{report.LackFiles: 2}},
		"ip_local_port_range": {Planned: 1000, UnsentWhy: map[report.Lack]int64{report.LackPorts: 2}},
		"waited for their":    {Planned: 1000, UnsentWhy: map[report.Lack]int64{report.LackPlaces: 2}},
	} {
		judge(&g)
		if why := strings.Join(g.Why, "; "); g.Bottleneck != (want != "") || !strings.Contains(why, want) {
			t.Errorf("%q, want %q", why, want)
		}
	}
}

// Both figures of fairness are those of their definitions, computed the slow way.
func TestFairnessIsWhatItsDefinitionSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type came struct {
			atMS     int
			won, bot bool
		}
		all := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) came {
			return came{rapid.IntRange(0, 40).Draw(t, "at"), rapid.Bool().Draw(t, "won"), rapid.Bool().Draw(t, "bot")}
		}), 1, 40).Draw(t, "shoppers")
		f := newFairness(time.Second, 40*time.Millisecond)
		var winners, losers, inOrder, botWinners, bots float64
		for _, a := range all {
			f.add(&Arrival{At: time.Second + time.Duration(a.atMS)*time.Millisecond, Bot: a.bot}, a.won)
			if a.bot {
				bots++
			}
			if !a.won {
				losers++
				continue
			}
			winners++
			if a.bot {
				botWinners++
			}
			for _, b := range all {
				switch {
				case b.won || b.atMS < a.atMS:
				case b.atMS == a.atMS:
					inOrder += 0.5
				default:
					inOrder++
				}
			}
		}
		got := f.figure(9)
		if winners == 0 || losers == 0 {
			if got != nil {
				t.Fatalf("%+v", got)
			}
			return
		}
		same := func(what string, got, want float64) {
			if math.Abs(got-want) > 1e-9 {
				t.Fatalf("%s %v, want %v of %+v", what, got, want, all)
			}
		}
		same("in order", got.InOrder, inOrder/winners/losers)
		same("bot winners", got.BotWinners, botWinners/winners)
		same("bots", got.BotShoppers, bots/(winners+losers))
		var sliced int64
		for _, s := range got.Slices {
			sliced += s.Winners + s.Losers
		}
		if sliced != int64(len(all)) || got.FirstCome < 0 || got.FirstCome > 1 {
			t.Fatalf("%d of %d in slices, first come %v", sliced, len(all), got.FirstCome)
		}
	})
	f := newFairness(0, time.Second)
	for i := range 10 {
		f.add(&Arrival{At: time.Duration(i) * 50 * time.Millisecond}, i < 3 || i == 7)
	}
	if got := f.figure(1); got.FirstCome != 0.75 {
		t.Errorf("first come %v, want 0.75: three of the four winners are among the first four", got.FirstCome)
	}
}

func TestTargetsAreNamedTwiceUnlessTheyAreHere(t *testing.T) {
	t.Parallel()
	for _, ok := range [][2]string{
		{"http://127.0.0.1:80", ""}, {"http://[::1]:80/", ""}, {"http://localhost", ""}, {"https://shop.example", "shop.example"}, {"http://10.0.0.1:9", "10.0.0.1"},
	} {
		if _, err := NewTarget(ok[0], ok[1]); err != nil {
			t.Errorf("%v: %v", ok, err)
		}
	}
	for _, c := range [][3]string{
		{"http://shop.example:80", "", "--i-may-load shop.example"},
		{"http://shop.example", "example", "which you may load"},
		{"http://127.0.0.1.example", "127.0.0.1", "which you may load"},
		{"http://10.0.0.1", "10.0.0.1:80", "which you may load"},
		{"127.0.0.1:80", "", "want a URL"},
		{"ftp://127.0.0.1", "", "want a URL"},
		{"http://127.0.0.1/v1", "", "without path"},
		{"http://a@127.0.0.1", "", "without path"},
	} {
		if _, err := NewTarget(c[0], c[1]); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%v: %v", c, err)
		}
	}
}
