// Package load drives an HTTP server from this machine and tells what came back: how many of which
// outcome, how fast, and how late. It speaks just enough HTTP/1.1 for servers under test, so that
// the driver costs little beside them, and it dials loopback addresses only.
package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// ErrNotLoopback means that an address is not on this machine.
var ErrNotLoopback = errors.New("not a loopback address: the driver sends load to this machine only")

// ErrResponse means that the driver does not understand an answer as HTTP/1.1.
var ErrResponse = errors.New("unreadable response")

const responseBytesMax = 1 << 20

// Conn is one keep-alive connection. It is not safe for concurrent use.
type Conn struct {
	net     net.Conn
	read    *bufio.Reader
	timeout time.Duration
	header  []byte
	body    []byte
}

// Response is one answer. Header and Body are valid until the next call of Do.
type Response struct {
	Status int
	Body   []byte
	Replay bool   // Idempotent-Replayed: true
	Header []byte // the header lines as they came, without the empty one

	close bool
}

// Dial connects to a loopback host:port. The timeout bounds each exchange.
func Dial(addr string, timeout time.Duration) (*Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("dial %q: %w", addr, ErrNotLoopback)
	}
	c, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return nil, err
	}
	return &Conn{net: c, read: newReader(c), timeout: timeout}, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.net.Close() }

// Do sends one complete request and reads its answer. After an error the connection is of no more
// use, and whether the server acted on the request is unknown.
func (c *Conn) Do(request []byte) (Response, error) {
	if err := c.net.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return Response{}, err
	}
	if _, err := c.net.Write(request); err != nil {
		return Response{}, err
	}
	return c.answer()
}

func (c *Conn) answer() (Response, error) {
	line, err := c.read.ReadSlice('\n')
	if err != nil {
		return Response{}, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return Response{}, fmt.Errorf("%w: status line %q", ErrResponse, line)
	}
	var r Response
	if r.Status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return Response{}, fmt.Errorf("%w: status line %q", ErrResponse, line)
	}
	length := -1
	c.header = c.header[:0]
	for {
		line, err = c.read.ReadSlice('\n')
		if err != nil {
			return Response{}, err
		}
		if len(line) <= len("\r\n") {
			break
		}
		c.header = append(c.header, line...)
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil || length > responseBytesMax {
				return Response{}, fmt.Errorf("%w: content length %q", ErrResponse, value)
			}
		case bytes.EqualFold(name, []byte("Idempotent-Replayed")):
			r.Replay = string(value) == "true"
		case bytes.EqualFold(name, []byte("Connection")):
			r.close = bytes.EqualFold(value, []byte("close"))
		}
	}
	r.Header = c.header
	if length < 0 {
		return Response{}, fmt.Errorf("%w: no content length", ErrResponse)
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	r.Body = c.body[:length]
	_, err = io.ReadFull(c.read, r.Body)
	return r, err
}

func newReader(c net.Conn) *bufio.Reader { return bufio.NewReaderSize(c, 4096) }
