// Package conns owns the edge's connections. It limits how many there are, in all and from one address, and how long a
// client may take. It brings an answer to a client that is still sending. And its drain cuts no request that was read.
//
// fasthttp does none of this well enough. It refuses connections in plain text. After an early answer it closes at once, so
// that the kernel resets the connection and the client loses the answer. It moves deadlines three times per request. Its
// shutdown can close a connection in the moment in which a request arrives on it.
package conns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/limit"
)

// Bounds of the courtesies of the listener.
const (
	refusalTime  = time.Second
	refusalsMax  = 64 // refusals under way at once
	acceptPause  = 50 * time.Millisecond
	tellEvery    = 10 * time.Second // while connections cannot be accepted
	requestBytes = 4 << 10          // of a refused connection's request that are read before it is answered
)

// Config bounds the connections of a Listener.
type Config struct {
	Max           int // connections at once
	PerAddressMax int // of them from one address (IPv6: one /64); 0: no limit of its own
	// Full and Crowded are the complete answers to a connection above Max and above PerAddressMax.
	Full, Crowded []byte
	Timeouts      Timeouts
	Metrics       *metrics.Set
	Log           *slog.Logger
}

// Listener is a TCP listener that limits its connections and can drain them.
type Listener struct {
	tcp   *net.TCPListener
	cfg   Config
	start time.Time

	mu        sync.Mutex
	open      map[*conn]struct{}
	addresses map[netip.Addr]int

	draining atomic.Bool
	closed   chan struct{}
	refusing chan struct{}
	freed    chan struct{} // has a value when a place may be free that was not
	refusals sync.WaitGroup

	full, crowded, failed *metrics.Counter
}

// Listen listens on a TCP address.
func Listen(ctx context.Context, address string, cfg Config) (*Listener, error) {
	inner, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	tcp, ok := inner.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen on %s: not TCP", address), inner.Close())
	}
	l := &Listener{
		tcp:       tcp,
		cfg:       cfg,
		start:     time.Now(),
		open:      make(map[*conn]struct{}),
		addresses: make(map[netip.Addr]int),
		closed:    make(chan struct{}),
		refusing:  make(chan struct{}, refusalsMax),
		freed:     make(chan struct{}, 1),
		full:      cfg.Metrics.NewCounter(`sluice_edge_http_refused_connections_total{reason="full"}`),
		crowded:   cfg.Metrics.NewCounter(`sluice_edge_http_refused_connections_total{reason="crowded"}`),
		failed:    cfg.Metrics.NewCounter("sluice_edge_http_accept_failures_total"),
	}
	cfg.Metrics.NewGauge("sluice_edge_http_connections", func() float64 { return float64(l.Open()) })
	cfg.Metrics.NewGauge("sluice_edge_http_max_connections", func() float64 { return float64(cfg.Max) })
	return l, nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.tcp.Addr() }

// Open is the number of connections.
func (l *Listener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// Accept implements net.Listener. After Close it returns io.EOF. It does not fail for a shortage of files or memory, but
// waits, because its caller gives up at the first error.
func (l *Listener) Accept() (net.Conn, error) {
	var told time.Time
	for {
		tcp, err := l.tcp.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return nil, io.EOF
		}
		if err != nil {
			l.failed.Inc()
			if now := time.Now(); now.Sub(told) >= tellEvery {
				told = now
				l.cfg.Log.Error("connections cannot be accepted: they wait until the system has files and memory for them",
					"error", err, "connections", l.Open(), "failures", l.failed.Get())
			}
			select {
			case <-l.closed:
				return nil, io.EOF
			case <-time.After(acceptPause):
				continue
			}
		}
		if c := l.admit(tcp); c != nil {
			return c, nil
		}
	}
}

// admit makes a connection of tcp, or refuses it. If many refusals are under way, it waits until one ends or there is a place
// again, and the listener accepts nothing meanwhile: the kernel keeps who comes, up to its backlog.
func (l *Listener) admit(tcp *net.TCPConn) *conn {
	for {
		c, where := l.place(tcp)
		switch where {
		case placed:
			return c
		case shut:
			drop(tcp)
			return nil
		case crowded: // others are served, so nobody waits: the connection may get no answer
			l.crowded.Inc()
			select {
			case l.refusing <- struct{}{}:
				l.refuse(tcp, l.cfg.Crowded)
			default:
				drop(tcp)
			}
			return nil
		case full:
		}
		select {
		case l.refusing <- struct{}{}:
			l.full.Inc()
			l.refuse(tcp, l.cfg.Full)
			return nil
		case <-l.freed:
		case <-l.closed:
			drop(tcp)
			return nil
		}
	}
}

// place is where a connection is put.
type place uint8

const (
	placed  place = iota
	full          // too many in all
	crowded       // too many from its address
	shut          // accepted in the moment in which the listener was closed
)

// place makes a connection of tcp if there is a place for it.
func (l *Listener) place(tcp *net.TCPConn) (*conn, place) {
	c := &conn{TCPConn: tcp, listener: l}
	if peer, ok := tcp.RemoteAddr().(*net.TCPAddr); ok {
		c.address = limit.Address(peer.AddrPort().Addr())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.draining.Load():
		return nil, shut
	case len(l.open) >= l.cfg.Max:
		select {
		case <-l.freed: // it told of a place that is taken
		default:
		}
		return nil, full
	case l.cfg.PerAddressMax > 0 && l.addresses[c.address] >= l.cfg.PerAddressMax:
		return nil, crowded
	}
	l.open[c] = struct{}{}
	l.addresses[c.address]++
	return c, placed
}

func drop(tcp *net.TCPConn) { _ = tcp.Close() }

func (l *Listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
	if l.addresses[c.address]--; l.addresses[c.address] <= 0 {
		delete(l.addresses, c.address)
	}
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// refuse answers a connection that nobody will serve. It waits for the beginning of a request, because an answer before that
// confuses clients.
func (l *Listener) refuse(tcp *net.TCPConn, answer []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.draining.Load() { // which waits for the refusals that it finds
		<-l.refusing
		drop(tcp)
		return
	}
	l.refusals.Go(func() {
		defer func() { <-l.refusing }()
		_ = tcp.SetDeadline(time.Now().Add(refusalTime))
		if _, err := tcp.Read(make([]byte, requestBytes)); err == nil {
			if _, err = tcp.Write(answer); err == nil {
				linger(tcp)
			}
		}
		_ = tcp.Close()
	})
}

// Close implements net.Listener. From then on Accept accepts no connection. Existing connections stay.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return nil
	default:
		close(l.closed)
		return l.tcp.Close()
	}
}
