package quota_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/limit"
	"sluice/edge/quota"
)

// shopper is a usual limit of a user.
var shopper = limit.Config{Rate: 20, Burst: 40, KeysMax: 10_000}

// send sends requests of a user to an edge at once, and returns how many passed.
func (w *world) send(e *edge, user int64, requests int) (passed int) {
	for range requests {
		if e.users.Allow(user, w.now).OK {
			passed++
		}
	}
	return passed
}

// metric returns a metric of an edge.
func (e *edge) metric(t *testing.T, name string) string {
	t.Helper()
	var page bytes.Buffer
	e.set.WritePrometheus(&page)
	for line := range strings.Lines(page.String()) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("no metric %s", name)
	return ""
}

// TestWhatPassesInOneMomentIsMadeUpFor states what a burst can do before edges learn of it: each edge lets a full bucket
// pass. Then nothing passes until the user has as much as one bucket gives.
func TestWhatPassesInOneMomentIsMadeUpFor(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 8, shopper)
	w.meet(t)
	passed := 0
	for _, e := range w.edges {
		passed += w.send(e, 7, 100)
	}
	if passed != 8*40 {
		t.Fatalf("%d requests passed at once, want a full bucket of each of 8 edges", passed)
	}
	begin, until := w.now, time.Duration(7*40/20)*time.Second
	for ; w.now.Sub(begin) < until+5*time.Second; w.pass(t) {
		n := 0
		for _, e := range w.edges {
			n += w.send(e, 7, 1)
		}
		if since := w.now.Sub(begin); n > 0 && since > 50*time.Millisecond && since < until-time.Second {
			t.Fatalf("%d more requests passed after %v, all of them before %v", n, since, until)
		}
		passed += n
	}
	if limit := 40.0 + 20*w.now.Sub(begin).Seconds(); float64(passed) > 1.2*limit || float64(passed) < 0.8*limit {
		t.Errorf("%d requests passed in the end, the limit allows %.0f", passed, limit)
	}
}

func TestUsersFarFromTheirLimitCostNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 4, shopper)
	w.meet(t)
	w.board.trim()
	for ms := range 4000 {
		w.send(w.edges[(ms+ms/1000)%4], int64(1+ms%1000), 1) // each user once a second, at another edge each time
		w.pass(t)
	}
	if greetings := len(w.board.notices); greetings > 4*5 {
		t.Errorf("4 edges gave %d notices in 4 s, want greetings only", greetings)
	}
}

func TestOneEdgeOnlyGreets(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 1, shopper)
	for range 10_000 {
		w.send(w.edges[0], 7, 1)
		w.pass(t)
	}
	if n := len(w.board.notices); n > 11 {
		t.Errorf("an edge alone gave %d notices in 10 s", n)
	}
}

func TestHeavyUsersAreToldFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 2, shopper)
	w.meet(t)
	one, other := w.edges[0], w.edges[1]
	for user := range int64(3000) {
		w.send(one, 1+user, 2)
	}
	w.send(one, 9999, 40)
	w.board.trim()
	for range 200 {
		w.pass(t)
	}
	if passed := w.send(other, 9999, 40); passed > 10 {
		t.Errorf("%d requests passed: the user who took most was not told", passed)
	}
	for _, n := range w.board.notices {
		if len(n.Text) > 3<<10 {
			t.Errorf("a notice has %d bytes", len(n.Text))
		}
	}
	if untold := one.metric(t, "sluice_edge_limit_untold_requests_total"); untold != fmt.Sprint(2*(3000-255)) {
		t.Errorf("%s requests are untold", untold)
	}
}

// TestEdgesGoOnAloneWithoutRedis checks that no edge is stricter afterwards for what others let pass meanwhile.
func TestEdgesGoOnAloneWithoutRedis(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 2, shopper)
	w.meet(t)
	w.board.away = true
	for range 4000 {
		w.pass(t)
	}
	calls := w.board.calls
	for i, e := range w.edges {
		if n := e.metric(t, "sluice_edge_limit_edges"); n != "1" {
			t.Errorf("edge %d counts for %s edges", i, n)
		}
		if passed := w.send(e, 7, 100); passed != 40 {
			t.Errorf("%d requests passed at edge %d, want those of a full bucket", passed, i)
		}
	}
	for range 1000 {
		w.pass(t)
	}
	if tries := w.board.calls - calls; tries > 2*11 {
		t.Errorf("2 edges made %d calls in a second", tries)
	}
	w.board.away = false
	w.meet(t)
	for i, e := range w.edges {
		if passed := w.send(e, 7, 100); passed < 38 {
			t.Errorf("%d requests passed at edge %d after 2.5 s, want those of a full bucket", passed, i)
		}
		for range 3000 {
			w.pass(t)
		}
	}
}

// TestEdgeThatWasCutOff has one edge away while a user takes all of a bucket at another one. When the bucket is full again, the edge
// comes back: what it has missed is old, and takes nothing from the user.
func TestEdgeThatWasCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 2, shopper)
	w.meet(t)
	w.edges[1].cutOff = true
	w.send(w.edges[0], 7, 40)
	for range 2500 {
		w.pass(t)
	}
	w.edges[1].cutOff = false
	for range 700 {
		w.pass(t)
	}
	if passed := w.send(w.edges[1], 7, 40); passed != 40 {
		t.Errorf("%d requests passed, want those of a full bucket", passed)
	}
	if n := w.edges[1].metric(t, "sluice_edge_limit_learned_requests_total"); n != "0" {
		t.Errorf("the edge has learned of %s requests that are old", n)
	}
}

// TestNewEdgesAreGreeted starts edges at any moment: each counts for the others well before they would have greeted by themselves.
func TestNewEdgesAreGreeted(t *testing.T) {
	t.Parallel()
	for ms := range 10 {
		w := newWorld(1, 1, shopper)
		w.meet(t)
		for range 100 * ms {
			w.pass(t)
		}
		started := w.join(shopper)
		for range 700 {
			w.pass(t)
		}
		if n := started.metric(t, "sluice_edge_limit_edges"); n != "2" {
			t.Errorf("an edge that started %d ms later counts for %s edges, want 2", 100*ms, n)
		}
	}
}

func TestEdgesComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 2, shopper)
	w.meet(t)
	begin, passed := w.now, 0
	for i := range 6 { // a rolling restart: a new edge comes, the oldest goes
		for range 2500 {
			for _, e := range w.edges {
				passed += w.send(e, 7, 1)
			}
			w.pass(t)
		}
		if i%2 == 0 {
			w.join(shopper)
		} else {
			w.edges = w.edges[1:]
		}
	}
	limit := 40 + 20*w.now.Sub(begin).Seconds()
	limit += 3 * 40 // each new edge begins with a full bucket
	if float64(passed) > 1.2*limit || float64(passed) < 0.8*limit {
		t.Errorf("%d requests passed, the limit allows %.0f", passed, limit)
	}
	for range 4000 {
		w.pass(t)
	}
	if n := w.edges[0].metric(t, "sluice_edge_limit_edges"); n != "2" {
		t.Errorf("an edge counts for %s edges after others have gone, want 2", n)
	}
}

// TestLostStream empties Redis, so that its entries begin anew: as after a failover to a server whose clock is behind.
func TestLostStream(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 2, shopper)
	w.board.now = func() time.Time { return w.now.Add(time.Hour) }
	w.meet(t)
	w.board.now, w.board.notices = func() time.Time { return w.now }, nil
	w.meet(t)
	w.send(w.edges[0], 7, 40)
	for range 200 {
		w.pass(t)
	}
	if passed := w.send(w.edges[1], 7, 40); passed > 10 {
		t.Errorf("%d requests passed: an edge does not hear others any more", passed)
	}
}

// TestLimitOfOneEdgeDiffers changes the limit at one edge first. Each edge holds its own limit against what passed anywhere.
func TestLimitOfOneEdgeDiffers(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 1, shopper)
	generous := w.join(limit.Config{Rate: 200, Burst: 400, KeysMax: 1000})
	w.meet(t)
	strict := w.edges[0]
	passed := 0
	for range 5000 {
		passed += w.send(generous, 7, 1)
		w.pass(t)
		if n := w.send(strict, 7, 1); n > 0 && passed > 100 {
			t.Fatalf("the strict edge let a request pass, after %d passed at the other", passed)
		}
	}
	if passed < 1300 || passed > 1450 {
		t.Errorf("%d requests passed at the generous edge, its limit allows 1400", passed)
	}
	for range 5500 { // 2 * (40 + 2) / 20 s to make up for the others, 1 s for a few tokens
		w.pass(t)
	}
	if w.send(strict, 7, 10) == 0 {
		t.Error("the strict edge still refuses the user, long after")
	}
}

func TestEdgeWithoutALimit(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 1, shopper)
	unlimited := quota.New(quota.Config{
		Board: &w.board, Seal: plain{}, Policies: []quota.Policy{(*limit.Limiter[int64])(nil)},
		Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.now },
	})
	for range 30 {
		if err := unlimited.Exchange(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			w.pass(t)
		}
	}
	if n := w.edges[0].metric(t, "sluice_edge_limit_edges"); n != "2" {
		t.Errorf("the other edge counts for %s edges", n)
	}
	if passed := w.send(w.edges[0], 7, 100); passed != 40 {
		t.Errorf("%d requests passed, want 40", passed)
	}
}

// TestManyEdgesKeepUp has so many edges tell something all the time that one call does not bring all of it.
func TestManyEdgesKeepUp(t *testing.T) {
	t.Parallel()
	const edges = 250
	w := newWorld(1, edges, limit.Config{Rate: 600, Burst: 100, KeysMax: 1000})
	w.meet(t)
	passed := 0
	const users, seconds = 7, 3
	for ms := range seconds * 1000 {
		for i := range 8 { // twice the limit of all users
			passed += w.send(w.edges[(ms*8+i)%edges], int64(1+ms%users), 1)
		}
		w.pass(t)
	}
	for i, e := range w.edges {
		unheard := 0
		for _, n := range w.board.notices {
			if n.ID > e.sharer.Place() {
				unheard++
			}
		}
		if unheard > edges*5/4 { // those of one pause
			t.Errorf("edge %d has not heard %d of %d notices", i, unheard, len(w.board.notices))
		}
		if n := e.metric(t, "sluice_edge_limit_edges"); n != fmt.Sprint(edges) {
			t.Errorf("edge %d counts for %s edges", i, n)
		}
		if n := e.metric(t, "sluice_edge_limit_repeated_messages_total"); n != "0" {
			t.Errorf("edge %d took %s messages for repetitions", i, n)
		}
	}
	bound := float64(users * (100 + 600*seconds))
	t.Logf("%d requests passed, the limits allow %.0f", passed, bound)
	if float64(passed) > 1.2*bound+edges {
		t.Errorf("%d requests passed, the limits allow %.0f", passed, bound)
	}
}

// TestRequestsAreCounted counts what an edge tells and what it cannot tell, each once.
func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 2, shopper)
	w.meet(t)
	f := func(when, told, learned, untold string) {
		t.Helper()
		for range 300 {
			w.pass(t)
		}
		for _, want := range []struct {
			e             *edge
			metric, value string
		}{{w.edges[0], "told", told}, {w.edges[1], "learned", learned}, {w.edges[0], "untold", untold}} {
			if got := want.e.metric(t, "sluice_edge_limit_"+want.metric+"_requests_total"); got != want.value {
				t.Errorf("%s: %s requests are %s, want %s", when, got, want.metric, want.value)
			}
		}
	}
	w.send(w.edges[0], 7, 40)
	f("heard", "40", "40", "0")
	for range 500 { // an exchange takes several calls
		w.board.give([]byte("flood"))
	}
	w.send(w.edges[0], 8, 40)
	f("in a flood", "80", "80", "0")
	w.board.away = true
	w.send(w.edges[0], 9, 40)
	f("without redis", "80", "80", "40")
	w.send(w.edges[0], 10, 40)
	f("still without", "80", "80", "80")
}

// TestEdgesAreBounded has more edges greet than an edge knows. It counts for those that it knows, and knows others when they have gone.
func TestEdgesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 1, shopper)
	w.meet(t)
	greet := func(first, last uint64, want int) {
		t.Helper()
		for edge := first; edge <= last; edge++ {
			w.board.give(quota.Greeting(edge, w.now))
		}
		for range 1000 {
			w.pass(t)
		}
		if n := w.edges[0].metric(t, "sluice_edge_limit_edges"); n != fmt.Sprint(want) {
			t.Errorf("an edge counts for %s edges, want %d", n, want)
		}
	}
	greet(1, quota.EdgesMax+50, 1+quota.EdgesMax)
	for range 3000 {
		w.pass(t)
	}
	greet(1000, 1009, 11)
}

// TestLateNewsRefusesNobodyWithinTheLimit has a burst of a hundredth of the rate. The other edge takes more than that before
// an edge learns of it, and less than flows in meanwhile.
func TestLateNewsRefusesNobodyWithinTheLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 2, limit.Config{Rate: 1000, Burst: 10, KeysMax: 1000})
	w.meet(t)
	sent, passed := 0, 0
	for ms := range 5000 {
		if ms%16 == 0 {
			passed += w.send(w.edges[1], 7, 1)
			sent++
		} else if ms%5 != 0 {
			w.send(w.edges[0], 7, 1) // about 750 a second
		}
		w.pass(t)
	}
	if passed < sent*95/100 {
		t.Errorf("%d of %d requests passed, all within the limit", passed, sent)
	}
}
