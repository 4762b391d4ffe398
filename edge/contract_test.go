package edge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"sluice/core/auth"
	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
)

// unreached are the documented codes that no outside can bring about at will. The API's own tests have
// them.
var unreached = map[string][]string{
	"release":  {"outcome_unknown"}, // Redis must hang between two calls
	"transfer": {"in_transit"},      // between two halves
	// A SKU must vanish; else as createSale.
	"fillSale":  {"not_loaded", "sale_refused", "transfer_refused", "in_transit"},
	"emptySale": {"transfer_refused", "in_transit"},
	// All cells must be shut, stock must go between the check and the transfer, or Redis hang between two halves.
	"createSale": {"sale_refused", "transfer_refused", "in_transit"},
	// No connection to MySQL must be free, and MySQL hang between two statements.
	"resolveDeadLetter": {"unavailable", "outcome_unknown"}, "replayDeadLetter": {"outcome_unknown"},
	"registerUsers": {"unavailable"}, // MySQL must take no writes; once it has them, the outcome is unknown
	"":              {"internal"},    // a bug
}

// contract is the API document, and what of it was exercised.
type contract struct {
	*stack
	redis  *local.Redis
	doc    *openapi3.T
	router routers.Router

	admin, service string
	sku            int64

	mu   sync.Mutex
	seen map[string]map[string]bool // operation, or "" where there is none -> codes, "ok" for a success
}

// shot is one request, and the code that it is to be answered with.
type shot struct {
	method, path, token, body string
	want                      string // code; "ok": a success
	header                    http.Header
	undocumented              bool // the request is not as the document wants it
}

func newContract(t *testing.T) *contract {
	t.Helper()
	redis := servicetest.Redis(t)
	c := &contract{stack: newStack(t, redis.Addr), redis: redis, sku: 1000, seen: map[string]map[string]bool{}}
	var err error
	if c.doc, err = openapi3.NewLoader().LoadFromFile("../docs/api/openapi.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := c.doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.cfg.QueueMax, c.cfg.InFlightMax = 8, 1
	c.cfg.RatePerUser, c.cfg.BurstPerUser = 1, 150
	c.cfg.Stock.OutboxEntriesMax = 100
	c.cfg.ReadTimeout, c.cfg.Redis.CallTimeout = 500*time.Millisecond, 300*time.Millisecond // it waits for many
	c.start()
	c.node.LeaveFences()
	c.doc.Servers = openapi3.Servers{{URL: "http://" + c.node.Addr()}}
	if c.router, err = legacy.NewRouter(c.doc); err != nil {
		t.Fatal(err)
	}
	c.admin, c.service = c.token(1, auth.RoleAdmin), c.token(2, auth.RoleService)
	return c
}

// shoot makes a request, holds it and its answer to the document, and notes what was exercised.
func (c *contract) shoot(s shot) answer {
	c.t.Helper()
	req, err := http.NewRequest(s.method, "http://"+c.node.Addr()+s.path, strings.NewReader(s.body))
	if err != nil {
		c.t.Fatal(err)
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	if s.method != http.MethodGet {
		req.Header.Set("Idempotency-Key", fmt.Sprintf("c-%d", keyNumber.Add(1)))
	}
	if s.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, values := range s.header {
		req.Header[name] = values
	}
	route, params, err := c.router.FindRoute(req)
	if err != nil {
		return c.offRoute(s, req)
	}
	input := &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{
			AuthenticationFunc:                openapi3filter.NoopAuthenticationFunc,
			RejectWhenRequestBodyNotSpecified: true,
		},
	}
	if err := openapi3filter.ValidateRequest(c.t.Context(), input); (err != nil) != s.undocumented {
		c.t.Errorf("%s %s %s: is as documented: %v", s.method, s.path, s.body, err)
	}
	req.Body = io.NopCloser(strings.NewReader(s.body))
	got := c.roundTrip(req)
	response := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: got.status, Header: got.header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(c.t.Context(), response.SetBodyBytes([]byte(got.body))); err != nil {
		c.t.Errorf("%s %s: %d %s: %v", s.method, s.path, got.status, got.body, err)
	}
	c.checkHeaders(s, route.Operation, got)
	c.note(s, route.Operation, got)
	return got
}

// ofHTTP are the headers that every answer may have.
var ofHTTP = []string{"Content-Type", "Content-Length", "Date", "Connection"}

// checkHeaders reports headers that the document does not tell of.
func (c *contract) checkHeaders(s shot, op *openapi3.Operation, got answer) {
	c.t.Helper()
	response := op.Responses.Status(got.status)
	if response == nil {
		response = op.Responses.Default()
	}
	told := slices.Clone(ofHTTP)
	for name := range response.Value.Headers {
		told = append(told, http.CanonicalHeaderKey(name))
	}
	for name := range got.header {
		if !slices.Contains(told, name) {
			c.t.Errorf("%s %s: %d has the header %s, which the document does not", s.method, s.path, got.status, name)
		}
	}
}

// exerciseHead asks for what a GET would answer, without its body.
func (c *contract) exerciseHead(s shot) {
	c.t.Helper()
	got := c.shoot(s)
	req, err := http.NewRequest(http.MethodHead, "http://"+c.node.Addr()+s.path, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != got.status || resp.Header.Get("Content-Type") != got.header.Get("Content-Type") {
		c.t.Errorf("HEAD %s: %d %v, GET %d %v", s.path, resp.StatusCode, resp.Header, got.status, got.header)
	}
}

// offRoute makes a request that the document does not know.
func (c *contract) offRoute(s shot, req *http.Request) answer {
	c.t.Helper()
	got := c.roundTrip(req)
	err := c.doc.Components.Schemas["Problem"].Value.VisitJSON(got.json, openapi3.EnableJSONSchema2020())
	if err != nil || got.header.Get("Content-Type") != "application/problem+json" {
		c.t.Errorf("%s %s: %s: %v", s.method, s.path, got.body, err)
	}
	c.note(s, nil, got)
	return got
}

func (c *contract) roundTrip(req *http.Request) answer {
	c.t.Helper()
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	got := answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
	if err := json.Unmarshal(body, &got.json); err != nil {
		c.t.Errorf("%s %s: %v: %s", req.Method, req.URL, err, body)
	}
	return got
}

// note checks that a code is the one wanted and one of the operation's, with one of its statuses.
func (c *contract) note(s shot, op *openapi3.Operation, got answer) {
	c.t.Helper()
	code, name := got.code(), ""
	if got.status < 400 {
		code = "ok"
	}
	if s.want != "" && code != s.want {
		c.t.Errorf("%s %s %s: %d %s, want %s", s.method, s.path, s.body, got.status, got.body, s.want)
	}
	everywhere := slices.Contains(codes(c.doc.Extensions["x-codes-everywhere"]), code)
	switch {
	case everywhere:
	case op == nil:
		c.t.Errorf("%s %s: %s is not a code of everywhere", s.method, s.path, code)
	default:
		name = op.OperationID
		if code != "ok" && !slices.Contains(codes(op.Extensions["x-codes"]), code) {
			c.t.Errorf("%s: %s is not among its x-codes", name, code)
		}
		if op.Responses.Status(got.status) == nil {
			c.t.Errorf("%s: %d is not among its responses", name, got.status)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[name] == nil {
		c.seen[name] = map[string]bool{}
	}
	c.seen[name][code] = true
}

func codes(extension any) []string {
	list, _ := extension.([]any)
	var words []string
	for _, word := range list {
		words = append(words, fmt.Sprint(word))
	}
	return words
}

// checkComplete reports what the document has and nobody exercised.
func (c *contract) checkComplete() {
	c.t.Helper()
	want := map[string][]string{"": codes(c.doc.Extensions["x-codes-everywhere"])}
	for _, item := range c.doc.Paths.Map() {
		for _, op := range item.Operations() {
			want[op.OperationID] = append(codes(op.Extensions["x-codes"]), "ok")
		}
	}
	for _, op := range slices.Sorted(maps.Keys(want)) {
		for _, code := range want[op] {
			if !c.seen[op][code] && !slices.Contains(unreached[op], code) {
				c.t.Errorf("%q: %s was never exercised", op, code)
			}
		}
	}
}

// cell is the key and field of a cell in Redis, and its value.
func (c *contract) cell(cell stock.Cell) (key, field string, value []byte) {
	c.t.Helper()
	key = fmt.Sprintf("{p%d}:cells", cell.Partition(c.cfg.Stock.Partitions))
	field = string(cell.Append(nil))
	client, err := c.cfg.Redis.Client()
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	value, err = client.Do(context.Background(), client.B().Hget().Key(key).Field(field).Build()).AsBytes()
	if err != nil {
		c.t.Fatal(err)
	}
	return key, field, value
}

func (c *contract) setCell(key, field string, value []byte) {
	c.t.Helper()
	client, err := c.cfg.Redis.Client()
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	err = client.Do(context.Background(), client.B().Hset().Key(key).FieldValue().FieldValue(field, string(value)).Build()).Error()
	if err != nil {
		c.t.Fatal(err)
	}
}

// fence takes a cell back to what it was before its last change, as a Redis that lost its tail would. The scripts fence
// it once somebody asks for it. To repair it brings the change back.
func (c *contract) fence(cell stock.Cell) (repair func()) {
	c.t.Helper()
	key, field, before := c.cell(cell)
	body := `{"delta":1,"reason":"to be lost"}`
	if cell.Pool > 0 {
		body = fmt.Sprintf(`{"delta":1,"reason":"to be lost","sale_id":"%d"}`, cell.Pool)
	}
	if a := c.send("POST", fmt.Sprintf("/admin/v1/skus/%d/adjustments", cell.SKU), c.admin, body); a.status != 200 {
		c.t.Fatalf("change %v: %s", cell, a.body)
	}
	_, _, after := c.cell(cell)
	c.setCell(key, field, before)
	return func() { c.setCell(key, field, after) }
}

// breach makes a cell's counters wrong.
func (c *contract) breach(sku int64) {
	c.t.Helper()
	key, field, value := c.cell(stock.Cell{SKU: sku})
	value[5]++ // the last byte of avail, after the version
	c.setCell(key, field, value)
}
