package catalog_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"sluice/core/auth"
)

const document = "../docs/api/catalog.yaml"

// unreached are the documented codes that no outside can bring about at will.
var unreached = map[string][]string{
	"":         {"internal", "overloaded"}, // a bug; the server's own test has the other
	"makeUser": {"outcome_unknown"},        // MySQL must hang between two statements
}

// contract is the API document, and what of it was exercised.
type contract struct {
	*shop
	doc    *openapi3.T
	router routers.Router

	admin, service string
	seen           map[string]map[string]bool // operation, or "" where there is none -> codes, "ok" for a success
}

// shot is one request, and the code that it is to be answered with.
type shot struct {
	method, path, token, body string
	want                      string // code; "ok": a success
	header                    http.Header
	undocumented              bool // the request is not as the document wants it
}

type answer struct {
	status int
	header http.Header
	json   map[string]any
	body   string
}

func (a answer) code() string {
	if a.status < 400 {
		return "ok"
	}
	code, _ := a.json["code"].(string)
	return code
}

func newContract(t *testing.T) *contract {
	t.Helper()
	c := &contract{shop: newShop(t), seen: map[string]map[string]bool{}}
	c.cfg.RatePerUser, c.cfg.BurstPerUser = 0.001, 100
	c.cfg.ReadTimeout = 500 * time.Millisecond // it waits for one
	c.start()
	var err error
	if c.doc, err = openapi3.NewLoader().LoadFromFile(document); err != nil {
		t.Fatal(err)
	}
	if err := c.doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.doc.Servers = openapi3.Servers{{URL: "http://" + c.node.Addr()}}
	if c.router, err = legacy.NewRouter(c.doc); err != nil {
		t.Fatal(err)
	}
	c.admin, c.service = c.token(1, auth.RoleAdmin), c.token(2, auth.RoleService)
	return c
}

func TestServerKeepsToItsDocument(t *testing.T) {
	t.Parallel()
	c := newContract(t)
	c.exerciseUsers()
	c.exerciseEverywhere()
	for _, s := range []shot{
		{method: "GET", path: "/v1/me", token: c.token(7, auth.RoleShopper)},
		{method: "GET", path: "/v1/users/7", token: c.service},
		{method: "PUT", path: "/v1/users/7", token: c.service, body: `{"region":"eu","locale":"de"}`},
	} {
		c.exerciseForm(s)
	}
	c.exerciseOutage()
	c.checkComplete()
}

func (c *contract) exerciseUsers() {
	put := func(user, token, body, want string, undocumented bool) answer {
		c.t.Helper()
		return c.shoot(shot{method: "PUT", path: "/v1/users/" + user, token: token, body: body, want: want, undocumented: undocumented})
	}
	const home = `{"region":"eu","locale":"de-DE"}`
	me := c.token(7, auth.RoleShopper)
	c.shoot(shot{method: "GET", path: "/v1/me", token: me, want: "unknown_user"})
	c.shoot(shot{method: "GET", path: "/v1/users/7", token: c.service, want: "unknown_user"})
	first := put("7", c.service, home, "ok", false)
	again := put("7", c.admin, home, "ok", false)
	if first.status != 201 || again.status != 200 || first.body != again.body {
		c.t.Errorf("made: %d %s, again: %d %s", first.status, first.body, again.status, again.body)
	}
	put("7", c.service, `{"region":"eu","locale":"fr"}`, "wrong_state", false)
	put("7", c.service, `{"region":"us","locale":"de-DE"}`, "wrong_state", false)
	mine := c.shoot(shot{method: "GET", path: "/v1/me", token: me, want: "ok"})
	shown := c.shoot(shot{method: "GET", path: "/v1/users/7", token: c.admin, want: "ok"})
	if mine.body != first.body || shown.body != first.body || mine.json["user_id"] != "7" || mine.json["state"] != "active" {
		c.t.Errorf("made %s, seen as %s and %s", first.body, mine.body, shown.body)
	}
	put("9223372036854775807", c.service, home, "ok", false)
	for _, id := range []string{"0", "07", "-7", "7.0", "9223372036854775808", "ses_0000000000007", "%37", "x"} {
		put(id, c.service, home, "malformed", true)
	}
	for _, body := range []string{
		`{"region":"eu"}`, `{"region":null,"locale":"de"}`, `{"region":"EU","locale":"de"}`, `{"region":"e","locale":"de"}`,
		`{"region":"eu","locale":"DE"}`, `{"region":"eu","locale":"de_DE"}`, `{"region":"eu","locale":7}`, `{"Region":"eu","locale":"de"}`,
		`{"region":"eu","locale":"de","user_id":"8"}`, `{"region":"eu","locale":"de","state":"active"}`, `["eu","de"]`, `null`,
	} {
		put("8", c.service, body, "malformed", true)
	}
	for _, body := range []string{ // what the validator does not see
		`{"region":"eu","region":"us","locale":"de"}`, `{"region":"eu","locale":"de"} {}`, "\ufeff" + home, "{\"region\":\"e\xff\",\"locale\":\"de\"}",
	} {
		if got := c.roundTrip(c.request(shot{method: "PUT", path: "/v1/users/8", token: c.service, body: body})); got.code() != "malformed" {
			c.t.Errorf("%q: %d %s", body, got.status, got.body)
		}
	}
	c.shoot(shot{method: "GET", path: "/v1/users/8", token: c.service, want: "unknown_user"})
}

// exerciseForm sends a request in every wrong form.
func (c *contract) exerciseForm(s shot) {
	c.t.Helper()
	with := func(want string, undocumented bool, edit func(*shot)) {
		c.t.Helper()
		wrong := s
		wrong.want, wrong.undocumented = want, undocumented
		edit(&wrong)
		c.shoot(wrong)
	}
	with("malformed", true, func(s *shot) {
		if s.body == "" {
			s.body = "{}"
		} else {
			s.body = strings.Replace(s.body, "{", `{"surprise":1,`, 1)
		}
	})
	with("malformed", false, func(s *shot) { s.path += "?surprise=1" })
	with("unauthorized", false, func(s *shot) { s.token = "" })
	with("unauthorized", false, func(s *shot) { s.token += "x" })
	with("forbidden", false, func(s *shot) {
		if s.token = c.admin; s.path != "/v1/me" {
			s.token = c.token(7, auth.RoleShopper)
		}
	})
	if s.method != http.MethodGet {
		with("idempotency_key_missing", true, func(s *shot) { s.header = http.Header{"Idempotency-Key": nil} })
		with("idempotency_key_invalid", true, func(s *shot) { s.header = http.Header{"Idempotency-Key": {"a b"}} })
		with("unsupported_media_type", true, func(s *shot) { s.header = http.Header{"Content-Type": {"text/plain"}} })
		return
	}
	got := c.shoot(s)
	head := s
	head.method = http.MethodHead
	resp, err := c.http.Do(c.request(head))
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != got.status || resp.Header.Get("Content-Type") != got.header.Get("Content-Type") {
		c.t.Errorf("HEAD %s: %d %v, GET %d %v", s.path, resp.StatusCode, resp.Header, got.status, got.header)
	}
}

func (c *contract) exerciseEverywhere() {
	for _, path := range []string{"/v2", "/v1/users/", "/v1/users/7/", "//v1/me", "/v1/../v1/me", "/v1/m%65"} {
		c.shoot(shot{method: "GET", path: path, want: "not_found", undocumented: path == "/v1/users/"}) // whose id is missing
	}
	if got := c.shoot(shot{method: "DELETE", path: "/v1/users/7", want: "method_not_allowed"}); got.header.Get("Allow") != "GET, HEAD, PUT" {
		c.t.Errorf("allowed: %v", got.header)
	}
	c.shoot(shot{method: "GET", path: "/v1/me", want: "headers_too_large", header: http.Header{"X": {strings.Repeat("x", 9000)}}})
	c.shoot(shot{method: "GET", path: "/v1/me", want: "malformed", header: http.Header{"Authorization": {"Bearer a", "Bearer b"}}})
	c.shoot(shot{
		method: "PUT", path: "/v1/users/7", token: c.service, want: "payload_too_large",
		body: `{"region":"eu","locale":"de"` + strings.Repeat(" ", 17000) + "}",
	})
	hasty := c.token(77, auth.RoleShopper)
	for i := 0; c.shoot(shot{method: "GET", path: "/v1/me", token: hasty}).code() != "rate_limited"; i++ {
		if i > 200 {
			c.t.Fatal("a user has no limit")
		}
	}
	slow, err := net.Dial("tcp", c.node.Addr())
	if err != nil {
		c.t.Fatal(err)
	}
	defer slow.Close()
	_, err = fmt.Fprintf(slow, "PUT /v1/users/7 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nIdempotency-Key: k\r\n"+
		"Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{", c.service)
	if err != nil {
		c.t.Fatal(err)
	}
	text, err := io.ReadAll(slow)
	if err != nil || !strings.Contains(string(text), `"code":"request_timeout"`) {
		c.t.Errorf("a request that does not end: %q, %v", text, err)
	}
	c.seen[""]["request_timeout"] = true
}

// exerciseOutage takes the tables away.
func (c *contract) exerciseOutage() {
	if _, err := c.database().ExecContext(c.t.Context(), "RENAME TABLE users TO elsewhere"); err != nil {
		c.t.Fatal(err)
	}
	c.shoot(shot{method: "GET", path: "/v1/me", token: c.token(8, auth.RoleShopper), want: "unavailable"})
	c.shoot(shot{method: "GET", path: "/v1/users/7", token: c.service, want: "unavailable"})
	c.shoot(shot{method: "PUT", path: "/v1/users/7", token: c.service, body: `{"region":"eu","locale":"de"}`, want: "unavailable"})
	if !strings.Contains(c.logs.String(), "there is no table users") {
		c.t.Errorf("the log does not say why: %s", c.logs.String())
	}
}

var keyNumber atomic.Int64

func (c *contract) request(s shot) *http.Request {
	c.t.Helper()
	r, err := http.NewRequest(s.method, "http://"+c.node.Addr()+s.path, strings.NewReader(s.body))
	if err != nil {
		c.t.Fatal(err)
	}
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	if s.method != http.MethodGet {
		r.Header.Set("Idempotency-Key", fmt.Sprintf("c-%d", keyNumber.Add(1)))
	}
	if s.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(r.Header, s.header)
	return r
}

// shoot makes a request, holds it and its answer to the document, and notes what was exercised.
func (c *contract) shoot(s shot) answer {
	c.t.Helper()
	r := c.request(s)
	route, parameters, err := c.router.FindRoute(r)
	if err != nil {
		got := c.roundTrip(r)
		err := c.doc.Components.Schemas["Problem"].Value.VisitJSON(got.json, openapi3.EnableJSONSchema2020())
		if err != nil || got.header.Get("Content-Type") != "application/problem+json" {
			c.t.Errorf("%s %s: %s: %v", s.method, s.path, got.body, err)
		}
		c.note(s, nil, got)
		return got
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{
			AuthenticationFunc:                openapi3filter.NoopAuthenticationFunc,
			RejectWhenRequestBodyNotSpecified: true,
		},
	}
	if err := openapi3filter.ValidateRequest(c.t.Context(), input); (err != nil) != s.undocumented {
		c.t.Errorf("%s %s %s: is as documented: %v", s.method, s.path, s.body, err)
	}
	r.Body = io.NopCloser(strings.NewReader(s.body))
	got := c.roundTrip(r)
	response := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: got.status, Header: got.header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(c.t.Context(), response.SetBodyBytes([]byte(got.body))); err != nil {
		c.t.Errorf("%s %s: %d %s: %v", s.method, s.path, got.status, got.body, err)
	}
	told := []string{"Content-Type", "Content-Length", "Date", "Connection"} // of HTTP
	documented := route.Operation.Responses.Status(got.status)
	if documented == nil {
		documented = route.Operation.Responses.Default()
	}
	for name := range documented.Value.Headers {
		told = append(told, http.CanonicalHeaderKey(name))
	}
	for name := range got.header {
		if !slices.Contains(told, name) {
			c.t.Errorf("%s %s: %d has the header %s, which the document does not", s.method, s.path, got.status, name)
		}
	}
	c.note(s, route.Operation, got)
	return got
}

func (c *contract) roundTrip(r *http.Request) answer {
	c.t.Helper()
	resp, err := c.http.Do(r)
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
		c.t.Errorf("%s %s: %v: %s", r.Method, r.URL, err, body)
	}
	return got
}

// note checks that a code is the one wanted and one of the operation's, with one of its statuses.
func (c *contract) note(s shot, op *openapi3.Operation, got answer) {
	c.t.Helper()
	code, name := got.code(), ""
	if s.want != "" && code != s.want {
		c.t.Errorf("%s %s %s: %d %s, want %s", s.method, s.path, s.body, got.status, got.body, s.want)
	}
	switch {
	case slices.Contains(codes(c.doc.Extensions["x-codes-everywhere"]), code):
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
	if c.seen[name] == nil {
		c.seen[name] = map[string]bool{}
	}
	c.seen[name][code] = true
}

func codes(extension any) (words []string) {
	list, _ := extension.([]any)
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
