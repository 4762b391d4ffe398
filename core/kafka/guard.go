package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

const (
	dialTimeout = 3 * time.Second
	// sizeBytes are the bytes before a request or an answer that say how long it is.
	sizeBytes = 4
	// answerMax bounds an answer that carries messages, in bytes, and smallMax any other.
	answerMax = 64 << 20
	smallMax  = 1 << 20
	// readBytes is how much memory an answer takes before its bytes have come.
	readBytes = 64 << 10
	// keepMax bounds the buffer that a connection keeps for its next answer.
	keepMax = 4 << 20
)

// Dial connects to a broker that has to keep to the protocol. The library reads on goroutines of its own, panics there, which
// ends the process, if a length in an answer is wrong, and takes as much memory as a length says. Whoever makes a client, a
// transport or a consumer group gives it Dial.
func Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return newGuarded(conn), nil
}

// guarded is a connection to a broker that keeps to the protocol. It gives an answer to its reader when it has all of it and has
// looked at it. One goroutine reads, and one writes.
type guarded struct {
	net.Conn
	requests requests
	answer   []byte // the one that is being read, with its size, as far as it has come
	given    int    // bytes of it that the reader has
	fault    error  // what the broker should not have sent
}

func newGuarded(conn net.Conn) *guarded { return &guarded{Conn: conn} }

// Write notes which answers the requests get before the broker can give them.
func (g *guarded) Write(chunk []byte) (int, error) {
	g.requests.note(chunk)
	return g.Conn.Write(chunk)
}

// Read implements net.Conn. After an error in the midst of an answer, as when time is up, the next Read goes on with it.
func (g *guarded) Read(chunk []byte) (int, error) {
	if g.fault != nil {
		return 0, g.fault
	}
	if g.given == 0 {
		if err := g.receive(); err != nil {
			return 0, err
		}
		if err := g.check(); err != nil {
			return 0, g.end(err)
		}
	}
	n := copy(chunk, g.answer[g.given:])
	g.given += n
	if g.given == len(g.answer) {
		g.given = 0
		if g.answer = g.answer[:0]; cap(g.answer) > keepMax {
			g.answer = nil
		}
	}
	return n, nil
}

// receive reads the rest of an answer.
func (g *guarded) receive() error {
	for {
		missing := sizeBytes - len(g.answer)
		if missing <= 0 {
			size, err := g.size()
			if err != nil {
				return g.end(err)
			}
			missing = sizeBytes + size - len(g.answer)
		}
		if missing == 0 {
			return nil
		}
		g.answer = slices.Grow(g.answer, min(missing, max(readBytes, len(g.answer))))
		n, err := g.Conn.Read(g.answer[len(g.answer):min(cap(g.answer), len(g.answer)+missing)])
		g.answer = g.answer[:len(g.answer)+n]
		if err != nil {
			return err
		}
	}
}

var errSize = errors.New("the size of an answer is wrong")

// size returns how long the answer says that it is. It has at least the number of its request.
func (g *guarded) size() (int, error) {
	size := int(int32(binary.BigEndian.Uint32(g.answer)))
	if size < sizeBytes || size > g.requests.sizeMax() {
		return 0, fmt.Errorf("%w: it begins with %q", errSize, g.answer[:sizeBytes])
	}
	return size, nil
}

// check looks at a whole answer.
func (g *guarded) check() (err error) {
	defer func() {
		if said := recover(); said != nil { // of a library that decompresses
			err = fmt.Errorf("%v", said)
		}
	}()
	b := body{left: g.answer[sizeBytes:]}
	asked, err := g.requests.settle(b.int32())
	if err != nil {
		return err
	}
	shape, err := shapeOf(asked)
	if err != nil {
		return err
	}
	shape(&b)
	return b.fault
}

func (g *guarded) end(err error) error {
	g.fault = fmt.Errorf("kafka %s does not keep to its protocol: %w", g.RemoteAddr(), err)
	g.answer = nil
	return g.fault
}
