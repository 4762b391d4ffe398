package conns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

const drainTick = 10 * time.Millisecond

// StateChanged is fasthttp's ConnState hook. A connection is idle from the end of an answer until the first byte of the
// next request.
func (l *Listener) StateChanged(nc net.Conn, state fasthttp.ConnState) {
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	switch state {
	case fasthttp.StateActive:
		if c.state.Load() != busy {
			l.goOn(c)
		}
	case fasthttp.StateIdle:
		c.answered, c.reading = true, false
		c.state.CompareAndSwap(busy, idle)
		if l.draining.Load() { // read after the state is idle: either this or Drain sees the other
			c.state.CompareAndSwap(idle, ending)
		}
	case fasthttp.StateNew, fasthttp.StateHijacked, fasthttp.StateClosed:
	}
}

// goOn makes a connection busy if its next request came together with the one before. fasthttp has that request in its
// buffer, so Read did not see it. The buffer may also hold the answer to the request before. So the connection goes on
// even if a drain has marked it as ending. The lock waits until the drain has set its deadline; the next read sets
// another one.
func (l *Listener) goOn(c *conn) {
	if !c.state.CompareAndSwap(idle, busy) {
		l.mu.Lock()
		defer l.mu.Unlock()
		c.state.Store(busy)
	}
}

// Drain closes the listener, and each connection as soon as none of its requests is under way. It returns when all are
// closed. When ctx ends, it cuts the remaining connections and says how many.
func (l *Listener) Drain(ctx context.Context) error {
	err := l.Close()
	l.mu.Lock()
	l.draining.Store(true)
	for c := range l.open {
		c.endIfIdle()
	}
	l.mu.Unlock()
	defer l.refusals.Wait()

	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for l.Open() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(err, l.cut(ctx.Err()))
		}
	}
	return err
}

func (l *Listener) cut(cause error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		_ = c.TCPConn.Close() // its own goroutine notices and closes it in order
	}
	return fmt.Errorf("cut %d connections: %w", len(l.open), cause)
}
