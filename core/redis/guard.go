package redis

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
)

// dialGuarded connects to a server that has to keep to the protocol. The client panics on a goroutine of its own, which
// ends the process, if answers do not match commands, and takes as much memory as a length says.
func dialGuarded(ctx context.Context, addr string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	dial, network := dialer.DialContext, "tcp"
	switch {
	case isSocket(addr):
		network, addr = "unix", socketPath(addr)
	case config != nil:
		dial = (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext
	}
	conn, err := dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return newGuarded(conn), nil
}

// guarded is a connection to a server that keeps to the protocol. One goroutine reads, and one writes.
type guarded struct {
	net.Conn
	owed     owed
	commands commands
	answers  answers
	fault    error // of what was read last
}

func newGuarded(conn net.Conn) *guarded {
	g := &guarded{Conn: conn}
	g.commands.owed, g.answers.owed = &g.owed, &g.owed
	return g
}

// Write notes which answers the commands get before the server can give them.
func (g *guarded) Write(chunk []byte) (int, error) {
	if err := g.commands.note(chunk); err != nil {
		return 0, fmt.Errorf("write to redis %s: %w", g.RemoteAddr(), err)
	}
	return g.Conn.Write(chunk)
}

// Read returns nothing of what comes with something that the server should not have sent: if there is an answer too many,
// nobody knows which one it is.
func (g *guarded) Read(chunk []byte) (int, error) {
	if g.fault != nil {
		return 0, g.fault
	}
	n, err := g.Conn.Read(chunk)
	if fault := g.answers.check(chunk[:n]); fault != nil {
		g.fault = fmt.Errorf("redis %s does not keep to its protocol: %w", g.RemoteAddr(), fault)
		return 0, g.fault
	}
	return n, err
}
