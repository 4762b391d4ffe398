package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/idempotency"
	"sluice/core/problem"
)

// call is one request, however often it is sent.
type call struct {
	method, path string
	query        url.Values
	key          string // of a write
	body         any    // nil: none
	admin        bool
}

func (q *call) writes() bool { return q.method != http.MethodGet }

// Receipt says how a write was done.
type Receipt struct {
	Key      string // the Idempotency-Key: the caller's, or the one that the client made
	Replayed bool   // an earlier request with this key had done it
	Warning  string // for people: what the change does not do
}

func (r *Receipt) receive(from Receipt) { *r = from }

// complete reports whether an answer has all members that every such answer has. Answers implement it.
type complete interface{ complete() bool }

// send makes a call and reads its answer.
func send[T any](ctx context.Context, c *Client, q call) (T, error) {
	var got T
	receipt, err := c.do(ctx, &q, func(body []byte) error {
		got = *new(T)
		if err := json.Unmarshal(body, &got); err != nil {
			return err
		}
		if whole, ok := any(&got).(complete); ok && !whole.complete() {
			return errors.New("members are missing")
		}
		return nil
	})
	if err != nil {
		return *new(T), err
	}
	if written, ok := any(&got).(interface{ receive(from Receipt) }); ok {
		written.receive(receipt)
	}
	return got, nil
}

// outcome is the outcome of one attempt. Without an error the attempt succeeded.
type outcome struct {
	err     error
	again   bool // the call may be repeated, and that may help
	unknown bool // the attempt may have had an effect
	certain bool // the answer says what happened to the call, including earlier attempts
	after   time.Duration
	receipt Receipt
}

// do sends a call until its outcome is certain, until repeating cannot help, or until attempts or time have run out.
func (c *Client) do(ctx context.Context, q *call, decode func([]byte) error) (Receipt, error) {
	if q.writes() {
		if q.key == "" {
			q.key = rand.Text()
		}
		if kind := problem.KeyInvalid; !idempotency.Valid(q.key) {
			return Receipt{}, &Problem{
				Code: Code(kind.Code), Status: kind.Status, Title: kind.Title, Detail: idempotency.Rule, Key: q.key,
			}
		}
	}
	var body []byte
	if q.body != nil {
		var err error
		if body, err = json.Marshal(q.body); err != nil {
			return Receipt{}, fmt.Errorf("client: write the body of %s %s: %w", q.method, q.path, err)
		}
	}
	unknown := false
	for attempt := 1; ; attempt++ {
		o := c.attempt(ctx, q, body, decode)
		if o.err == nil {
			return o.receipt, nil
		}
		unknown = (unknown && !o.certain || o.unknown) && q.writes()
		if !o.again || attempt == c.attempts || !c.wait(ctx, attempt, o.after) {
			if unknown {
				return Receipt{}, &UnknownError{Key: q.key, Cause: o.err}
			}
			return Receipt{}, o.err
		}
	}
}

// wait waits before the next attempt. It returns false if there is no time for one.
func (c *Client) wait(ctx context.Context, attempt int, asked time.Duration) bool {
	if asked > retryAfterMax {
		return false
	}
	d := backoff(attempt, asked)
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return false
	}
	return c.pause(ctx, d)
}

// attempt sends a call once.
func (c *Client) attempt(ctx context.Context, q *call, body []byte, decode func([]byte) error) outcome {
	limit := c.timeout
	if q.admin {
		limit = c.adminTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case c.places <- struct{}{}:
		defer func() { <-c.places }()
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil { // even if the attempt got its turn
		return outcome{err: fmt.Errorf("client: %s %s was not sent: %w", q.method, q.path, err), again: true}
	}
	req, err := c.request(ctx, q, body)
	if err != nil {
		return outcome{err: err}
	}
	// If a kept connection was closed, net/http sends a request with a key again by itself. So a connection that
	// nobody accepts does not prove that the first sending did not arrive.
	var connected atomic.Bool
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}))
	resp, err := c.http.Do(req)
	if err != nil {
		var op *net.OpError
		unsent := errors.As(err, &op) && op.Op == "dial" && !connected.Load()
		return outcome{err: fmt.Errorf("client: %w", err), again: true, unknown: !unsent}
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax+1))
	switch {
	case err != nil:
		return outcome{err: fmt.Errorf("client: read the answer to %s %s: %w", q.method, q.path, err), again: true, unknown: true}
	case len(answer) > answerBytesMax:
		return foreign(q, resp, fmt.Sprintf("more than %d bytes", answerBytesMax))
	case mediaType(resp) == problem.MediaType:
		return refusal(q, resp, answer)
	case resp.StatusCode/100 != 2 || mediaType(resp) != "application/json":
		return foreign(q, resp, "not an answer of sluice")
	}
	if err := decode(answer); err != nil {
		return foreign(q, resp, err.Error())
	}
	return outcome{receipt: Receipt{
		Key: q.key, Replayed: resp.Header.Get("Idempotent-Replayed") == "true", Warning: resp.Header.Get("Sluice-Warning"),
	}}
}

func mediaType(resp *http.Response) string {
	name, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(name))
}

func (c *Client) request(ctx context.Context, q *call, body []byte) (*http.Request, error) {
	target := c.url + q.path
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	var content io.Reader = http.NoBody
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, target, content)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if q.writes() {
		req.Header.Set("Idempotency-Key", idempotency.Format(q.key))
	}
	if c.token == nil {
		return req, nil
	}
	token, err := c.token(ctx)
	if err != nil {
		return nil, fmt.Errorf("client: get an access token: %w", err)
	}
	if !visible(token) {
		return nil, errors.New("client: the access token is empty, or has characters that no token has")
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return req, nil
}

// visible reports whether a text is of visible ASCII characters, at least one.
func visible(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// refusal returns the outcome that a problem document describes.
func refusal(q *call, resp *http.Response, body []byte) outcome {
	p := &Problem{Status: resp.StatusCode, Key: q.key}
	if err := json.Unmarshal(body, p); err != nil || p.Code == "" {
		return foreign(q, resp, "no problem document of sluice")
	}
	if seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31); err == nil {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	o := outcome{err: p, after: p.RetryAfter}
	switch p.Status {
	case http.StatusConflict, http.StatusGone, http.StatusUnprocessableEntity:
		o.certain = true
	case http.StatusNotFound:
		o.certain = p.Code != CodeNotFound
	case http.StatusForbidden:
		o.certain = p.Code != CodeForbidden
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		o.again = p.Retryable
	case http.StatusServiceUnavailable:
		o.again, o.certain = p.Retryable, p.Code == CodeInTransit || !p.Retryable // the refusal of a basket is recorded
	case http.StatusInternalServerError, http.StatusGatewayTimeout:
		o.again, o.unknown = p.Retryable, true
	}
	return o
}

// foreign returns the outcome of an answer that came from something in front of the edge, such as a proxy. The proxy
// may have passed the request on. So the outcome is unknown, unless the answer says that the proxy turned the request
// away.
func foreign(q *call, resp *http.Response, why string) outcome {
	status := resp.StatusCode
	o := outcome{err: fmt.Errorf("client: %s %s was answered %d with %q: %s", q.method, q.path, status, resp.Header.Get("Content-Type"), why)}
	switch {
	case status/100 == 3:
		o.err = fmt.Errorf("client: %s %s was answered %d: redirects are not followed; correct the URL of the client", q.method, q.path, status)
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		o.again = true
		o.unknown = status == http.StatusServiceUnavailable
	case status/100 != 4:
		o.again, o.unknown = true, true
	}
	return o
}
