package web_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/catalog/internal/web"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/ids"
	"sluice/core/limit"
	"sluice/core/problem"
	"sluice/core/stock"
)

// server serves routes that everybody may call, unless edit says otherwise.
func server(t *testing.T, edit func(*web.Config), routes ...web.Route) *web.Server {
	t.Helper()
	cfg := web.Config{
		Routes: routes, Permissions: web.Permissions{}, RequestsMax: 1, Timeout: time.Minute,
		Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler), Now: time.Now,
	}
	for _, r := range routes {
		cfg.Permissions[r.Operation] = web.Permission{Roles: web.Anybody}
	}
	if edit != nil {
		edit(&cfg)
	}
	s, err := web.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(s http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

var done = says("done")

func says(text string) web.Answer {
	return func(w http.ResponseWriter) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func refuses(t *testing.T, w *httptest.ResponseRecorder, kind *problem.Kind, what string) {
	t.Helper()
	if w.Code != kind.Status || !strings.Contains(w.Body.String(), `"code":"`+kind.Code+`"`) || !strings.Contains(w.Body.String(), what) {
		t.Errorf("%d %s, want %s: %s", w.Code, w.Body, kind.Code, what)
	}
}

// An error becomes the problem that tells whether anything was done.
func TestErrorsBecomeProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want *problem.Kind
		says string
	}{
		{&problem.Problem{Kind: problem.WrongState, Detail: "so it is"}, problem.WrongState, "so it is"},
		{errors.Join(stock.ErrNotApplied, &config.ServerError{Server: "MySQL", Err: io.EOF}), problem.Unavailable, "MySQL cannot be reached."},
		{errors.Join(errors.New("x"), stock.ErrUnknown), problem.OutcomeUnknown, ""},
		{errors.New("secret"), problem.Internal, ""},
	} {
		s := server(t, nil, web.Route{Operation: "Fail", Method: "GET", Path: "/fail", Serve: func(*http.Request) (web.Answer, error) { return nil, c.err }})
		w := ask(s, "GET", "/fail", "")
		refuses(t, w, c.want, c.says)
		if strings.Contains(w.Body.String(), "secret") || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%v %s", w.Header(), w.Body)
		}
	}
}

// Answers of all methods have what is personal, and nobody may keep them.
func TestNobodyKeepsAnswers(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
		s := server(t, nil, web.Route{Operation: "Do", Method: method, Path: "/do", Serve: func(*http.Request) (web.Answer, error) { return done, nil }})
		w := ask(s, method, "/do", "", "Idempotency-Key", "k")
		if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, %v", method, w.Code, w.Header())
		}
	}
}

// A request that panics ends, and nothing else.
func TestPanicsAreAnswered(t *testing.T) {
	t.Parallel()
	set, log := metrics.NewSet(), new(bytes.Buffer)
	s := server(t, func(cfg *web.Config) { cfg.Metrics, cfg.Log = set, slog.New(slog.NewTextHandler(log, nil)) }, web.Route{
		Operation: "Panic", Method: "GET", Path: "/panic", Serve: func(*http.Request) (web.Answer, error) { panic("a canary") },
	})
	for range 3 { // and gives its place back
		refuses(t, ask(s, "GET", "/panic", ""), problem.Internal, "")
	}
	if n := set.GetOrCreateCounter("sluice_catalog_http_panics_total").Get(); n != 3 {
		t.Errorf("%d panics are counted", n)
	}
	if text := log.String(); !strings.Contains(text, `panic="a string"`) || strings.Contains(text, "canary") {
		t.Errorf("the log has %s", text)
	}
}

// A server that serves all that it may refuses the next one at once.
func TestFullServerRefuses(t *testing.T) {
	t.Parallel()
	begun, end := make(chan struct{}), make(chan struct{})
	s := server(t, nil, web.Route{Operation: "Wait", Method: "GET", Path: "/wait", Serve: func(*http.Request) (web.Answer, error) {
		begun <- struct{}{}
		<-end
		return done, nil
	}})
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- ask(s, "GET", "/wait", "") }()
	<-begun
	refuses(t, ask(s, "GET", "/wait", ""), problem.Overloaded, "")
	close(end)
	if w := <-first; w.Body.String() != "done" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// An operation of nobody, one that is there twice, and a permission for nothing keep a server from starting.
func TestRoutesAndPermissionsFit(t *testing.T) {
	t.Parallel()
	route := web.Route{Operation: "One", Method: "GET", Path: "/a/{id}", Serve: func(*http.Request) (web.Answer, error) { return done, nil }}
	other := route
	other.Path = "/a/{name}"
	for what, cfg := range map[string]web.Config{
		"nobody's":  {Routes: []web.Route{route}},
		"twice":     {Routes: []web.Route{route, route}, Permissions: web.Permissions{"One": {Roles: web.Anybody}}},
		"two names": {Routes: []web.Route{route, other}, Permissions: web.Permissions{"One": {Roles: web.Anybody}}},
		"no scope": {
			Routes:      []web.Route{route},
			Permissions: web.Permissions{"One": {Roles: web.RolesOf(auth.RoleService)}},
		},
		"a scope of nobody": {
			Routes:      []web.Route{route},
			Permissions: web.Permissions{"One": {Roles: web.RolesOf(auth.RoleAdmin), Scope: auth.ScopeUsersRead}},
		},
		"by nobody":   {Routes: []web.Route{route}, Permissions: web.Permissions{"One": {On: "its own user"}}},
		"for nothing": {Routes: []web.Route{route}, Permissions: web.Permissions{"One": {Roles: web.Anybody}, "Two": {Roles: web.Anybody}}},
	} {
		cfg.Metrics = metrics.NewSet()
		if _, err := web.New(cfg); err == nil {
			t.Errorf("%s: it starts", what)
		}
	}
}

// Parts of the path and of the query are read as sent, and ids of another kind are refused.
func TestParametersAreRead(t *testing.T) {
	t.Parallel()
	s := server(t, nil, web.Route{
		Operation: "Read", Method: "GET", Path: "/things/{user_id}/{address_id}", Parameters: []string{"word"},
		Serve: func(r *http.Request) (web.Answer, error) {
			var user ids.User
			var address ids.Address
			var word *string
			err := errors.Join(web.ReadPath(r, "user_id", &user), web.ReadPath(r, "address_id", &address), web.ReadQuery(r, "word", &word))
			if word == nil {
				word = new("none")
			}
			return says(address.String() + " " + *word), err
		},
	})
	const address, session = "adr_0000000000001", "ses_0000000000001"
	for path, want := range map[string]string{
		"/things/7/" + address:                    address + " none",
		"/things/7/" + address + "?word=a":        address + " a",
		"/things/7/" + address + "?":              address + " none",
		"/things/7/" + session:                    "want an id: adr_",
		"/things/07/" + address:                   "want the id of a user",
		"/things/7/" + strings.ToUpper(address):   "want an id",
		"/things/7/" + address + "?word=a&word=b": "is there twice",
		"/things/7/" + address + "?Word=a":        "unknown query parameter",
		"/things/7/" + address + "/":              "not_found",
		"/things/7":                               "not_found",
		"/things//" + address:                     "not_found",
	} {
		if w := ask(s, "GET", path, ""); !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, want %s", path, w.Code, w.Body, want)
		}
	}
}

// A shopper over the limit takes nothing from the address, and who sends no token or nonsense is counted by address.
func TestLimits(t *testing.T) {
	t.Parallel()
	key, err := auth.GenerateKey(auth.HS256)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := auth.WriteKeys(file, key); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.ReadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	token, err := keys.Issue(auth.Claims{
		Identity: auth.Identity{Subject: 7, Role: auth.RoleShopper}, Issuer: "i", Audience: "a", NotBefore: now.Add(-time.Minute), Expires: now.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := server(t, func(cfg *web.Config) {
		cfg.Tokens = auth.NewVerifier(keys, auth.VerifierConfig{Issuer: "i", Audience: "a", CacheMax: 8})
		cfg.Users = limit.New("user", limit.Config{Rate: 0.001, Burst: 2, KeysMax: 8}, limit.UserID)
		cfg.Addresses = limit.New("address", limit.Config{Rate: 0.001, Burst: 4, KeysMax: 8}, limit.AddressID)
		cfg.Proxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} // of httptest
		cfg.Permissions["Who"] = web.Permission{Roles: web.RolesOf(auth.RoleShopper)}
		cfg.Now = func() time.Time { return now }
	}, web.Route{Operation: "Who", Method: "GET", Path: "/who", Serve: func(r *http.Request) (web.Answer, error) {
		if who := web.Who(r.Context()); who != (auth.Identity{Subject: 7, Role: auth.RoleShopper}) {
			t.Errorf("asked by %+v", who)
		}
		return done, nil
	}})
	from := func(address, token string) *httptest.ResponseRecorder {
		return ask(s, "GET", "/who", "", "Authorization", "Bearer "+token, "X-Forwarded-For", address)
	}
	for range 2 {
		if w := from("10.0.0.1", token); w.Code != http.StatusOK || !strings.Contains(w.Header().Get("RateLimit"), `"user";r=`) {
			t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
		}
	}
	for range 5 {
		refuses(t, from("10.0.0.1", token), problem.RateLimited, "")
	}
	for range 2 { // the address has lost two tokens only
		refuses(t, from("10.0.0.1", "x"), problem.Unauthorized, "")
	}
	refuses(t, from("10.0.0.1", "x"), problem.RateLimited, "")
	refuses(t, from("10.0.0.2", "x"), problem.Unauthorized, "")
	for range 3 {
		refuses(t, ask(s, "GET", "/nowhere", "", "X-Forwarded-For", "10.0.0.2"), problem.NotFound, "")
	}
	refuses(t, ask(s, "GET", "/nowhere", "", "X-Forwarded-For", "10.0.0.2"), problem.RateLimited, "")
}
