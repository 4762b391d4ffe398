package front

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/telemetry"
)

const (
	// answerBytesMax is the largest answer that is taken.
	answerBytesMax = 2 << 20
	// placeWait is how long a question waits for one of the others to end.
	placeWait = 250 * time.Millisecond
	// refusedFor is how long the catalog is left alone when it failed failuresMax times in a row.
	refusedFor  = 500 * time.Millisecond
	failuresMax = 5
)

// Why a question brought no answer.
var (
	errBusy    = errors.New("too many questions to the catalog are on their way")
	errLimited = errors.New("the catalog lets the client ask no more at the moment")
	errAway    = errors.New("the catalog has just failed several times")
	errBody    = errors.New("the catalog's answer is none of the API")
)

// catalog asks the catalog.
type catalog struct {
	cfg    *Config
	http   *http.Client
	places chan struct{} // one for each question on its way

	seconds                            *metrics.PrometheusHistogram
	silent, broken, odd, busy, refused *metrics.Counter

	mu       sync.Mutex
	failures int // in a row
	until    time.Time
}

func newCatalog(cfg *Config, set *metrics.Set) *catalog {
	failed := func(kind string) *metrics.Counter {
		return set.NewCounter(`sluice_edge_front_fetch_failures_total{kind="` + kind + `"}`)
	}
	return &catalog{
		cfg: cfg, places: make(chan struct{}, cfg.FetchesMax),
		http: &http.Client{
			Transport: &http.Transport{
				MaxIdleConnsPerHost: cfg.FetchesMax, MaxConnsPerHost: cfg.FetchesMax, IdleConnTimeout: 30 * time.Second,
				MaxResponseHeaderBytes: 16 << 10, DisableCompression: true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		seconds: telemetry.Seconds(set, "sluice_edge_front_fetch_seconds"),
		silent:  failed("silent"), broken: failed("broken"), odd: failed("odd"), busy: failed("busy"), refused: failed("refused"),
	}
}

func (c *catalog) close() { c.http.CloseIdleConnections() }

// question is what to ask for: a target, as it is sent.
type question struct {
	route  *Route
	target string
	id     string     // in its path
	client netip.Addr // for whom; none: the edge wants to know
	after  string     // Read-After
	renews bool       // the edge wants another answer than the one it has
}

// ask asks the catalog. What is a problem of the API for this question is an answer too.
func (c *catalog) ask(ctx context.Context, q question) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer func() { <-c.places }()
	begun := time.Now()
	a, err := c.send(ctx, q)
	c.seconds.Update(time.Since(begun).Seconds())
	c.saw(err)
	if err != nil {
		return nil, fmt.Errorf("ask the catalog: %w", err)
	}
	return a, nil
}

// enter takes a place, unless the catalog is to be left alone.
func (c *catalog) enter(ctx context.Context) error {
	c.mu.Lock()
	away := c.failures >= failuresMax && time.Now().Before(c.until)
	if c.failures >= failuresMax && !away {
		c.until = time.Now().Add(refusedFor) // one tries, for all
	}
	c.mu.Unlock()
	if away {
		c.refused.Inc()
		return errAway
	}
	select {
	case c.places <- struct{}{}:
		return nil
	default:
	}
	wait := time.NewTimer(placeWait)
	defer wait.Stop()
	select {
	case c.places <- struct{}{}:
		return nil
	case <-wait.C:
	case <-ctx.Done():
	}
	c.busy.Inc()
	return errBusy
}

func (c *catalog) saw(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil || errors.Is(err, errLimited) {
		c.failures = 0
		return
	}
	if c.failures++; c.failures >= failuresMax {
		c.until = time.Now().Add(refusedFor)
	}
}

func (c *catalog) send(ctx context.Context, q question) (*Answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.cfg.URL+q.target, http.NoBody)
	if err != nil {
		return &Answer{Refusal: &problem.Problem{Kind: problem.Malformed, Detail: "the query cannot be decoded"}}, nil
	}
	r.Header.Set("Accept", "application/json")
	if q.client.IsValid() {
		r.Header.Set("X-Forwarded-For", q.client.String())
	}
	if q.after != "" {
		r.Header.Set("Read-After", q.after)
	}
	asked := time.Now()
	got, err := c.http.Do(r)
	if err != nil {
		c.count(ctx)
		return nil, err
	}
	defer got.Body.Close()
	body, err := io.ReadAll(io.LimitReader(got.Body, answerBytesMax+1))
	if err != nil {
		c.count(ctx)
		return nil, err
	}
	a, err := read(q, got, body)
	if err != nil {
		if !errors.Is(err, errLimited) {
			c.odd.Inc()
		}
		return nil, err
	}
	a.begun = asked.UnixMilli()
	return a, nil
}

func (c *catalog) count(ctx context.Context) {
	if ctx.Err() != nil {
		c.silent.Inc()
	} else {
		c.broken.Inc()
	}
}

// read makes an answer of what the catalog sent. A question names nobody, so the answer is for everybody.
func read(q question, got *http.Response, body []byte) (*Answer, error) {
	a := &Answer{target: q.target, route: q.route}
	a.tags[0] = q.route.tag(q.id)
	kind, _, _ := mime.ParseMediaType(got.Header.Get("Content-Type"))
	switch {
	case len(body) > answerBytesMax:
		return nil, fmt.Errorf("%w: it has more than %d bytes", errBody, answerBytesMax)
	case got.StatusCode == http.StatusOK && kind == "application/json":
		if !jsontext.Value(body).IsValid() {
			return nil, fmt.Errorf("%w: it is not JSON", errBody)
		}
		err := a.show(got.Header.Get("ETag"), body)
		return a, err
	case kind == problem.MediaType:
		err := a.refuse(got, body)
		return a, err
	}
	return nil, fmt.Errorf("%w: it has the status %d and the type %.60q", errBody, got.StatusCode, kind)
}

// show takes a body, and what it is of. The catalog's ETag stays, because who changes the thing gives it back.
func (a *Answer) show(etag string, body []byte) error {
	a.Body, a.ETag, a.Matches = body, []byte(etag), etag == "" || a.route.versioned
	if etag == "" {
		a.ETag = hashed(body)
	}
	if !a.route.versioned {
		return nil
	}
	var err error
	if a.version, err = strconv.ParseUint(strings.Trim(etag, `"`), 10, 64); err != nil || a.version == 0 {
		return fmt.Errorf("%w: it has no version", errBody)
	}
	var of struct {
		Seller string `json:"seller_id"`
	}
	if err := json.Unmarshal(body, &of); err != nil {
		return fmt.Errorf("%w: it is no object", errBody)
	}
	if is[ids.Seller](of.Seller) {
		a.tags[1] = of.Seller
	}
	return nil
}

// refuse takes a problem that is about the question. One that is about the catalog is an error.
func (a *Answer) refuse(got *http.Response, body []byte) error {
	var p struct {
		Code    string `json:"code"`
		Detail  string `json:"detail"`
		Pointer string `json:"pointer"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return fmt.Errorf("%w: its problem cannot be read", errBody)
	}
	if p.Code == problem.RateLimited.Code {
		return errLimited
	}
	for _, kind := range []*problem.Kind{a.route.unknown, a.route.refers, problem.Malformed, problem.HeadersTooLarge} {
		if kind != nil && kind.Code == p.Code && kind.Status == got.StatusCode {
			a.Refusal = &problem.Problem{Kind: kind, Detail: p.Detail, Pointer: p.Pointer}
			return nil
		}
	}
	return fmt.Errorf("%w: its problem is %.60q", errBody, p.Code)
}
