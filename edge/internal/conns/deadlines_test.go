package conns_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/edge/internal/conns"
)

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
