package conns_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

// TestDrainCutsNoRequestThatWasRead loads a server, drains it in the middle, and holds what the server
// executed against what the clients were told.
func TestDrainCutsNoRequestThatWasRead(t *testing.T) {
	t.Parallel()
	for round := range 5 {
		var executed sync.Map
		var served atomic.Int64
		warm := make(chan struct{})
		l := serve(t, conns.Config{}, func(ctx *fasthttp.RequestCtx) {
			id := string(ctx.Request.Header.Peek("X-Id"))
			executed.Store(id, true)
			if served.Add(1) == 2000 {
				close(warm)
			}
			ctx.SetBodyString(id)
		})
		var wait sync.WaitGroup
		var answered sync.Map
		for client := range 32 {
			wait.Go(func() {
				for n := 0; ; n++ {
					c, err := net.Dial("tcp", l.Addr().String())
					if err != nil {
						return // drained
					}
					talk(c, strconv.Itoa(client)+"."+strconv.Itoa(n), &answered)
				}
			})
		}
		<-warm
		if err := l.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		wait.Wait()
		lost := 0
		executed.Range(func(id, _ any) bool {
			if _, ok := answered.Load(id); !ok {
				lost++
			}
			return true
		})
		if lost > 0 {
			t.Fatalf("round %d: %d of %d executed requests were never answered", round, lost, served.Load())
		}
	}
}

// talk sends requests on one connection until it ends, and notes each id that was answered.
func talk(c net.Conn, prefix string, answered *sync.Map) {
	defer c.Close()
	r := bufio.NewReader(c)
	for i := range 100 {
		id := prefix + "." + strconv.Itoa(i)
		if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nX-Id: %s\r\n\r\n", id); err != nil {
			return
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(body) != id {
			return
		}
		answered.Store(id, true)
	}
}

func TestDrainWaitsForARequestUnderWay(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	l := serve(t, conns.Config{}, func(ctx *fasthttp.RequestCtx) {
		close(entered)
		<-leave
		ctx.SetBodyString("late")
	})
	idle := dial(t, l)
	c := dial(t, l)
	if _, err := io.WriteString(c, get); err != nil {
		t.Fatal(err)
	}
	<-entered

	short, cancel := context.WithCancel(t.Context())
	drained := make(chan error, 1)
	go func() { drained <- l.Drain(short) }()
	if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("an idle connection ends with %v, want EOF", err)
	}
	select {
	case err := <-drained:
		t.Fatalf("drained with a request under way: %v", err)
	default:
	}
	close(leave)
	if got, err := io.ReadAll(c); err != nil || !bytes.HasSuffix(got, []byte("late")) {
		t.Errorf("the request under way got %q, %v", got, err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	cancel()
}

// TestDrainWaitsForARequestBehindAnother has one whose head comes in the segment of the request before
// it, so that only fasthttp's buffer knows of it, and whose body comes after the drain has begun.
func TestDrainWaitsForARequestBehindAnother(t *testing.T) {
	t.Parallel()
	for _, begins := range []string{"while the first is served", "between the two", "while the second comes in"} {
		t.Run(begins, func(t *testing.T) {
			t.Parallel()
			reached, began := make(chan struct{}), make(chan struct{})
			pause := func(at string) {
				if at == begins {
					close(reached)
					<-began
				}
			}
			served := 0 // by the one goroutine of the connection
			l := serve(t, conns.Config{}, func(ctx *fasthttp.RequestCtx) {
				if served++; served == 1 {
					pause("while the first is served")
				}
				ctx.SetBodyString("got " + string(ctx.Request.Body()))
			}, func(server *fasthttp.Server) {
				changed := server.ConnState
				server.ConnState = func(c net.Conn, state fasthttp.ConnState) {
					changed(c, state)
					switch {
					case state == fasthttp.StateIdle && served == 1:
						pause("between the two")
					case state == fasthttp.StateActive && served == 1:
						pause("while the second comes in")
					}
				}
			})
			idle := dial(t, l)
			c := dial(t, l)
			if _, err := io.WriteString(c, get+"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo"); err != nil {
				t.Fatal(err)
			}
			<-reached
			drained := make(chan error, 1)
			go func() { drained <- l.Drain(t.Context()) }()
			if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("an idle connection ends with %v, want EOF", err)
			}
			l.Open() // returns when the drain has looked at the other connection too
			close(began)
			if _, err := io.WriteString(c, "dy"); err != nil {
				t.Error(err)
			}
			got, err := io.ReadAll(c)
			if err != nil || bytes.Count(got, []byte("HTTP/1.1 200")) != 2 || !bytes.HasSuffix(got, []byte("got body")) {
				t.Errorf("%q, %v", got, err)
			}
			if err := <-drained; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDrainThatMayNotWaitSaysWhatItCut(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	l := serve(t, conns.Config{}, func(*fasthttp.RequestCtx) {
		close(entered)
		<-leave
	})
	c := dial(t, l)
	if _, err := io.WriteString(c, get); err != nil {
		t.Fatal(err)
	}
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Drain(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "cut 1 connections") {
		t.Errorf("Drain = %v", err)
	}
	close(leave)
}

// TestSlowClientsAreCutOff has clients that stop at each place where one may stop.
func TestSlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	l := serve(t, conns.Config{
		Timeouts: conns.Timeouts{Read: 2 * time.Second, Write: 5 * time.Second, Idle: 4 * time.Second},
	}, func(*fasthttp.RequestCtx) {})
	for name, tc := range map[string]struct {
		sends    []string // with an answer to be read after all but the last
		atLeast  time.Duration
		answered bool // by an error
	}{
		"nothing at all":           {[]string{""}, time.Second / 2, true},
		"half a header":            {[]string{"GET / HTTP/1.1\r\nHost"}, time.Second / 2, true},
		"half a body":              {[]string{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"}, time.Second / 2, true},
		"nothing after an answer":  {[]string{get, ""}, time.Second, false},
		"half a header after five": {[]string{get, get, get, get, get, "GET / HTTP"}, time.Second / 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, l)
			last := len(tc.sends) - 1
			for _, request := range tc.sends[:last] {
				exchange(t, c, request)
			}
			start := time.Now()
			if _, err := io.WriteString(c, tc.sends[last]); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			took := time.Since(start)
			if err != nil || tc.answered != bytes.HasPrefix(got, []byte("HTTP/1.1 4")) || took < tc.atLeast || took > 30*time.Second {
				t.Errorf("after %v: %q, %v", took, got, err)
			}
		})
	}
}

// TestSlowBodyBehindAnotherRequestIsCutOff has a client that stops in the body of a request whose head
// came with the request before it.
func TestSlowBodyBehindAnotherRequestIsCutOff(t *testing.T) {
	t.Parallel()
	l := serve(t, conns.Config{
		Timeouts: conns.Timeouts{Read: 200 * time.Millisecond, Write: 5 * time.Second, Idle: time.Hour},
	}, ok)
	c := dial(t, l)
	if _, err := io.WriteString(c, get+"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 200")) || !bytes.Contains(got, []byte("HTTP/1.1 4")) {
		t.Errorf("%q, %v", got, err)
	}
}

// TestABodyMayTakeLonger has a body that the server gives more time than others, and requests around it which
// get no more than ever.
func TestABodyMayTakeLonger(t *testing.T) {
	t.Parallel()
	l := serve(t, conns.Config{
		Timeouts: conns.Timeouts{Read: 200 * time.Millisecond, Write: 5 * time.Second, Idle: time.Hour},
	}, ok, func(s *fasthttp.Server) {
		s.HeaderReceived = func(header *fasthttp.RequestHeader) (cfg fasthttp.RequestConfig) {
			if string(header.RequestURI()) == "/long" {
				cfg.ReadTimeout = time.Minute
			}
			return cfg
		}
	})
	half := func(c net.Conn, path string) {
		t.Helper()
		if _, err := io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab"); err != nil {
			t.Fatal(err)
		}
	}
	cutOff := func(c net.Conn) {
		t.Helper()
		if got, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 4")) {
			t.Fatalf("%q, %v", got, err)
		}
	}
	c := dial(t, l)
	exchange(t, c, get)
	half(c, "/long")
	other := dial(t, l) // it begins later, and is cut off
	half(other, "/")
	cutOff(other)
	exchange(t, c, "cd")
	half(c, "/")
	cutOff(c)
}

// TestUnreadAnswerIsCutOff has a client that asks and never reads.
func TestUnreadAnswerIsCutOff(t *testing.T) {
	t.Parallel()
	const large = 64 << 20 // more than the sockets hold
	served := make(chan struct{})
	l := serve(t, conns.Config{
		Timeouts: conns.Timeouts{Read: 5 * time.Second, Write: 200 * time.Millisecond, Idle: 5 * time.Second},
	}, func(ctx *fasthttp.RequestCtx) {
		ctx.SetBody(make([]byte, large))
		close(served)
	})
	c := dial(t, l)
	if _, err := io.WriteString(c, get); err != nil {
		t.Fatal(err)
	}
	<-served
	waitOpen(t, l, 0)
	if n, err := io.Copy(io.Discard, c); err == nil && n >= large {
		t.Errorf("an answer nobody read was kept for %d bytes", n)
	}
}
