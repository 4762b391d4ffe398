package conns_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"

	"sluice/edge/internal/conns"
)

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
