package provider_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"sluice/catalog/account/provider"
	"sluice/catalog/account/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const page = "https://shop.example/back"

// open reads a file of providers that are on this machine.
func open(t *testing.T, forms ...string) (*provider.Providers, *metrics.Set) {
	t.Helper()
	return openAt(t, time.Now, 10*time.Second, forms...)
}

func openAt(t *testing.T, now func() time.Time, timeout time.Duration, forms ...string) (*provider.Providers, *metrics.Set) {
	t.Helper()
	cfg := provider.Config{File: providertest.WriteFile(t, forms...), Networks: []string{"127.0.0.0/8"}, Timeout: timeout}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	set := metrics.NewSet()
	all, err := cfg.Open(provider.Options{Metrics: set, Log: slog.New(slog.DiscardHandler), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(all.Close)
	return all, set
}

func flowOf(name string) provider.Flow {
	return provider.Flow{State: "state-" + name, Nonce: "nonce-" + name, Verifier: strings.Repeat("v", 42) + name[:1]}
}

func begin(t *testing.T, p *provider.Provider, f provider.Flow) string {
	t.Helper()
	address, err := p.Begin(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func counted(t *testing.T, set *metrics.Set, name, outcome string, want int) {
	t.Helper()
	var b strings.Builder
	set.WritePrometheus(&b)
	line := fmt.Sprintf("sluice_catalog_provider_attempts_total{provider=%q,outcome=%q} %d\n", name, outcome, want)
	if !strings.Contains(b.String(), line) {
		t.Errorf("want %s in %s", line, b.String())
	}
}

// signs is a provider of either kind.
type signs interface {
	SignIn(address string, as providertest.Person) providertest.Return
}

// Providers of both kinds name who signed in there, once for each code, and only to whoever began it.
func TestProvidersNamePeople(t *testing.T) {
	t.Parallel()
	openID, plain := providertest.NewOpenID(t, page), providertest.NewPlain(t)
	all, set := open(t, openID.File("open", page), plain.File("plain", page+"/plain"))
	mia := providertest.Person{ID: "id-mia", Name: "Mia", Email: "mia@example.org", Verified: true}
	for name, of := range map[string]struct {
		at   signs
		want provider.Person
	}{
		"open":  {openID, provider.Person{Issuer: openID.URL, Subject: "id-mia", Label: "Mia", Email: "mia@example.org"}},
		"plain": {plain, provider.Person{Issuer: plain.URL, Subject: "id-mia", Label: "Mia"}},
	} {
		p := all.Named(name)
		back := of.at.SignIn(begin(t, p, flowOf("a")), mia)
		if back.State != "state-a" {
			t.Errorf("%s: %+v", name, back)
		}
		who, err := p.Exchange(t.Context(), flowOf("a"), provider.Answer{Code: back.Code})
		if diff := cmp.Diff(of.want, who); diff != "" || err != nil {
			t.Errorf("%s: %s, %v", name, diff, err)
		}
		for what, again := range map[string]struct {
			flow   provider.Flow
			answer provider.Answer
		}{
			"a code that was used": {flowOf("a"), provider.Answer{Code: back.Code}},
			"no code of it":        {flowOf("a"), provider.Answer{Code: "guessed"}},
			"a code of another flow": {flowOf("b"), provider.Answer{
				Code: of.at.SignIn(begin(t, p, flowOf("a")), mia).Code,
			}},
		} {
			if _, err := p.Exchange(t.Context(), again.flow, again.answer); !errors.Is(err, provider.ErrRefused) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		counted(t, set, name, "done", 1)
		counted(t, set, name, "refused", 3)
	}
	other := provider.Answer{Code: openID.SignIn(begin(t, all.Named("open"), flowOf("a")), mia).Code, Issuer: "https://other.example"}
	if _, err := all.Named("open").Exchange(t.Context(), flowOf("a"), other); !errors.Is(err, provider.ErrRefused) {
		t.Errorf("a code of another issuer: %v", err)
	}
	unverified := providertest.Person{ID: "id-eve", Name: "Eve", Email: "eve@example.org"}
	back := openID.SignIn(begin(t, all.Named("open"), flowOf("c")), unverified)
	if who, err := all.Named("open").Exchange(t.Context(), flowOf("c"), provider.Answer{Code: back.Code}); err != nil || who.Email != "" {
		t.Errorf("an address that is not verified: %+v, %v", who, err)
	}
}

// What is sent to a provider has what the shop registered there, and nothing of who asks.
func TestWhatPlainProvidersAreSent(t *testing.T) {
	t.Parallel()
	plain := providertest.NewPlain(t)
	all, _ := open(t, plain.File("plain", page))
	address := begin(t, all.Named("plain"), flowOf("a"))
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := to.Query()
	if to.Fragment != "wechat_redirect" || query.Get("appid") != "shop" || query.Get("redirect_uri") != page || query.Get("scope") != "snsapi_login" || strings.Contains(address, "client_id") {
		t.Error(address)
	}
}

// scripted is a plain provider that answers what a test wants.
type scripted struct {
	*httptest.Server

	mu          sync.Mutex
	token, user http.HandlerFunc
}

func newScripted(t *testing.T) (*scripted, string) {
	t.Helper()
	s := &scripted{}
	s.answer(nil, nil)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		by := s.user
		if r.URL.Path == "/token" {
			by = s.token
		}
		s.mu.Unlock()
		by(w, r)
	}))
	t.Cleanup(s.Close)
	return s, `{"name": "plain", "title": "Plain", "kind": "oauth2", "issuer": "plain", "client_id": "shop", "client_secret_file": "provider.secret",
		"redirect_url": "` + page + `", "at_once": 2, "oauth2": {"authorize_url": "` + s.URL + `/authorize", "token_url": "` + s.URL + `/token",
		"user_url": "` + s.URL + `/user", "subject": "id", "label": "name"}}`
}

// answer has it answer in another way than honestly.
func (s *scripted) answer(token, user http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.user = says(200, `{"access_token":"t","id":"1"}`), says(200, `{"id":"1","name":"Mia"}`)
	if token != nil {
		s.token = token
	}
	if user != nil {
		s.user = user
	}
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// Whatever a plain provider answers, it names somebody for certain or nobody.
func TestPlainProvidersThatLie(t *testing.T) {
	t.Parallel()
	s, form := newScripted(t)
	all, _ := open(t, form)
	issuer := ""
	f := func(what string, token, user http.HandlerFunc, want error) {
		t.Helper()
		s.answer(token, user)
		if who, err := all.Named("plain").Exchange(t.Context(), flowOf("a"), provider.Answer{Code: "c", Issuer: issuer}); !errors.Is(err, want) || want != nil && who != (provider.Person{}) {
			t.Errorf("%s: %+v, %v, want %v", what, who, err, want)
		}
	}
	f("an honest one", nil, nil, nil)
	issuer = "https://plain.example" // which is not the name that the shop gave it
	f("one that names itself", nil, nil, nil)
	issuer = ""
	f("a number as id", nil, says(200, `{"id":1}`), nil)
	f("a refused code", says(400, `{"error":"invalid_grant"}`), nil, provider.ErrRefused)
	f("a refused code with 200", says(200, `{"error":"invalid_grant"}`), nil, provider.ErrRefused)
	f("a wrong secret", says(401, `{"error":"invalid_client"}`), nil, provider.ErrBroken)
	f("an error that is an object", says(200, `{"error":{"message":"no"},"access_token":"t","id":"1"}`), nil, provider.ErrBroken)
	f("no token", says(200, `{"id":"1"}`), nil, provider.ErrBroken)
	f("no JSON", says(200, `access_token=t`), nil, provider.ErrBroken)
	f("null", says(200, `null`), nil, provider.ErrBroken)
	f("a member twice", nil, says(200, `{"id":"1","id":"2"}`), provider.ErrBroken)
	f("two people", nil, says(200, `{"id":"2"}`), provider.ErrBroken)
	f("nobody", nil, says(200, `{"name":"Mia"}`), provider.ErrBroken)
	f("somebody by an object", says(200, `{"access_token":"t"}`), says(200, `{"id":{"a":1}}`), provider.ErrBroken)
	f("somebody by a line", says(200, `{"access_token":"t"}`), says(200, `{"id":"1\n2"}`), provider.ErrBroken)
	f("somebody without end", says(200, `{"access_token":"t"}`), says(200, `{"id":"`+strings.Repeat("1", 256)+`"}`), provider.ErrBroken)
	f("an answer without end", says(200, `{"x":"`+strings.Repeat("x", 1<<20)+`"}`), nil, provider.ErrBroken)
	f("one that cannot", says(503, `{}`), nil, provider.ErrUnavailable)
	f("one that is asked too much", nil, says(429, `{}`), provider.ErrUnavailable)
	f("a user that is refused", nil, says(403, `{}`), provider.ErrBroken)
	all, _ = open(t, strings.Replace(form, `"subject"`, `"sends_issuer": "https://plain.example", "subject"`, 1))
	issuer = "https://plain.example"
	f("the issuer that it sends", nil, nil, nil)
	issuer = "https://other.example"
	f("another issuer", nil, nil, provider.ErrRefused)
	issuer = ""
	f("no issuer of one that sends it", nil, nil, provider.ErrRefused)
	all, _ = open(t, form)
	f("a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/user", http.StatusFound) }, nil, provider.ErrBroken)
	s.CloseClientConnections()
	s.Close()
	f("one that is away", nil, nil, provider.ErrUnavailable)
}

// A provider that hangs keeps back as many as it may, for as long as it may. All others are told at once.
func TestProviderThatHangs(t *testing.T) {
	t.Parallel()
	s, form := newScripted(t)
	all, set := openAt(t, time.Now, 500*time.Millisecond, form)
	came, leave := make(chan struct{}, 10), make(chan struct{})
	s.answer(func(http.ResponseWriter, *http.Request) { came <- struct{}{}; <-leave }, nil)
	defer close(leave)
	ended := make(chan error, 2)
	exchange := func() error {
		_, err := all.Named("plain").Exchange(t.Context(), flowOf("a"), provider.Answer{Code: "c"})
		return err
	}
	for range 2 {
		go func() { ended <- exchange() }()
		<-came
	}
	if err := exchange(); !errors.Is(err, provider.ErrUnavailable) {
		t.Errorf("a third one: %v", err)
	}
	if _, err := all.Named("plain").Begin(t.Context(), flowOf("a")); !errors.Is(err, provider.ErrUnavailable) {
		t.Errorf("one that begins: %v", err)
	}
	counted(t, set, "plain", "busy", 2)
	for range 2 {
		if err := <-ended; !errors.Is(err, provider.ErrUnavailable) {
			t.Error(err)
		}
	}
	counted(t, set, "plain", "unavailable", 2)
}

// Secrets and codes are in no error.
func TestErrorsOfProvidersHaveNoSecret(t *testing.T) {
	t.Parallel()
	plain := providertest.NewPlain(t)
	all, _ := open(t, plain.File("plain", page))
	plain.Close()
	_, err := all.Named("plain").Exchange(t.Context(), flowOf("a"), provider.Answer{Code: "the-code"})
	if err == nil || strings.Contains(err.Error(), "correct-secret") || strings.Contains(err.Error(), "the-code") {
		t.Error(err)
	}
	s, form := newScripted(t)
	all, _ = open(t, form)
	s.answer(says(400, `{"error":"`+strings.Repeat("x", 500)+`"}`), nil)
	if _, err = all.Named("plain").Exchange(t.Context(), flowOf("a"), provider.Answer{Code: "c"}); err == nil || len(err.Error()) > 300 {
		t.Error(err)
	}
}
