package conns

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// LingerBytes is how much a connection still takes in after its answer. The largest body is smaller.
const LingerBytes = 2 << 20

const lingerTime = 500 * time.Millisecond // of that

// The states of a connection.
const (
	idle   int32 = iota // waiting for the first byte of a request
	busy                // between the first byte of a request and the end of its answer
	ending              // idle, and not read again: it closes, unless a request has already been read
)

type conn struct {
	*net.TCPConn
	listener *Listener
	address  netip.Addr
	state    atomic.Int32
	dead     atomic.Bool // the peer has gone, or does not answer: nothing to linger for
	once     sync.Once

	deadlines // of the goroutine that serves the connection
}

// Read implements net.Conn. On a connection that is ending it returns no bytes. So the server never sees a request that
// came too late, and does not execute it.
func (c *conn) Read(b []byte) (int, error) {
	if c.answered && c.state.Load() == idle {
		runtime.Gosched() // once others were answered too the next request is often there, and a wait is saved
	}
	c.armRead()
	if c.state.Load() == ending { // after the deadline was set, which endIfIdle sets too
		return 0, net.ErrClosed
	}
	n, err := c.TCPConn.Read(b)
	if n > 0 && !c.state.CompareAndSwap(idle, busy) && c.state.Load() == ending {
		return 0, net.ErrClosed
	}
	if err != nil {
		if c.state.Load() == ending { // woken by endIfIdle
			return 0, net.ErrClosed
		}
		c.dead.Store(true)
	}
	return n, err
}

// endIfIdle wakes the connection's reader, unless a request has begun to come in.
func (c *conn) endIfIdle() {
	if c.state.CompareAndSwap(idle, ending) {
		_ = c.TCPConn.SetReadDeadline(time.Unix(1, 0)) // fails on a closed connection, which needs no waking
	}
}

// Close implements net.Conn. It lets the peer read what was written before the connection goes.
func (c *conn) Close() error {
	var err error
	c.once.Do(func() {
		if !c.dead.Load() {
			linger(c.TCPConn)
		}
		err = c.TCPConn.Close()
		c.listener.forget(c)
	})
	return err
}

// linger ends our side and reads on until the peer has seen the end. If a connection is closed with unread bytes, the
// kernel resets it, and the peer loses our last answer.
func linger(tcp *net.TCPConn) {
	if tcp.CloseWrite() != nil {
		return
	}
	_ = tcp.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, tcp, LingerBytes) // whatever ends it, nothing is left to do
}
