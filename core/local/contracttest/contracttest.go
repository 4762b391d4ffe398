// Package contracttest holds servers to their API documents in tests: each request and answer to what the document says of it,
// and the test as a whole to every code that the document lists.
package contracttest

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/go-json-experiment/json"
)

// Document is an API document, and what of it was exercised. It is safe for concurrent use.
type Document struct {
	doc    *openapi3.T
	router routers.Router
	base   string
	client *http.Client

	mu   sync.Mutex
	seen map[string]map[string]bool // operation, or "" where there is none -> codes, "ok" for a success
}

// Shot is one request, and the code that it is to be answered with.
type Shot struct {
	Method, Path, Token, Body string
	Want                      string // code; "ok": a success; "": any
	Header                    http.Header
	Undocumented              bool // the request is not as the document wants it
}

// Answer is the answer to a request.
type Answer struct {
	Status int
	Header http.Header
	JSON   map[string]any
	Body   string
}

// Code is the code of a problem, or ok.
func (a Answer) Code() string {
	if a.Status < 400 {
		return "ok"
	}
	code, _ := a.JSON["code"].(string)
	return code
}

// Open reads a document for the server at an address, host:port.
func Open(t *testing.T, file, addr string, client *http.Client) *Document {
	t.Helper()
	once, _ := opened.LoadOrStore(file, sync.OnceValues(func() (routed, error) { return read(file) }))
	of, err := once.(func() (routed, error))()
	if err != nil {
		t.Fatal(err)
	}
	return &Document{doc: of.doc, router: of.router, base: "http://" + addr, client: client, seen: map[string]map[string]bool{}}
}

// routed is a document that was found valid. Its server is any, so it is the same for all.
type routed struct {
	doc    *openapi3.T
	router routers.Router
}

// opened has the documents of this process. A test opens one for each of its servers, and a look at all examples takes many seconds.
var opened sync.Map // by file, of func() (routed, error)

func read(file string) (of routed, err error) {
	if of.doc, err = openapi3.NewLoader().LoadFromFile(file); err != nil {
		return of, err
	}
	of.doc.Servers = openapi3.Servers{{URL: "http://{at}", Variables: map[string]*openapi3.ServerVariable{"at": {Default: "localhost"}}}}
	of.router, err = legacy.NewRouter(of.doc) // looks at the whole document
	return of, err
}

var keyNumber atomic.Int64

// Request makes the request of a shot. A write has an Idempotency-Key of its own, unless the shot's header has one.
func (d *Document) Request(t *testing.T, s Shot) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), s.Method, d.base+s.Path, strings.NewReader(s.Body))
	if err != nil {
		t.Fatal(err)
	}
	if s.Token != "" {
		r.Header.Set("Authorization", "Bearer "+s.Token)
	}
	if s.Method != http.MethodGet && s.Method != http.MethodHead {
		r.Header.Set("Idempotency-Key", fmt.Sprintf("c-%d", keyNumber.Add(1)))
	}
	if s.Body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(r.Header, s.Header)
	return r
}

// Shoot makes a request, holds it and its answer to the document, and notes what was exercised.
func (d *Document) Shoot(t *testing.T, s Shot) Answer {
	t.Helper()
	r := d.Request(t, s)
	route, parameters, err := d.router.FindRoute(r)
	if err != nil {
		return d.offRoute(t, s, r)
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{
			AuthenticationFunc:                openapi3filter.NoopAuthenticationFunc,
			RejectWhenRequestBodyNotSpecified: true,
		},
	}
	if err := openapi3filter.ValidateRequest(t.Context(), input); (err != nil) != s.Undocumented {
		t.Errorf("%s %s %s: is as documented: %v", s.Method, s.Path, s.Body, err)
	}
	r.Body = io.NopCloser(strings.NewReader(s.Body))
	got := d.Ask(t, r)
	response := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: got.Status, Header: got.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(t.Context(), response.SetBodyBytes([]byte(got.Body))); err != nil {
		t.Errorf("%s %s: %d %s: %v", s.Method, s.Path, got.Status, got.Body, err)
	}
	checkHeaders(t, s, route.Operation, got)
	d.note(t, s, route.Operation, got)
	return got
}

// Head asks for what a GET would answer, without its body.
func (d *Document) Head(t *testing.T, s Shot) {
	t.Helper()
	got := d.Shoot(t, s)
	s.Method = http.MethodHead
	resp, err := d.client.Do(d.Request(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != got.Status || resp.Header.Get("Content-Type") != got.Header.Get("Content-Type") {
		t.Errorf("HEAD %s: %d %v, GET %d %v", s.Path, resp.StatusCode, resp.Header, got.Status, got.Header)
	}
}

// Ask makes a request and reads its answer, of which the document need not tell.
func (d *Document) Ask(t *testing.T, r *http.Request) Answer {
	t.Helper()
	resp, err := d.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
	if got.Status == http.StatusNoContent && len(body) == 0 {
		return got
	}
	if err := json.Unmarshal(body, &got.JSON); err != nil {
		t.Errorf("%s %s: %v: %s", r.Method, r.URL, err, body)
	}
	return got
}

// ofHTTP are the headers that every answer may have.
var ofHTTP = []string{"Content-Type", "Content-Length", "Date", "Connection"}

// checkHeaders reports headers that the document does not tell of.
func checkHeaders(t *testing.T, s Shot, op *openapi3.Operation, got Answer) {
	t.Helper()
	response := op.Responses.Status(got.Status)
	if response == nil {
		response = op.Responses.Default()
	}
	told := slices.Clone(ofHTTP)
	for name := range response.Value.Headers {
		told = append(told, http.CanonicalHeaderKey(name))
	}
	for name := range got.Header {
		if !slices.Contains(told, name) {
			t.Errorf("%s %s: %d has the header %s, which the document does not", s.Method, s.Path, got.Status, name)
		}
	}
}

// offRoute makes a request that the document does not know.
func (d *Document) offRoute(t *testing.T, s Shot, r *http.Request) Answer {
	t.Helper()
	got := d.Ask(t, r)
	err := d.doc.Components.Schemas["Problem"].Value.VisitJSON(got.JSON, openapi3.EnableJSONSchema2020())
	if err != nil || got.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %s: %s: %v", s.Method, s.Path, got.Body, err)
	}
	d.note(t, s, nil, got)
	return got
}

// note checks that a code is the one wanted and one of the operation's, with one of its statuses.
func (d *Document) note(t *testing.T, s Shot, op *openapi3.Operation, got Answer) {
	t.Helper()
	code, name := got.Code(), ""
	if s.Want != "" && code != s.Want {
		t.Errorf("%s %s %s: %d %s, want %s", s.Method, s.Path, s.Body, got.Status, got.Body, s.Want)
	}
	switch {
	case slices.Contains(codes(d.doc.Extensions["x-codes-everywhere"]), code):
	case op == nil:
		t.Errorf("%s %s: %s is not a code of everywhere", s.Method, s.Path, code)
	default:
		name = op.OperationID
		if code != "ok" && !slices.Contains(codes(op.Extensions["x-codes"]), code) {
			t.Errorf("%s: %s is not among its x-codes", name, code)
		}
		if op.Responses.Status(got.Status) == nil {
			t.Errorf("%s: %d is not among its responses", name, got.Status)
		}
	}
	d.Saw(name, code)
}

// Saw notes that a code of an operation was exercised, or one of everywhere, whose operation is empty.
func (d *Document) Saw(operation, code string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen[operation] == nil {
		d.seen[operation] = map[string]bool{}
	}
	d.seen[operation][code] = true
}

func codes(extension any) (words []string) {
	list, _ := extension.([]any)
	for _, word := range list {
		words = append(words, fmt.Sprint(word))
	}
	return words
}

// CheckComplete reports what the document has and nobody exercised. unreached are the codes that no outside can bring about
// at will, by operation.
func (d *Document) CheckComplete(t *testing.T, unreached map[string][]string) {
	t.Helper()
	want := map[string][]string{"": codes(d.doc.Extensions["x-codes-everywhere"])}
	for _, item := range d.doc.Paths.Map() {
		for _, op := range item.Operations() {
			want[op.OperationID] = append(codes(op.Extensions["x-codes"]), "ok")
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, op := range slices.Sorted(maps.Keys(want)) {
		for _, code := range want[op] {
			if !d.seen[op][code] && !slices.Contains(unreached[op], code) {
				t.Errorf("%q: %s was never exercised", op, code)
			}
		}
	}
}
