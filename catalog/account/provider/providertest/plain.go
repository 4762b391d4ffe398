package providertest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Plain is a provider of OAuth 2 that answers as WeChat does: with the status 200 and an errcode, to a query with appid and secret. A
// code counts once. Unlike WeChat it has PKCE, unless it is made by NewPlainWithoutPKCE.
type Plain struct {
	*httptest.Server

	t      *testing.T
	client *http.Client
	pkce   bool

	mu     sync.Mutex
	as     Person
	codes  map[string]grant
	tokens map[string]Person
	asked  int // for a token
	fails  int // the status that it answers instead, or 0
}

type grant struct {
	person              Person
	redirect, challenge string
}

// NewPlain starts a provider.
func NewPlain(t *testing.T) *Plain {
	t.Helper()
	p := &Plain{t: t, client: noRedirects(t), pkce: true, codes: map[string]grant{}, tokens: map[string]Person{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("GET /token", p.token)
	mux.HandleFunc("GET /user", p.user)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// NewPlainWithoutPKCE starts one that does not know whose flow a code is of.
func NewPlainWithoutPKCE(t *testing.T) *Plain {
	t.Helper()
	p := NewPlain(t)
	p.pkce = false
	return p
}

// File is the provider as a file of providers has it.
func (p *Plain) File(name, redirect string) string {
	return `{"name": "` + name + `", "title": "Plain", "kind": "oauth2", "issuer": "` + p.URL + `", "client_id": "` + clientID +
		`", "client_secret_file": "provider.secret", "redirect_url": "` + redirect + `", "scopes": ["snsapi_login"], "oauth2": {
		"authorize_url": "` + p.URL + `/authorize#wechat_redirect", "token_url": "` + p.URL + `/token", "token_method": "GET",
		"user_url": "` + p.URL + `/user", "user_parameters": ["access_token", "openid"], "client_id_name": "appid", "client_secret_name": "secret",
		"pkce": ` + strconv.FormatBool(p.pkce) + `, "subject": "unionid", "label": "nickname", "error": "errcode", "code_errors": ["40029", "40163"]}}`
}

// SignIn signs somebody in at the address where a sign-in begins, and returns what the provider sends back.
func (p *Plain) SignIn(address string, as Person) Return {
	p.t.Helper()
	p.mu.Lock()
	p.as = as
	p.mu.Unlock()
	return back(location(p.t, p.client, address))
}

// Fail has it answer with a status, until that is 0.
func (p *Plain) Fail(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails = status
}

// Asked is how often the provider was asked for a token.
func (p *Plain) Asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func (p *Plain) authorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if query.Get("appid") != clientID || query.Get("response_type") != "code" {
		http.Error(w, "no client", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	code := rand.Text()
	p.codes[code] = grant{p.as, query.Get("redirect_uri"), query.Get("code_challenge")}
	to := query.Get("redirect_uri") + "?" + url.Values{"code": {code}, "state": {query.Get("state")}}.Encode()
	http.Redirect(w, r, to, http.StatusFound)
}

func (p *Plain) token(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fails != 0 {
		http.Error(w, "no", p.fails)
		return
	}
	p.asked++
	of, known := p.codes[query.Get("code")]
	hash := sha256.Sum256([]byte(query.Get("code_verifier")))
	switch {
	case query.Get("appid") != clientID || query.Get("secret") != clientSecret:
		answer(w, map[string]any{"errcode": 40125, "errmsg": "invalid appsecret"})
	case !known || of.redirect == "":
		answer(w, map[string]any{"errcode": 40029, "errmsg": "invalid code"})
	case p.pkce && of.challenge != base64.RawURLEncoding.EncodeToString(hash[:]):
		answer(w, map[string]any{"errcode": 40029, "errmsg": "invalid code_verifier"})
	default:
		p.codes[query.Get("code")] = grant{} // it is used
		token := "token-" + query.Get("code")
		p.tokens[token] = of.person
		answer(w, map[string]any{"access_token": token, "expires_in": 7200, "openid": "open-" + of.person.ID, "unionid": of.person.ID})
	}
}

func (p *Plain) user(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of, known := p.tokens[r.URL.Query().Get("access_token")]
	if !known || r.URL.Query().Get("openid") != "open-"+of.ID {
		answer(w, map[string]any{"errcode": 40003, "errmsg": "invalid openid"})
		return
	}
	answer(w, map[string]any{"openid": "open-" + of.ID, "unionid": of.ID, "nickname": of.Name, "email": of.Email})
}

func answer(w http.ResponseWriter, members map[string]any) {
	w.Header().Set("Content-Type", "text/plain")
	_ = json.NewEncoder(w).Encode(members)
}

// WriteFile writes a file of providers, with the secret that all of them have beside it, and returns its path.
func WriteFile(t *testing.T, providers ...string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "providers.json")
	for name, text := range map[string]string{"provider.secret": clientSecret + "\n", "providers.json": `{"providers": [` + strings.Join(providers, ",\n") + "]}"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}
