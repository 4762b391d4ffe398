// Package client is the edge's HTTP API for Go programs. Requests and answers are typed, refusals are errors with a code,
// and the client repeats calls by itself. Each write has an Idempotency-Key, the caller's or one that the client makes.
// The client repeats a write with that key only, so a repeated call has at most one effect.
//
// A call ends in one of four ways:
//
//   - with an answer;
//   - with a *Problem: the edge has refused it;
//   - with ErrOutcomeUnknown: the request may have had its effect, and the client could not find out in time;
//   - with another error: nothing was done.
//
// The package decides nothing about stock, and imports neither the scripts nor a Redis client.
package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sluice/core/lifecycle"
)

// Config says how to reach an edge.
type Config struct {
	// URL is the URL of an edge, or of the load balancer in front of edges: http://127.0.0.1:8080. The client adds paths to
	// it.
	URL string
	// Token returns the access token for each request, so that the caller can renew it. If it is nil, requests have no
	// token, which is enough to ask for the stock of SKUs.
	Token func(ctx context.Context) (string, error)
	// HTTP sends the requests. Defaults to a client with limits of its own. The Client never follows redirects, whatever
	// HTTP allows, because they would carry a token elsewhere.
	HTTP *http.Client
	// Attempts is how often the client sends a request at most. Defaults to 4. More attempts survive longer outages, and
	// put load on an edge in trouble for longer.
	Attempts int
	// Timeout bounds each attempt of a shopper's or service's call, and the wait for its turn. Defaults to
	// TimeoutDefault.
	Timeout time.Duration
	// AdminTimeout is the same for an admin's call. Defaults to AdminTimeoutDefault.
	AdminTimeout time.Duration
	// AtOnce bounds the requests that are under way at the same time, and so the connections. Defaults to 64. Others wait
	// for their turn.
	AtOnce int
}

// Bounds that must fit those of an edge. A test in package edge checks that.
const (
	TimeoutDefault      = 5 * time.Second  // longer than an edge takes at any acknowledge level
	AdminTimeoutDefault = 40 * time.Second // longer than an edge works on a large sale
	IdleTimeout         = 10 * time.Second // shorter than an edge keeps an idle connection
)

// Bounds that are no settings.
const (
	answerBytesMax = 8 << 20 // a sale of 10,000 SKUs takes about 2 MB
	headerBytesMax = 64 << 10
	dialTimeout    = 2 * time.Second
	backoffMin     = 50 * time.Millisecond
	backoffMax     = 2 * time.Second
	retryAfterMax  = 10 * time.Second // if an edge asks for a longer wait, the call ends with its error
)

// Client asks an edge. It is safe for concurrent use.
type Client struct {
	url          string
	token        func(ctx context.Context) (string, error)
	http         *http.Client
	attempts     int
	timeout      time.Duration
	adminTimeout time.Duration
	places       chan struct{} // one for each request that may be under way
	pause        func(ctx context.Context, d time.Duration) bool
}

// New makes a client. The caller closes it.
func New(cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c := &Client{
		url:          strings.TrimRight(cfg.URL, "/"),
		token:        cfg.Token,
		attempts:     or(cfg.Attempts, 4),
		timeout:      or(cfg.Timeout, TimeoutDefault),
		adminTimeout: or(cfg.AdminTimeout, AdminTimeoutDefault),
		places:       make(chan struct{}, or(cfg.AtOnce, 64)),
		pause:        lifecycle.Pause,
	}
	sender := http.Client{Transport: transport(cap(c.places))}
	if cfg.HTTP != nil {
		sender = *cfg.HTTP
	}
	sender.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &sender
	return c, nil
}

// or returns value, or otherwise if value is zero.
func or[T int | time.Duration](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}

func (cfg Config) check() error {
	var faults []error
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		faults = append(faults, fmt.Errorf("client: URL %q: want one of an edge, such as http://127.0.0.1:8080", cfg.URL))
	}
	for _, field := range []struct {
		name  string
		value int64
	}{
		{"Attempts", int64(cfg.Attempts)},
		{"Timeout", int64(cfg.Timeout)},
		{"AdminTimeout", int64(cfg.AdminTimeout)},
		{"AtOnce", int64(cfg.AtOnce)},
	} {
		if field.value < 0 {
			faults = append(faults, fmt.Errorf("client: %s is negative: want more than 0, or 0 for the default", field.name))
		}
	}
	return errors.Join(faults...)
}

func transport(conns int) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:    dialTimeout,
		MaxIdleConns:           conns,
		MaxIdleConnsPerHost:    conns,
		MaxConnsPerHost:        conns,
		IdleConnTimeout:        IdleTimeout,
		MaxResponseHeaderBytes: headerBytesMax,
		DisableCompression:     true, // an edge compresses nothing, and answers stay as large as they are
		ForceAttemptHTTP2:      true,
	}
}

// As returns the same client with another token. Both share connections and limits.
func (c *Client) As(token string) *Client {
	other := *c
	other.token = func(context.Context) (string, error) { return token, nil }
	return &other
}

// Close closes idle connections. The client remains usable.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// backoff returns how long to wait after an attempt: at least as long as the edge asked for, and a random while more. So
// clients that were turned away together do not come back together.
func backoff(attempt int, asked time.Duration) time.Duration {
	window := backoffMax
	if attempt < 6 {
		window = min(backoffMin<<attempt, backoffMax)
	}
	return asked + rand.N(window) //nolint:gosec // G404: it only spreads retries
}
