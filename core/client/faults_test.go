package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const held = `{"reservation_id":"002a7c0e0d8f1b3c5d7e9f10213243a5","sku_id":"1001","quantity":1,"state":"held","expires_at":"2026-11-11T20:15:00.250Z"}`

// script is an edge that answers each request by the next step, and the last step forever.
type script struct {
	*httptest.Server
	mu     sync.Mutex
	steps  []http.HandlerFunc
	keys   []string        // of the requests, in order
	sent   []string        // the requests without their keys
	pauses []time.Duration // of the client, between them
}

func newScript(t *testing.T, steps ...http.HandlerFunc) *script {
	t.Helper()
	s := &script{steps: steps}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.keys = append(s.keys, r.Header.Get("Idempotency-Key"))
		s.sent = append(s.sent, r.Method+" "+r.URL.Path+" "+string(body))
		step := s.steps[0]
		if len(s.steps) > 1 {
			s.steps = s.steps[1:]
		}
		s.mu.Unlock()
		step(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *script) client(t *testing.T, change func(*Config)) *Client {
	t.Helper()
	// Each request has a connection of its own: net/http repeats a request by itself on one that was closed.
	cfg := Config{URL: s.URL, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.pause = func(ctx context.Context, d time.Duration) bool {
		s.pauses = append(s.pauses, d)
		return ctx.Err() == nil
	}
	return c
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}
}

func refused(status int, code Code, retryable bool, retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"type":"urn:sluice:problem:%[1]s","title":"A title.","status":%d,"code":%q,"retryable":%t,"pointer":"/x","request_id":"9f"}`,
			code, status, code, retryable)
	}
}

// cut reads the request and closes the connection, perhaps within its answer.
func cut(sent string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = fmt.Fprint(conn, sent)
		_ = conn.Close()
	}
}

var (
	overloaded     = refused(503, CodeOverloaded, true, "1")
	outcomeUnknown = refused(504, CodeOutcomeUnknown, true, "1")
	soldOut        = refused(409, CodeSoldOut, false, "")
	unauthorized   = refused(401, CodeUnauthorized, false, "")
	cutOff         = cut("")
	cutWithin      = cut("HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"reservation_id\":\"0")
	garbage        = answer(201, `{"reservation_id":`)
	empty          = answer(201, `{}`)
	page           = func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, "<h1>proxy</h1>")
		}
	}
	oversized = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprint(w, held, strings.Repeat(" ", answerBytesMax))
	}
)

func TestWritesEndAsTheirAttemptsTell(t *testing.T) {
	t.Parallel()
	const unknown Code = CodeOutcomeUnknown
	for _, c := range []struct {
		name  string
		steps []http.HandlerFunc
		want  Code // "": a success
		asked int
	}{
		{"at once", []http.HandlerFunc{answer(201, held)}, "", 1},
		{"cut after sending", []http.HandlerFunc{cutOff, answer(201, held)}, "", 2},
		{"cut within the answer", []http.HandlerFunc{cutWithin, answer(201, held)}, "", 2},
		{"504", []http.HandlerFunc{outcomeUnknown, answer(201, held)}, "", 2},
		{"500", []http.HandlerFunc{refused(500, CodeInternal, true, "1"), answer(201, held)}, "", 2},
		{"503", []http.HandlerFunc{overloaded, answer(201, held)}, "", 2},
		{"429", []http.HandlerFunc{refused(429, CodeRateLimited, true, "1"), answer(201, held)}, "", 2},
		{"garbage", []http.HandlerFunc{garbage, answer(201, held)}, "", 2},
		{"members missing", []http.HandlerFunc{empty, answer(201, held)}, "", 2},
		{"oversized", []http.HandlerFunc{oversized, answer(201, held)}, "", 2},
		{"a proxy's 502", []http.HandlerFunc{page(502), answer(201, held)}, "", 2},
		{"a page instead of an answer", []http.HandlerFunc{page(200), answer(201, held)}, "", 2},

		{"refused", []http.HandlerFunc{soldOut}, CodeSoldOut, 1},
		{"not open, which is no outage", []http.HandlerFunc{refused(409, CodeNotOpen, true, "1")}, CodeNotOpen, 1},
		{"overloaded throughout", []http.HandlerFunc{overloaded}, CodeOverloaded, 4},
		{"in transit throughout", []http.HandlerFunc{refused(503, CodeInTransit, true, "1")}, CodeInTransit, 4},
		{"cut, then in transit", []http.HandlerFunc{cutOff, refused(503, CodeInTransit, true, "1")}, CodeInTransit, 4},
		{"cut, then refused", []http.HandlerFunc{cutOff, soldOut}, CodeSoldOut, 2},
		{"cut, then not registered", []http.HandlerFunc{cutOff, refused(403, CodeNotRegistered, false, "")}, CodeNotRegistered, 2},
		{"cut, then no such reservation", []http.HandlerFunc{cutOff, refused(404, CodeUnknownReservation, false, "")}, CodeUnknownReservation, 2},

		{"cut, then a basket that is refused for good", []http.HandlerFunc{cutOff, refused(503, CodeFrozen, false, "5")}, CodeFrozen, 2},

		{"504 throughout", []http.HandlerFunc{outcomeUnknown}, unknown, 4},
		{"cut throughout", []http.HandlerFunc{cutOff}, unknown, 4},
		{"garbage throughout", []http.HandlerFunc{garbage}, unknown, 4},
		{"a proxy's 503 throughout", []http.HandlerFunc{page(503)}, unknown, 4},
		{"cut, then overloaded: that is about the second attempt", []http.HandlerFunc{cutOff, overloaded}, unknown, 4},
		{"cut, then the token has expired", []http.HandlerFunc{cutOff, unauthorized}, unknown, 2},
		{"cut, then forbidden", []http.HandlerFunc{cutOff, refused(403, CodeForbidden, false, "")}, unknown, 2},
		{"cut, then no such path", []http.HandlerFunc{cutOff, refused(404, CodeNotFound, false, "")}, unknown, 2},
		{"cut, then told to wait for long", []http.HandlerFunc{cutOff, refused(503, CodeFrozen, true, "60")}, unknown, 2},
		{"told to wait for long", []http.HandlerFunc{refused(503, CodeFrozen, true, "60")}, CodeFrozen, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t, c.steps...)
			got, err := s.client(t, nil).Reserve(t.Context(), Take{SKU: 1001, Quantity: 1})
			if CodeOf(err) != c.want || (err == nil) != (c.want == "") {
				t.Fatalf("ended with %v, want code %q", err, c.want)
			}
			if len(s.keys) != c.asked {
				t.Errorf("asked %d times, want %d", len(s.keys), c.asked)
			}
			key := s.keys[0]
			if len(key) < 26 || slices.ContainsFunc(s.keys, func(k string) bool { return k != key }) {
				t.Errorf("keys %q: want one that nobody guesses, always the same", s.keys)
			}
			switch u := new(UnknownError); {
			case err == nil:
				if got.Key != key || got.State != StateHeld {
					t.Errorf("got %+v, want what is held, and the key %q", got, key)
				}
			case errors.As(err, &u):
				if !errors.Is(err, ErrOutcomeUnknown) || u.Key != key || u.Cause == nil {
					t.Errorf("%+v: want ErrOutcomeUnknown with the key %q", u, key)
				}
				if p := new(Problem); errors.As(err, &p) {
					t.Errorf("an unknown outcome says of itself: %v", p)
				}
			default:
				p := new(Problem)
				if !errors.As(err, &p) || p.Code != c.want || p.Key != key || p.Pointer != "/x" || p.RequestID != "9f" {
					t.Errorf("%+v: want a problem with all that it says, and the key %q", err, key)
				}
			}
		})
	}
}

// Each write of a shop is repeated as it was, with its key, until the outcome is known. If it stays unknown, the error has the key.
func TestEachWriteIsRepeatedAsItWas(t *testing.T) {
	t.Parallel()
	one := `{"data":[{"reservation_id":"002a7c0e0d8f1b3c5d7e9f10213243a5","reservation":` + held + `}]}`
	ids, until := []string{"002a7c0e0d8f1b3c5d7e9f10213243a5"}, time.Date(2026, 11, 11, 20, 0, 0, 0, time.UTC)
	for name, w := range map[string]struct {
		answer string
		call   func(ctx context.Context, c *Client) error
	}{
		"deduct": {held, func(ctx context.Context, c *Client) error {
			_, err := c.Deduct(ctx, Take{SKU: 1001, Quantity: 1})
			return err
		}},
		"basket": {`{"basket_id":"002a7c0e0d8f1b3c5d7e9f10213243a5","state":"held","reservations":[` + held + `]}`, func(ctx context.Context, c *Client) error {
			_, err := c.HoldBasket(ctx, Basket{Items: []Item{{SKU: 1001, Quantity: 1}}})
			return err
		}},
		"confirm": {held, func(ctx context.Context, c *Client) error { _, err := c.Confirm(ctx, ids[0]); return err }},
		"release": {held, func(ctx context.Context, c *Client) error { _, err := c.Release(ctx, ids[0]); return err }},
		"extend":  {held, func(ctx context.Context, c *Client) error { _, err := c.Extend(ctx, ids[0], until); return err }},
		"return": {held, func(ctx context.Context, c *Client) error {
			_, err := c.Return(ctx, Return{SKU: 1001, Quantity: 1, User: 7, Reason: "x", Asked: until})
			return err
		}},
		"confirm a list": {one, func(ctx context.Context, c *Client) error { _, err := c.ConfirmAll(ctx, ids); return err }},
		"release a list": {one, func(ctx context.Context, c *Client) error { _, err := c.ReleaseAll(ctx, ids); return err }},
		"extend a list":  {one, func(ctx context.Context, c *Client) error { _, err := c.ExtendAll(ctx, ids, until); return err }},
		"register": {`{"sale_id":"7","added":1,"registered":1}`, func(ctx context.Context, c *Client) error {
			_, err := c.RegisterUsers(ctx, 7, []int64{42})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t, cutOff, outcomeUnknown, garbage, answer(200, w.answer))
			if err := w.call(t.Context(), s.client(t, nil)); err != nil {
				t.Errorf("after three attempts in vain: %v", err)
			}
			for i := range s.sent {
				if len(s.sent) != 4 || s.sent[i] != s.sent[0] || s.keys[i] != s.keys[0] || s.keys[0] == "" {
					t.Fatalf("sent %q with keys %q, want the same four times", s.sent, s.keys)
				}
			}
			s = newScript(t, cutOff)
			u := new(UnknownError)
			if err := w.call(t.Context(), s.client(t, nil)); !errors.As(err, &u) || u.Key != s.keys[0] {
				t.Errorf("cut throughout: %v, want an unknown outcome with the key %q", err, s.keys[0])
			}
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	s := newScript(t, refused(503, CodeBackpressure, true, "2"), cutOff, answer(201, held))
	if _, err := s.client(t, nil).Reserve(t.Context(), Take{SKU: 1001, Quantity: 1}); err != nil {
		t.Fatal(err)
	}
	if len(s.pauses) != 2 || s.pauses[0] < 2*time.Second || s.pauses[0] > 2*time.Second+backoffMax || s.pauses[1] > backoffMax {
		t.Errorf("paused %v, want a little more than 2 s, then a little", s.pauses)
	}
}

// A pause that ends after the caller's deadline is pointless.
func TestNoPauseOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	s := newScript(t, refused(503, CodeBackpressure, true, "9"))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := s.client(t, nil).Reserve(ctx, Take{SKU: 1001, Quantity: 1})
	if CodeOf(err) != CodeBackpressure || len(s.pauses) != 0 {
		t.Errorf("ended with %v after pauses %v, want backpressure at once", err, s.pauses)
	}
	var p *Problem
	if errors.As(err, &p); p.RetryAfter != 9*time.Second {
		t.Errorf("the problem has Retry-After %v, want 9s", p.RetryAfter)
	}
}

func TestPausesGrowAndAreBounded(t *testing.T) {
	t.Parallel()
	for attempt := range 100 {
		most := time.Duration(0)
		for range 200 {
			d := backoff(attempt, time.Second) - time.Second
			if d < 0 || d >= backoffMax {
				t.Fatalf("after attempt %d: %v", attempt, d)
			}
			most = max(most, d)
		}
		if attempt > 8 && most < backoffMax/2 {
			t.Errorf("after attempt %d: %v at most of 200, want up to %v", attempt, most, backoffMax)
		}
	}
}

// A caller that goes away while its request is under way has an unknown outcome, whatever errors.Is says of contexts.
func TestCancelledCallers(t *testing.T) {
	t.Parallel()
	arrived, hang := make(chan struct{}), make(chan struct{})
	defer close(hang)
	s := newScript(t, func(http.ResponseWriter, *http.Request) { close(arrived); <-hang })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	c := s.client(t, nil)
	_, err := c.Reserve(ctx, Take{SKU: 1001, Quantity: 1, Key: "mine"})
	u := new(UnknownError)
	if !errors.As(err, &u) || u.Key != "mine" || errors.Is(err, context.Canceled) {
		t.Errorf("cancelled after sending: %v, want an unknown outcome with its key", err)
	}
	_, err = c.Reserve(ctx, Take{SKU: 1001, Quantity: 1})
	if errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) || len(s.keys) != 1 {
		t.Errorf("cancelled before sending: %v after %d requests, want the context's error", err, len(s.keys))
	}
}

func TestTimeoutAfterSending(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	defer close(hang)
	s := newScript(t, func(http.ResponseWriter, *http.Request) { <-hang }, answer(201, held))
	got, err := s.client(t, func(cfg *Config) { cfg.Timeout = 50 * time.Millisecond; cfg.Attempts = 2 }).
		Reserve(t.Context(), Take{SKU: 1001, Quantity: 1, Key: "mine"})
	if err != nil || got.Key != "mine" || !slices.Equal(s.keys, []string{"mine", "mine"}) {
		t.Errorf("%+v, %v after keys %q, want a success by the second attempt", got, err, s.keys)
	}
}

func TestNothingListens(t *testing.T) {
	t.Parallel()
	s := newScript(t, answer(201, held))
	c := s.client(t, nil)
	s.Close()
	_, err := c.Reserve(t.Context(), Take{SKU: 1001, Quantity: 1})
	if err == nil || errors.Is(err, ErrOutcomeUnknown) || len(s.pauses) != 3 {
		t.Errorf("%v after %d pauses, want a known failure after 3: nothing was sent", err, len(s.pauses))
	}
}

// net/http sends a request once more by itself where a connection that it had kept is closed. That nothing listens by then
// tells nothing of the first time.
func TestNothingListensAfterACut(t *testing.T) {
	t.Parallel()
	var s *script
	s = newScript(t, answer(201, held), func(w http.ResponseWriter, r *http.Request) { _ = s.Listener.Close(); cutOff(w, r) })
	c := s.client(t, func(cfg *Config) { cfg.HTTP = nil; cfg.Attempts = 1 })
	if _, err := c.Reserve(t.Context(), Take{SKU: 1001, Quantity: 1}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Reserve(t.Context(), Take{SKU: 1001, Quantity: 1})
	if !errors.Is(err, ErrOutcomeUnknown) || len(s.keys) != 2 {
		t.Errorf("cut, and then nothing listens: %v after %d requests, want an unknown outcome", err, len(s.keys))
	}
}

func TestReads(t *testing.T) {
	t.Parallel()
	const body = `{"sku_id":"1001","avail":42,"as_of":"2026-11-11T20:00:00.250Z"}`
	s := newScript(t, cutOff, overloaded, answer(200, body))
	got, err := s.client(t, nil).Stock(t.Context(), 1001, 0)
	if err != nil || got.Avail != 42 || !slices.Equal(s.keys, []string{"", "", ""}) {
		t.Errorf("%+v, %v after keys %q, want the stock by the third attempt, without a key", got, err, s.keys)
	}
	s = newScript(t, cutOff)
	if _, err := s.client(t, nil).Stock(t.Context(), 1001, 0); err == nil || errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("cut throughout: %v, want a plain error: a read has no outcome", err)
	}
}

func TestRedirectsCarryNoToken(t *testing.T) {
	t.Parallel()
	elsewhere := newScript(t, answer(201, held))
	s := newScript(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	follow := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
	_, err := s.client(t, func(cfg *Config) { cfg.HTTP = follow }).As("secret").Reserve(t.Context(), Take{SKU: 1001, Quantity: 1})
	if err == nil || errors.Is(err, ErrOutcomeUnknown) || len(elsewhere.keys) != 0 || len(s.keys) != 1 {
		t.Errorf("%v, %d requests elsewhere: want an error at once", err, len(elsewhere.keys))
	}
	if follow.CheckRedirect(nil, nil) != nil {
		t.Error("the caller's own client was changed")
	}
}

func TestRequestsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	arrived, hang := make(chan struct{}), make(chan struct{})
	s := newScript(t, func(w http.ResponseWriter, r *http.Request) { close(arrived); <-hang; answer(201, held)(w, r) }, answer(201, held))
	c := s.client(t, func(cfg *Config) { cfg.AtOnce = 1 })
	first := make(chan error)
	go func() { _, err := c.Reserve(t.Context(), Take{SKU: 1001, Quantity: 1}); first <- err }()
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.As("another").Reserve(ctx, Take{SKU: 1001, Quantity: 1})
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrOutcomeUnknown) || len(s.keys) != 1 {
		t.Errorf("beside one that is under way: %v after %d requests, want a failure before sending", err, len(s.keys))
	}
	close(hang)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, err := c.Reserve(t.Context(), Take{SKU: 1001, Quantity: 1}); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func TestKeysTokensAndIDsThatCannotBe(t *testing.T) {
	t.Parallel()
	s := newScript(t, answer(201, held))
	c := s.client(t, nil)
	for _, key := range []string{" a", "a b", "a\n", "ü", strings.Repeat("k", 129)} {
		if _, err := c.Reserve(t.Context(), Take{SKU: 1001, Quantity: 1, Key: key}); CodeOf(err) != CodeKeyInvalid {
			t.Errorf("key %q: %v, want %s", key, err, CodeKeyInvalid)
		}
	}
	for _, id := range []string{"", "../stock/1001", strings.Repeat("0", 33), strings.Repeat("A", 32), strings.Repeat("0", 31) + "/"} {
		if _, err := c.Confirm(t.Context(), id); CodeOf(err) != CodeUnknownReservation {
			t.Errorf("reservation %q: %v, want %s", id, err, CodeUnknownReservation)
		}
	}
	for _, token := range []string{"", "a\r\nX: y"} {
		if _, err := c.As(token).Reserve(t.Context(), Take{SKU: 1001, Quantity: 1}); err == nil || errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("token %q: %v, want a failure before sending", token, err)
		}
	}
	refused := errors.New("no token today")
	cfg := func(cfg *Config) { cfg.Token = func(context.Context) (string, error) { return "", refused } }
	if _, err := s.client(t, cfg).Stock(t.Context(), 1001, 0); !errors.Is(err, refused) {
		t.Errorf("no token: %v, want its reason", err)
	}
	if len(s.keys) != 0 {
		t.Errorf("%d requests were sent", len(s.keys))
	}
	if _, err := c.Reserve(t.Context(), Take{SKU: 1001, Quantity: 1, Key: `"a\b"`}); err != nil || s.keys[0] != `"\"a\\b\""` {
		t.Errorf("a key with quotes was sent as %q: %v", s.keys, err)
	}
}

func TestConfigsThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{
		{},
		{URL: "127.0.0.1:8080"},
		{URL: "ftp://edge"},
		{URL: "http://"},
		{URL: "http://edge?x"},
		{URL: "http://user:password@edge"},
		{URL: "http://edge", Attempts: -1},
		{URL: "http://edge", Timeout: -1},
		{URL: "http://edge", AdminTimeout: -1},
		{URL: "http://edge", AtOnce: -1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}
