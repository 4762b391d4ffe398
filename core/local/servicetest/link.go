package servicetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// Link is a way to a server that a test can stall or cut. While it is stalled, connections stay up and nothing gets
// through.
type Link struct {
	Addr string // host:port of this end

	to       string
	listener net.Listener
	ends     sync.WaitGroup

	mu     sync.Mutex
	open   sync.Cond // the link is not stalled, or closed
	stall  bool
	conns  []net.Conn // nil once it is closed
	sign   []byte     // bytes that do not get through; nil: all do
	forged []byte     // what comes instead of answers; nil: they get through
	first  func()     // called before their connection ends
}

// NewLink opens a link to a server's address. It closes with the test.
func NewLink(t testing.TB, to string) *Link {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Link{Addr: listener.Addr().String(), to: to, listener: listener, conns: []net.Conn{}}
	l.open.L = &l.mu
	l.ends.Go(func() { l.accept(t.Context()) })
	t.Cleanup(l.close)
	return l
}

// Stall holds back everything from now on, in both directions.
func (l *Link) Stall() { l.set(true) }

// Resume lets through everything that was held back, and everything that follows.
func (l *Link) Resume() { l.set(false) }

// Cut resets all connections, like a firewall that has forgotten them. New connections get through.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
	l.conns = l.conns[:0]
}

// CutBefore ends the next connection that is about to carry some bytes in one write. They do not get through. It calls
// first before that.
func (l *Link) CutBefore(sign []byte, first func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sign, l.first = sign, first
}

// Forge sends some bytes in place of each piece of what the server answers. Without bytes its answers get through again.
func (l *Link) Forge(bytes []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forged = bytes
}

func (l *Link) set(stall bool) {
	l.mu.Lock()
	l.stall = stall
	l.mu.Unlock()
	l.open.Broadcast()
}

func (l *Link) accept(ctx context.Context) {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return // it is closed
		}
		far, err := new(net.Dialer).DialContext(ctx, "tcp", l.to)
		if err != nil || !l.keep(near, far) {
			_ = near.Close()
			continue
		}
		l.ends.Go(func() { l.forward(near, gated{Conn: far, link: l}) })
		l.ends.Go(func() { l.forward(far, gated{Conn: near, link: l, answers: true}) })
	}
}

// keep notes connections to close with the link. It returns false if the link is closed already.
func (l *Link) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		for _, c := range conns {
			_ = c.Close()
		}
		return false
	}
	l.conns = append(l.conns, conns...)
	return true
}

// forward copies until either end is closed.
func (l *Link) forward(from net.Conn, to gated) {
	defer from.Close()
	defer to.Close()
	_, _ = io.Copy(to, from) // however it ends, the connection has ended
}

// gated is an end of a link. It takes nothing while the link is stalled.
type gated struct {
	net.Conn
	link    *Link
	answers bool // it is the client's end
}

func (g gated) Write(data []byte) (int, error) {
	g.link.mu.Lock()
	for g.link.stall && g.link.conns != nil {
		g.link.open.Wait()
	}
	closed := g.link.conns == nil
	cut := g.link.sign != nil && bytes.Contains(data, g.link.sign)
	if cut {
		g.link.sign = nil
		g.link.first()
	}
	var forged []byte
	if g.answers {
		forged = g.link.forged
	}
	g.link.mu.Unlock()
	if cut {
		return 0, errors.New("the connection is cut")
	}
	if closed {
		return 0, errors.New("the link is closed")
	}
	if forged != nil {
		_, err := g.Conn.Write(forged)
		return len(data), err
	}
	return g.Conn.Write(data)
}

func (l *Link) close() {
	_ = l.listener.Close()
	l.mu.Lock()
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
	l.mu.Unlock()
	l.open.Broadcast()
	l.ends.Wait()
}
