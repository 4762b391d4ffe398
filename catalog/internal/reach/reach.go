// Package reach makes HTTP requests to addresses that others have named, or that answer for others: sellers' systems, gateways of
// messages, providers by whom people sign in. It reaches public networks by TLS, and the shop's own networks if it is told of them,
// follows nobody elsewhere, and reads no more of an answer than it is told to.
package reach

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

const (
	headerBytesMax = 16 << 10
	idleTimeout    = 30 * time.Second
)

var (
	// ErrAddress means that nothing was sent, because the address is none of those that may be reached.
	ErrAddress = errors.New("the address may not be reached")
	// ErrTooLarge means that an answer is longer than what is read of it.
	ErrTooLarge = errors.New("the answer is too large")
)

// Config says whom a Client reaches.
type Config struct {
	// Networks are reached although they are not public, also without TLS: a shop's own. Defaults to none.
	Networks []netip.Prefix
	// Timeout is the time of a request with its answer. It has no default.
	Timeout time.Duration
	// AnswerBytesMax bounds the body of an answer: reading on is ErrTooLarge. Defaults to no bound, for who bounds it otherwise.
	AnswerBytesMax int64
	// Roots are whose certificates it believes. Defaults to those of the system.
	Roots *x509.CertPool
	// Resolver looks up names. Defaults to that of the system.
	Resolver *net.Resolver
}

// Client makes requests. It is safe for concurrent use.
type Client struct {
	// HTTP makes the requests. An error of it names the URL: see Bare.
	HTTP *http.Client

	networks       []netip.Prefix
	answerBytesMax int64
	plain, secure  *http.Transport
}

// New makes a client, which its caller closes.
func New(cfg Config) *Client {
	c := &Client{networks: cfg.Networks, answerBytesMax: cfg.AnswerBytesMax}
	c.plain, c.secure = transport(cfg, c.own), transport(cfg, c.reachable)
	c.HTTP = &http.Client{
		Transport: c, Timeout: cfg.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// RoundTrip implements http.RoundTripper: without TLS, only the shop's own networks are reached.
func (c *Client) RoundTrip(r *http.Request) (*http.Response, error) {
	by := c.plain
	if r.URL.Scheme == "https" {
		by = c.secure
	}
	answer, err := by.RoundTrip(r)
	if err == nil && c.answerBytesMax > 0 {
		answer.Body = &bounded{answer.Body, c.answerBytesMax}
	}
	return answer, err
}

// Close closes the connections that wait for further requests.
func (c *Client) Close() {
	c.plain.CloseIdleConnections()
	c.secure.CloseIdleConnections()
}

// Bare is an error of HTTP without the URL, which may have secrets in it.
func Bare(err error) error {
	if named := (*url.Error)(nil); errors.As(err, &named) {
		return named.Err
	}
	return err
}

// bounded is the body of an answer, of which no more than some bytes are read.
type bounded struct {
	io.ReadCloser

	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(into []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrTooLarge
	}
	if int64(len(into)) > b.left+1 { // one more than there may be tells that there is more
		into = into[:b.left+1]
	}
	n, err := b.ReadCloser.Read(into)
	if b.left -= int64(n); b.left < 0 {
		return n - 1, ErrTooLarge
	}
	return n, err
}

// transport makes connections to addresses that may be reached, and to no proxy of the environment.
func transport(cfg Config, may func(netip.Addr) bool) *http.Transport {
	dialer := &net.Dialer{Timeout: cfg.Timeout, ControlContext: guard(may), Resolver: cfg.Resolver}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    cfg.Timeout,
		DisableCompression:     true,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: headerBytesMax,
	}
}

// guard refuses a connection at the last moment, when its name is an address already: a name that has changed since it was
// looked up leads nowhere else.
func guard(may func(netip.Addr) bool) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !may(to.Addr()) {
			return fmt.Errorf("%w: its name stands for no public address", ErrAddress)
		}
		return nil
	}
}
