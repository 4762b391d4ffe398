package conns_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"sluice/edge/internal/conns"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),    // one per process, never ends
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2")) // ends at its next look around
}

func answer(status, body string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(body), body)
}

// serve runs a fasthttp server on a Listener until the test ends.
func serve(t *testing.T, cfg conns.Config, handler fasthttp.RequestHandler, edit ...func(*fasthttp.Server)) *conns.Listener {
	t.Helper()
	if cfg.Max == 0 {
		cfg.Max = 1000
	}
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.NewSet()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Timeouts == (conns.Timeouts{}) {
		cfg.Timeouts = conns.Timeouts{Read: 5 * time.Second, Write: 5 * time.Second, Idle: 5 * time.Second}
	}
	cfg.Full = answer("503 Service Unavailable", "full")
	cfg.Crowded = answer("429 Too Many Requests", "crowded")
	l, err := conns.Listen(t.Context(), "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := &fasthttp.Server{
		Handler: handler, ConnState: l.StateChanged, MaxRequestBodySize: 16 << 10,
		NoDefaultDate:         true,
		MaxIdleWorkerDuration: 10 * time.Millisecond, Logger: log.New(io.Discard, "", 0),
	}
	for _, e := range edit {
		e(server)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := l.Drain(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l
}

// waitOpen waits until no more than so many connections are open.
func waitOpen(t *testing.T, l *conns.Listener, most int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); l.Open() > most; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections stay open, want %d", l.Open(), most)
		}
	}
}

func dial(t *testing.T, l *conns.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func exchange(t *testing.T, c net.Conn, request string) (int, string) {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func ok(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("ok") }

func TestConnectionsAboveTheLimitsAreAnswered(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cfg    conns.Config
		status int
		body   string
	}{
		"in all":           {conns.Config{Max: 2}, 503, "full"},
		"from one address": {conns.Config{Max: 9, PerAddressMax: 2}, 429, "crowded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := serve(t, tc.cfg, ok)
			first, second := dial(t, l), dial(t, l)
			for _, c := range []net.Conn{first, second} {
				if status, _ := exchange(t, c, get); status != 200 {
					t.Fatalf("a connection within the limit got %d", status)
				}
			}
			if status, body := exchange(t, dial(t, l), get); status != tc.status || body != tc.body {
				t.Errorf("above the limit: %d %q", status, body)
			}
			_ = first.Close()
			waitOpen(t, l, 1) // the server notices the end by itself
			if status, _ := exchange(t, dial(t, l), get); status != 200 {
				t.Errorf("after one has gone: %d", status)
			}
		})
	}
}

// TestEveryRefusalIsAnswered refuses more connections, one after the other, than there may be at once.
func TestEveryRefusalIsAnswered(t *testing.T) {
	t.Parallel()
	l := serve(t, conns.Config{Max: 1}, ok)
	if status, _ := exchange(t, dial(t, l), get); status != 200 {
		t.Fatal(status)
	}
	for n := range 100 {
		c := dial(t, l)
		if status, body := exchange(t, c, get); status != 503 || body != "full" {
			t.Fatalf("refusal %d: %d %q", n, status, body)
		}
		_ = c.Close()
	}
}

// TestListenerStopsAcceptingBeyondRefusals has more connections above the limit than can be refused at once, all of them
// silent. The listener leaves those who come next to the kernel, answers them later, and serves again when a place is free.
func TestListenerStopsAcceptingBeyondRefusals(t *testing.T) {
	t.Parallel()
	l := serve(t, conns.Config{Max: 1}, ok)
	first := dial(t, l)
	if status, _ := exchange(t, first, get); status != 200 {
		t.Fatal(status)
	}
	for range 3 * 64 {
		dial(t, l)
	}
	if status, body := exchange(t, dial(t, l), get); status != 503 || body != "full" {
		t.Errorf("who comes after silent ones: %d %q", status, body)
	}
	_ = first.Close()
	waitOpen(t, l, 0)
	if status, _ := exchange(t, dial(t, l), get); status != 200 {
		t.Errorf("when there is a place: %d", status)
	}
}

// TestFreePlacesAreTakenWhileRefusalsWait has silent connections take all refusals there are, and one more wait for a refusal.
// A place that becomes free is that one's, at once.
func TestFreePlacesAreTakenWhileRefusalsWait(t *testing.T) {
	t.Parallel()
	set := metrics.NewSet()
	l := serve(t, conns.Config{Max: 1, Metrics: set}, ok)
	first := dial(t, l)
	if status, _ := exchange(t, first, get); status != 200 {
		t.Fatal(status)
	}
	for range 64 {
		dial(t, l)
	}
	refused := set.GetOrCreateCounter(`sluice_edge_http_refused_connections_total{reason="full"}`)
	for deadline := time.Now().Add(10 * time.Second); refused.Get() < 64; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are refused", refused.Get())
		}
	}
	next := dial(t, l)
	_ = first.Close()
	if status, body := exchange(t, next, get); status != 200 {
		t.Errorf("who waited while a place became free: %d %q, and %d refusals", status, body, refused.Get())
	}
}

func TestAnswerReachesAClientThatIsStillSending(t *testing.T) {
	t.Parallel()
	l := serve(t, conns.Config{}, ok)
	for range 20 {
		c := dial(t, l)
		body := strings.Repeat("x", 100<<10)
		sent := make(chan error, 1)
		go func() {
			_, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			sent <- err
		}()
		got, err := io.ReadAll(c)
		if err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 400")) { // fasthttp's own choice of status
			t.Fatalf("%q, %v", got, err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
}
