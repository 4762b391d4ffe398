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

// StateChanged is fasthttp's ConnState hook: a connection is idle from the end of an answer on, until
// there is something of the next request.
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

// goOn makes a connection busy whose next request came with the one before it: fasthttp has it in its
// buffer, where Read did not see it, and maybe the answer to the one before it too. So the connection
// goes on even if it is ending, by a drain whose deadline the lock waits for: the next read sets another.
func (l *Listener) goOn(c *conn) {
	if !c.state.CompareAndSwap(idle, busy) {
		l.mu.Lock()
		defer l.mu.Unlock()
		c.state.Store(busy)
	}
}

// Drain closes the listener, and each connection as soon as no request of it is under way. It returns
// when all are closed. At the end of ctx it closes the rest in the middle and says how many.
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
