package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/core/stock"
)

func TestBreakerOpensByCallsInARow(t *testing.T) {
	t.Parallel()
	type call struct {
		sent, ended int // seconds
		silent      bool
	}
	for name, test := range map[string]struct {
		calls []call
		open  bool
	}{
		"one after another":         {[]call{{0, 1, true}, {2, 3, true}, {4, 5, true}}, true},
		"too few":                   {[]call{{0, 1, true}, {2, 3, true}}, false},
		"in flight together":        {[]call{{0, 9, true}, {1, 9, true}, {2, 9, true}, {3, 9, true}}, false},
		"in flight together twice":  {[]call{{0, 1, true}, {0, 1, true}, {2, 3, true}, {2, 3, true}}, false},
		"an answer between":         {[]call{{0, 1, true}, {2, 3, true}, {4, 5, false}, {6, 7, true}}, false},
		"again after an answer":     {[]call{{0, 1, false}, {2, 3, true}, {4, 5, true}, {6, 7, true}}, true},
		"an answer that comes late": {[]call{{0, 1, true}, {2, 3, true}, {4, 5, true}, {0, 6, false}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b breaker
			opened := 0
			for _, c := range test.calls {
				if b.saw(time.Unix(int64(c.sent), 0), time.Unix(int64(c.ended), 0), c.silent) {
					opened++
				}
			}
			if b.open.Load() != test.open || opened != map[bool]int{true: 1}[test.open] {
				t.Errorf("open: %v, opened %d times; want %v", b.open.Load(), opened, test.open)
			}
		})
	}
}

func TestWhatIsSilent(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		nil: false, stock.ErrUnknown: true, stock.ErrUnreached: true, stock.ErrLoading: true,
		stock.ErrNotApplied: false, stock.ErrFull: false, stock.ErrShut: false, stock.ErrProtocol: false,
	} {
		if silent(err) != want {
			t.Errorf("%v is silent: %v", err, !want)
		}
	}
}

// halves is a stage with two servers. The first does not answer while silent is true.
type halves struct {
	*stage
	here, there   stock.Cell
	silent        atomic.Bool
	moved         atomic.Bool // the partitions of the first server are at a third
	probes, calls atomic.Int64
}

func newHalves(t *testing.T) *halves {
	t.Helper()
	h := &halves{stage: newStage(t, Config{}), here: sku(0), there: sku(1)}
	h.store.node = func(p int) (string, error) {
		if h.moved.Load() && p%2 == 0 {
			return "c", nil
		}
		return string("ab"[p%2]), nil
	}
	h.store.before = func(_ int, vectors []*stock.Vector) {
		if h.silent.Load() && vectors[0].Partition%2 == 0 {
			h.calls.Add(1)
			time.Sleep(stock.CallTimeoutDefault)
			fail(stock.ErrUnknown)(vectors)
		}
	}
	h.store.read = func() error {
		h.probes.Add(1)
		if h.silent.Load() {
			time.Sleep(stock.CallTimeoutDefault)
			return stock.ErrUnknown
		}
		return nil
	}
	h.start(Config{})
	h.load(h.here, 100, stock.Settings{})
	h.load(h.there, 100, stock.Settings{})
	return h
}

// fallSilent has a server answer nothing more, and its breaker open.
func (h *halves) fallSilent() {
	h.silent.Store(true)
	for i := range silentMax {
		h.reserve(take(h.here, 1, fmt.Sprint(i)))
	}
}

func (h *halves) page() string {
	var page bytes.Buffer
	h.set.WritePrometheus(&page)
	return page.String()
}

// shows fails unless the page of metrics has lines that contain these words.
func (h *halves) shows(lines ...string) {
	h.t.Helper()
	for _, line := range lines {
		if !strings.Contains(h.page(), line) {
			h.t.Errorf("no %s in:\n%s", line, h.page())
		}
	}
}

// TestSilentServer silences a server. After some calls its requests are refused at once and for certain, and it gets
// one probe at a time. The other server sells on. As soon as the silent one answers, it sells again. No request is
// lost.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHalves(t)
		h.silent.Store(true)
		for i := range silentMax {
			if got := h.reserve(take(h.here, 1, fmt.Sprint(i))); !errors.Is(got.err, stock.ErrUnknown) {
				t.Fatalf("call %d: %v", i, got)
			}
		}
		start := time.Now()
		for i := range 100 {
			if got := h.reserve(take(h.here, 1, fmt.Sprint("silent ", i))); !errors.Is(got.err, ErrSilent) || !errors.Is(got.err, stock.ErrNotApplied) {
				t.Fatalf("while it is silent: %v", got)
			}
			if got := h.reserve(take(h.there, 1, fmt.Sprint(i))); got.kind() != "ok" {
				t.Fatalf("at the other server: %v", got)
			}
		}
		if took := time.Since(start); took != 0 || h.calls.Load() != silentMax {
			t.Errorf("requests waited %v, and %d calls were sent", took, h.calls.Load())
		}
		if err := h.Reachable(0); !errors.Is(err, ErrSilent) {
			t.Errorf("reachable: %v", err)
		}
		h.shows(`sluice_edge_breaker_state_info{node="a",state="open"} 1`, `sluice_edge_breaker_state_info{node="b",state="open"} 0`,
			`sluice_edge_breaker_state_info{node="a",state="closed"} 0`, `sluice_edge_breaker_openings_total{node="a"} 1`,
			`sluice_edge_breaker_refused_requests_total{node="a"} 100`)

		time.Sleep(time.Minute)
		if most := int64(time.Minute/(stock.CallTimeoutDefault+probeMax)) + 4; h.probes.Load() > most || h.probes.Load() < most/2 {
			t.Errorf("%d probes in a minute, want up to %d", h.probes.Load(), most)
		}
		if h.reserve(take(h.here, 1, "still")); h.calls.Load() != silentMax {
			t.Errorf("%d calls were sent", h.calls.Load())
		}
		h.silent.Store(false)
		time.Sleep(probeMax + stock.CallTimeoutDefault)
		h.shows(`sluice_edge_breaker_state_info{node="a",state="open"} 0`)
		if got := h.reserve(take(h.here, 1, "after")); got.kind() != "ok" || h.Reachable(0) != nil {
			t.Errorf("after it: %v", got)
		}
		if held := h.cell(h.here).Held; held != 1 {
			t.Errorf("%d units are held, want that of the last request", held)
		}
	})
}

// TestRequestsThatWaitForASilentServer keeps requests in the queue while the breaker opens.
func TestRequestsThatWaitForASilentServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHalves(t)
		h.silent.Store(true)
		first := h.reserveAll(h.here, 1, 1)
		synctest.Wait()
		var crowds []*crowd
		for i := range int64(2 * silentMax) {
			crowds = append(crowds, h.reserveAll(h.here, 100*(i+1), 10))
			time.Sleep(stock.CallTimeoutDefault / 2)
		}
		kinds := first.kinds()
		for _, c := range crowds {
			for kind, n := range c.kinds() {
				kinds[kind] += n
			}
		}
		unknown, refused := kinds[errorOf(stock.ErrUnknown)], kinds[errorOf(stock.ErrNotApplied)]
		if unknown+refused != 1+20*silentMax || refused == 0 || h.calls.Load() != silentMax || h.Queued() != 0 {
			t.Errorf("answers are %v by %d calls", kinds, h.calls.Load())
		}
		for _, n := range *h.routed.Load() {
			for _, l := range n.lanes() {
				if taking := l.takers.taking.Load(); taking != 0 { // they would keep others out for ever
					t.Errorf("a lane counts %d requests that have their answers", taking)
				}
			}
		}
	})
}

// TestSilentServerThatIsReplaced moves the partitions of a silent server: the breaker goes with the server.
func TestSilentServerThatIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHalves(t)
		h.fallSilent()
		h.moved.Store(true)
		time.Sleep(2 * time.Second)
		h.silent.Store(false)
		if got := h.reserve(take(h.here, 1, "moved")); got.kind() != "ok" {
			t.Errorf("at the server that has its partitions now: %v", got)
		}
		h.shows(`node="b"`, `node="c"`)
		if strings.Contains(h.page(), `node="a"`) {
			t.Errorf("metrics name a server that is gone:\n%s", h.page())
		}
	})
}

// TestDrainEndsProbes drains while a server is silent.
func TestDrainEndsProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHalves(t)
		h.fallSilent()
		start := time.Now()
		if err := h.Drain(context.Background()); err != nil || time.Since(start) > stock.CallTimeoutDefault {
			t.Errorf("drained after %v: %v", time.Since(start), err)
		}
	})
}
