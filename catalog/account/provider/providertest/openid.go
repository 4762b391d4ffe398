// Package providertest has providers for tests, on this machine: one of OpenID Connect, which is zitadel's, and a plain one of OAuth 2
// that answers as WeChat does. Somebody who signs in there is sent back at once.
package providertest

import (
	"crypto/sha256"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	clientID     = "shop"
	clientSecret = "correct-secret"
)

// Return is what a provider sends back.
type Return struct{ Code, State, Issuer string }

// OpenID is a provider of OpenID Connect.
type OpenID struct {
	*httptest.Server

	t       *testing.T
	storage *storage.Storage
	people  *people
	op      *op.Provider
	client  *http.Client
}

// Person is somebody who has an account at a provider.
type Person struct {
	ID, Name, Email string
	Verified        bool // the address of e-mail
}

// people are those of a provider. It implements storage.UserStore.
type people struct {
	mu  sync.Mutex
	all map[string]*storage.User
}

// GetUserByID implements storage.UserStore.
func (p *people) GetUserByID(id string) *storage.User {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all[id]
}

// GetUserByUsername implements storage.UserStore.
func (p *people) GetUserByUsername(name string) *storage.User { return p.GetUserByID(name) }

// ExampleClientID implements storage.UserStore.
func (*people) ExampleClientID() string { return "service" }

const password = "secret"

// NewOpenID starts a provider that sends people back to an address.
func NewOpenID(t *testing.T, redirect string) *OpenID {
	t.Helper()
	o := &OpenID{t: t, Server: httptest.NewUnstartedServer(nil), people: &people{all: map[string]*storage.User{}}, client: noRedirects(t)}
	issuer := "http://" + o.Listener.Addr().String()
	o.storage = storage.NewStorageWithClients(o.people, map[string]*storage.Client{clientID: storage.WebClient(clientID, clientSecret, redirect)})
	var err error
	o.op, err = op.NewProvider(&op.Config{CryptoKey: sha256.Sum256([]byte("test")), CodeMethodS256: true}, o.storage, op.StaticIssuer(issuer),
		op.WithAllowInsecure(), op.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	o.Config.Handler = o.op
	o.Start()
	t.Cleanup(o.Close)
	return o
}

// File is the provider as a file of providers has it.
func (o *OpenID) File(name, redirect string) string {
	return `{"name": "` + name + `", "title": "OpenID", "kind": "oidc", "issuer": "` + o.URL + `", "client_id": "` + clientID +
		`", "client_secret_file": "provider.secret", "redirect_url": "` + redirect + `", "scopes": ["email", "profile"]}`
}

// SignIn signs somebody in at the address where a sign-in begins, and returns what the provider sends back.
func (o *OpenID) SignIn(address string, as Person) Return {
	o.t.Helper()
	o.people.mu.Lock()
	o.people.all[as.ID] = &storage.User{ID: as.ID, Username: as.ID, Password: password, FirstName: as.Name, Email: as.Email, EmailVerified: as.Verified}
	o.people.mu.Unlock()
	login := location(o.t, o.client, address)
	request := login.Query().Get("authRequestID")
	if err := o.storage.CheckUsernamePassword(as.ID, password, request); err != nil {
		o.t.Fatalf("sign in at %s: %v", login, err)
	}
	return back(location(o.t, o.client, op.AuthCallbackURL(o.op)(op.ContextWithIssuer(o.t.Context(), o.URL), request)))
}

func back(to *url.URL) Return {
	return Return{Code: to.Query().Get("code"), State: to.Query().Get("state"), Issuer: to.Query().Get("iss")}
}

// noRedirects is a client that shows redirects.
func noRedirects(t *testing.T) *http.Client {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// location is where an address leads.
func location(t *testing.T, client *http.Client, address string) *url.URL {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	to, err := answer.Location()
	if err != nil {
		t.Fatalf("%s answers %d %s: %v", address, answer.StatusCode, text, err)
	}
	return to
}
