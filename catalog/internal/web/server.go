package web

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/time/rate"

	"sluice/catalog/internal/apikey"
	"sluice/core/auth"
	"sluice/core/idempotency"
	"sluice/core/limit"
	"sluice/core/problem"
	"sluice/core/text"
)

// headerBytesMax is what the header of a request has at most. The HTTP server itself takes a longer one, so that the answer is
// a problem document.
const headerBytesMax = 8 << 10

// HeaderBytesRead is what the HTTP server reads of a header at most.
const HeaderBytesRead = 2 * headerBytesMax

// Config has the other parts of a process that a server calls.
type Config struct {
	Routes      []Route
	Permissions Permissions
	Tokens      *auth.Verifier
	// Lives reports whether a session has not ended as of now. Nil: none ends before its tokens.
	Lives func(ctx context.Context, who auth.Identity) (bool, error)
	// Proved refuses people whose session was not proved lately, by a StepUpRequired. It is asked where Permission.StepUp is.
	Proved func(ctx context.Context, who auth.Identity) error
	// Granted looks up which roles an admin has granted to a user. Nil: nobody has any.
	Granted func(ctx context.Context, user int64) (Roles, error)
	// Keys returns the API key that a text is, or apikey.ErrKey. Nil: there are none.
	Keys func(ctx context.Context, text string) (apikey.Key, error)

	Users     *limit.Limiter[int64]      // nil: no limit
	Addresses *limit.Limiter[netip.Addr] // nil: no limit
	// Proxies are the networks whose X-Forwarded-For the server believes.
	Proxies []netip.Prefix

	RequestsMax int           // served at the same time
	Timeout     time.Duration // of one request, from when it was read

	Metrics *metrics.Set
	Log     *slog.Logger
	Now     func() time.Time
}

// Server answers HTTP requests. It is safe for concurrent use.
type Server struct {
	Config
	router     router
	meter      *meter
	none       *routeMeter // of requests that are no operation
	places     chan struct{}
	process    [4]byte // tells the request ids of processes apart
	lastID     atomic.Uint64
	complaints rate.Sometimes
}

// operation is a route with what the server keeps for it.
type operation struct {
	route Route
	may   Permission
	meter *routeMeter
}

// New makes a server. It fails if routes and permissions do not fit together.
func New(cfg Config) (*Server, error) {
	s := &Server{
		Config: cfg, meter: newMeter(cfg.Metrics), places: make(chan struct{}, cfg.RequestsMax),
		complaints: rate.Sometimes{First: 10, Interval: time.Second},
	}
	_, _ = rand.Read(s.process[:]) // it never fails
	s.none = s.meter.route("none")
	for _, route := range cfg.Routes {
		may := cfg.Permissions[route.Operation]
		fault := may.fault()
		if fault == "" && may.StepUp && cfg.Proved == nil {
			fault = "nobody tells whether a session was proved"
		}
		if fault == "" && may.KeyScope != "" && route.writes() != may.KeyWrites {
			fault = "an API key may call it: a reading has no KeyWrites, and a write needs it, because most of what is written has a person for its author"
		}
		if fault == "" && !s.router.add(&operation{route, may, s.meter.route(route.label())}) {
			fault = "it is there twice"
		}
		if fault != "" {
			return nil, fmt.Errorf("route %s %s (%s): %s", route.Method, route.Path, route.Operation, fault)
		}
	}
	if len(cfg.Permissions) != len(cfg.Routes) {
		return nil, fmt.Errorf("%d permissions for %d routes: want one for each", len(cfg.Permissions), len(cfg.Routes))
	}
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := s.Now()
	id := s.requestID()
	w.Header().Set("X-Request-Id", id)
	c := caller{request: id}
	o, err := s.find(r)
	meter := s.none
	if o != nil {
		meter = o.meter
	}
	r.Body = http.MaxBytesReader(w, r.Body, bodyBytesMax)
	var answer *page
	if err == nil {
		answer, err = s.answer(r, &c, o, id)
	} else if counted := s.count(r, &c); counted != nil {
		err = counted
	}
	c.rateHeaders(w.Header())
	var refused *problem.Kind
	if err != nil {
		refused = s.refuse(w, r, id, err)
	} else {
		w.Header().Set("Cache-Control", "no-store") // of any method: answers have tokens and what is personal
		c.positionHeader(w.Header())
		_ = answer.send(w) // if the client has gone, there is nobody to tell
	}
	meter.done(refused, s.Now().Sub(began))
}

// find finds the operation of a request, and refuses what two readers could understand differently.
func (s *Server) find(r *http.Request) (*operation, error) {
	if size := headerBytes(r); size > headerBytesMax {
		return nil, &problem.Problem{Kind: problem.HeadersTooLarge}
	}
	for _, name := range []string{"Authorization", "Content-Type", "Content-Encoding", readAfter} {
		if len(r.Header.Values(name)) > 1 {
			return nil, errTwice
		}
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	at := s.router.find(path, r.SetPathValue)
	if at == nil {
		return nil, errNotFound
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	o := at.methods[method]
	if o == nil {
		return nil, &problem.Problem{Kind: problem.MethodNotAllowed, Allow: at.allow()}
	}
	return o, nil
}

// headerBytes is the length of a request's first line and header, about.
func headerBytes(r *http.Request) int {
	size := len(r.Method) + len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	return size
}

// count counts a request that is no operation against its limits, so that nobody can send such without end.
func (s *Server) count(r *http.Request, c *caller) error {
	return s.admit(r, c, Permission{Roles: Anybody})
}

// answer does what a request asks for. All of the request is read before it takes a place, so that a slow client keeps back
// nobody.
func (s *Server) answer(r *http.Request, c *caller, o *operation, id string) (answer *page, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.meter.panics.Inc()
			s.complaints.Do(func() {
				s.Log.Error("a request made the program panic", "panic", text.Panic(p), "stack", string(debug.Stack()), "request_id", id)
			})
			answer, err = nil, &problem.Problem{Kind: problem.Internal, Close: true}
		}
	}()
	if err := s.admit(r, c, o.may); err != nil {
		return nil, err
	}
	if err := checkQuery(r, o.route.Parameters); err != nil {
		return nil, err
	}
	if o.route.writes() {
		if _, err := idempotency.Of(r.Header); err != nil {
			return nil, err
		}
	}
	body := noBody
	if o.route.Body {
		body = receive
	}
	if err := body(r); err != nil {
		return nil, err
	}
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	default:
		return nil, errOverloaded
	}
	ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), callerKey{}, c), s.Timeout)
	defer cancel()
	if err := s.live(ctx, c, o); err != nil {
		return nil, err
	}
	if o.may.StepUp && c.Role == auth.RoleShopper {
		if err := s.Proved(ctx, c.Identity); err != nil {
			return nil, err
		}
	}
	write, err := o.route.Serve(r.WithContext(ctx))
	switch {
	case err != nil:
		return nil, err
	case write == nil:
		return nil, errors.New("the operation has no answer")
	}
	return pageOf(write)
}

// requestID names an answer in logs: 24 hexadecimal digits, of which the first 8 tell processes apart.
func (s *Server) requestID() string {
	var id [12]byte
	copy(id[:], s.process[:])
	binary.BigEndian.PutUint64(id[4:], s.lastID.Add(1))
	return hex.EncodeToString(id[:])
}
