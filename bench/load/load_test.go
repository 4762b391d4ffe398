package load

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// serve runs a fasthttp handler on a free loopback port until the test ends.
func serve(t *testing.T, handler fasthttp.RequestHandler) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &fasthttp.Server{Handler: handler, IdleTimeout: time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	t.Cleanup(func() {
		_ = server.Shutdown()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func TestRunCountsEveryAnswer(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(ctx *fasthttp.RequestCtx) {
		n, _ := strconv.Atoi(string(ctx.Request.Header.Peek("Idempotency-Key")))
		ctx.SetStatusCode([]int{201, 409}[n%2])
		ctx.Response.Header.Set("Idempotent-Replayed", "true")
		_, _ = ctx.Write(ctx.PostBody())
	})
	body := ReserveBody(1001, 2)
	report, err := Run(context.Background(), Plan{
		Addr: addr, Connections: 3, Timeout: 5 * time.Second,
		Next: func(_, n int, buf []byte) []byte {
			if n == 10 {
				return nil
			}
			return AppendPost(buf, "/v1/reservations", "token", strconv.Itoa(n), body)
		},
		Got: func(_, _ int, r Response) {
			if string(r.Body) != body || !r.Replay {
				t.Errorf("got %q, replayed %v; want %q, true", r.Body, r.Replay, body)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if report.Answers[201] != 15 || report.Answers[409] != 15 || report.Errors != 0 {
		t.Errorf("got %v", report)
	}
	if got := report.LatencyUS.TotalCount(); got != 30 {
		t.Errorf("%d latencies, want 30", got)
	}
}

func TestACutExchangeIsAnErrorAndTheNextOneDialsAgain(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == "/cut" {
			ctx.HijackSetNoResponse(true)
			ctx.Hijack(func(c net.Conn) { _ = c.Close() })
		}
	})
	report, err := Run(context.Background(), Plan{
		Addr: addr, Connections: 1, Timeout: 5 * time.Second,
		Next: func(_, n int, buf []byte) []byte {
			if n == 4 {
				return nil
			}
			return AppendGet(buf, []string{"/cut", "/ok"}[n%2], "token")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if report.Errors != 2 || report.Answers[200] != 2 {
		t.Errorf("got %v, want two errors and two answers", report)
	}
}

func TestDialRefusesOtherMachines(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"192.0.2.1:80", "example.org:80", "[2001:db8::1]:80"} {
		if _, err := Dial(addr, time.Second); !errors.Is(err, ErrNotLoopback) {
			t.Errorf("Dial(%q): %v, want ErrNotLoopback", addr, err)
		}
	}
}

func TestAnswersThatCannotBeReadAreErrors(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
	} {
		client, server := net.Pipe()
		go func() {
			_, _ = server.Read(make([]byte, 512))
			_, _ = server.Write([]byte(answer))
			_ = server.Close()
		}()
		c := &Conn{net: client, read: newReader(client), timeout: time.Second}
		if r, err := c.Do([]byte("GET / HTTP/1.1\r\n\r\n")); err == nil {
			t.Errorf("%q was read as %+v", strings.TrimSpace(answer), r)
		}
		_ = c.Close()
	}
}
