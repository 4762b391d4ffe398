package provider_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"sluice/catalog/account/provider"
)

// liar is an OpenID provider that says what a test wants.
type liar struct {
	*httptest.Server

	t  *testing.T
	mu sync.Mutex
	// What it says. A test changes it by lie.
	key     *ecdsa.PrivateKey
	kid     string
	keys    func(honest []byte) []byte
	claims  map[string]any
	says    map[string]any
	token   func(claims map[string]any) string
	answer  http.HandlerFunc // in the place of the token endpoint's
	publish http.HandlerFunc // in that of its keys
	fetched int              // how often its keys were
}

func newLiar(t *testing.T) (*liar, string) {
	t.Helper()
	l := &liar{t: t}
	l.key, l.kid = newKey(t), "1"
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.write(w, l.says)
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.fetched++
		if l.publish != nil {
			l.publish(w, r)
			return
		}
		held, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &l.key.PublicKey, KeyID: l.kid, Algorithm: "ES256", Use: "sig"}}})
		if err != nil {
			l.t.Error(err)
		}
		_, _ = w.Write(l.keys(held))
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.answer != nil {
			l.answer(w, r)
			return
		}
		l.write(w, map[string]any{"access_token": "t", "token_type": "Bearer", "id_token": l.token(l.claims)})
	})
	l.Server = httptest.NewServer(mux)
	t.Cleanup(l.Close)
	l.honest()
	return l, `{"name": "liar", "title": "Liar", "kind": "oidc", "issuer": "` + l.URL + `", "client_id": "shop", "client_secret_file": "provider.secret",
		"redirect_url": "` + page + `"}`
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// honest has it say the truth.
func (l *liar) honest() {
	now := time.Now()
	l.claims = map[string]any{
		"iss": l.URL, "aud": "shop", "sub": "mia", "nonce": "nonce-a", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"name": "Mia", "email": "mia@example.org", "email_verified": true,
	}
	l.says = map[string]any{
		"issuer": l.URL, "authorization_endpoint": l.URL + "/authorize", "token_endpoint": l.URL + "/token", "jwks_uri": l.URL + "/keys",
		"id_token_signing_alg_values_supported": []string{"ES256", "none", "HS256"},
	}
	l.keys = func(held []byte) []byte { return held }
	l.token = func(claims map[string]any) string { return l.sign(claims, l.key, l.kid) }
	l.answer, l.publish = nil, nil
}

func (l *liar) sign(claims map[string]any, key *ecdsa.PrivateKey, kid string) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.signed(signer, claims)
}

func (l *liar) signed(signer jose.Signer, claims map[string]any) string {
	plain, err := json.Marshal(claims)
	if err != nil {
		l.t.Fatal(err)
	}
	of, err := signer.Sign(plain)
	if err != nil {
		l.t.Fatal(err)
	}
	text, err := of.CompactSerialize()
	if err != nil {
		l.t.Fatal(err)
	}
	return text
}

func (l *liar) write(w http.ResponseWriter, members map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(members); err != nil {
		l.t.Error(err)
	}
}

// lie has it say something else.
func (l *liar) lie(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.honest()
	change()
}

// Whatever an OpenID provider signs, or does not, it names somebody for certain or nobody.
func TestOpenIDProvidersThatLie(t *testing.T) {
	t.Parallel()
	l, form := newLiar(t)
	all, _ := open(t, form)
	f := func(what string, want error, change func()) {
		t.Helper()
		l.lie(change)
		who, err := all.Named("liar").Exchange(t.Context(), flowOf("a"), provider.Answer{Code: "c"})
		if !errors.Is(err, want) || want == nil && who.Subject != "mia" || want != nil && who != (provider.Person{}) {
			t.Errorf("%s: %+v, %v, want %v", what, who, err, want)
		}
	}
	claim := func(name string, value any) func() { return func() { l.claims[name] = value } }
	f("the truth", nil, func() {})
	f("another issuer", provider.ErrBroken, claim("iss", "https://other.example"))
	f("another client", provider.ErrBroken, claim("aud", "other"))
	f("this client and another", nil, claim("aud", []string{"other", "shop"}))
	f("for another client of them", provider.ErrBroken, func() { l.claims["aud"], l.claims["azp"] = []string{"other", "shop"}, "other" })
	f("another nonce", provider.ErrRefused, claim("nonce", "nonce-b"))
	f("no nonce", provider.ErrRefused, func() { delete(l.claims, "nonce") })
	f("one that is over", provider.ErrBroken, claim("exp", time.Now().Add(-time.Minute).Unix()))
	f("no end", provider.ErrBroken, func() { delete(l.claims, "exp") })
	f("one that begins later", provider.ErrBroken, claim("nbf", time.Now().Add(time.Hour).Unix()))
	f("nobody", provider.ErrBroken, func() { delete(l.claims, "sub") })
	f("another access token", provider.ErrBroken, claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"))
	f("another key", provider.ErrBroken, func() { l.token = func(c map[string]any) string { return l.sign(c, newKey(t), l.kid) } })
	f("no signature", provider.ErrBroken, func() {
		l.token = func(c map[string]any) string {
			parts := strings.Split(l.sign(c, l.key, l.kid), ".")
			return "eyJhbGciOiJub25lIn0." + parts[1] + "."
		}
	})
	f("the published key as a secret of both", provider.ErrBroken, func() {
		l.token = func(c map[string]any) string {
			held, err := l.key.PublicKey.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: held}, nil)
			if err != nil {
				t.Fatal(err)
			}
			return l.signed(signer, c)
		}
	})
	f("no token", provider.ErrBroken, func() { l.token = func(map[string]any) string { return "" } })
	f("a changed token", provider.ErrBroken, func() {
		l.token = func(c map[string]any) string { return l.sign(c, l.key, l.kid) + "AAAA" }
	})
	f("a code that does not count", provider.ErrRefused, func() { l.answer = says(400, `{"error":"invalid_grant"}`) })
	f("a wrong secret", provider.ErrBroken, func() { l.answer = says(401, `{"error":"invalid_client"}`) })
	f("one that cannot", provider.ErrUnavailable, func() { l.answer = says(502, `no`) })
	f("no JSON", provider.ErrBroken, func() { l.answer = says(200, `<html>`) })
	f("an answer without end", provider.ErrBroken, func() { l.answer = says(200, `{"access_token":"`+strings.Repeat("x", 1<<20)+`"}`) })
	f("the truth again", nil, func() {})
	f("a name that is no text", nil, claim("name", map[string]any{"a": 1}))
	f("an address that is not verified", nil, claim("email_verified", false))
}

// Keys are changed by a provider when it likes. They are fetched when one is used that is not known, and not for each sign-in.
func TestKeysOfProvidersChange(t *testing.T) {
	t.Parallel()
	l, form := newLiar(t)
	all, _ := open(t, form)
	exchange := func(want error) {
		t.Helper()
		if _, err := all.Named("liar").Exchange(t.Context(), flowOf("a"), provider.Answer{Code: "c"}); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	fetched := func(want int) {
		t.Helper()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.fetched != want {
			t.Errorf("its keys were fetched %d times, want %d", l.fetched, want)
		}
	}
	for range 3 {
		exchange(nil)
	}
	fetched(1)
	l.lie(func() { l.key, l.kid = newKey(t), "2" })
	exchange(nil)
	fetched(2)
	l.lie(func() {
		l.key, l.kid = newKey(t), "3"
		l.keys = func([]byte) []byte {
			return []byte(`{"keys":[` + strings.Repeat(`{"kty":"oct","k":"AA"},`, 100_000) + `{}]}`)
		}
	})
	exchange(provider.ErrBroken)
	l.lie(func() {})
	exchange(nil)
}

// Keys that do not come are not the fault of the provider's words: the same code may count later.
func TestKeysOfProvidersThatDoNotCome(t *testing.T) {
	t.Parallel()
	f := func(what string, publish http.HandlerFunc, want error) {
		t.Helper()
		l, form := newLiar(t) // its own: an exchange may share the fetch of keys that another one has just ended
		all, set := open(t, form)
		l.lie(func() { l.publish = publish })
		if _, err := all.Named("liar").Exchange(t.Context(), flowOf("a"), provider.Answer{Code: "c"}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		counted(t, set, "liar", map[error]string{nil: "done", provider.ErrUnavailable: "unavailable", provider.ErrBroken: "broken"}[want], 1)
	}
	hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	f("503", says(503, "no"), provider.ErrUnavailable)
	f("429", says(429, "no"), provider.ErrUnavailable)
	f("nothing", hangUp, provider.ErrUnavailable)
	f("a part", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte(`{"keys":`))
		hangUp(w, r)
	}, provider.ErrUnavailable)
	f("404", says(404, "no"), provider.ErrBroken)
	f("no JSON", says(200, "no"), provider.ErrBroken)
	f("keys without end", says(200, `{"keys":[`+strings.Repeat(" ", 1<<20)+`]}`), provider.ErrBroken)
	f("its keys", nil, nil)
}

// What a provider says of itself has to fit the file, and leads to no other network.
func TestOpenIDProvidersThatSayWrongOfThemselves(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]map[string]any{
		"another issuer":                {"issuer": "https://other.example"},
		"no token endpoint":             {"token_endpoint": ""},
		"a token endpoint at the cloud": {"token_endpoint": "http://169.254.169.254/latest"},
		"keys in another network":       {"jwks_uri": "http://10.0.0.1/keys"},
		"an address of a file":          {"authorization_endpoint": "file:///etc/passwd"},
		"a script as address":           {"authorization_endpoint": "javascript:alert(1)"},
	} {
		l, form := newLiar(t)
		l.lie(func() {
			for name, value := range change {
				l.says[name] = value
			}
		})
		all, set := open(t, form)
		if address, err := all.Named("liar").Begin(t.Context(), flowOf("a")); !errors.Is(err, provider.ErrBroken) {
			t.Errorf("%s: %s, %v", what, address, err)
		}
		counted(t, set, "liar", "broken", 1)
	}
	l, form := newLiar(t)
	l.Close()
	all, set := open(t, form)
	if _, err := all.Named("liar").Begin(t.Context(), flowOf("a")); !errors.Is(err, provider.ErrUnavailable) {
		t.Errorf("one that is away: %v", err)
	}
	counted(t, set, "liar", "unavailable", 1)
}

// One that names itself with each code has to: a code without a name may be one of another provider.
func TestProviderThatSendsItsIssuer(t *testing.T) {
	t.Parallel()
	l, form := newLiar(t)
	l.lie(func() { l.says["authorization_response_iss_parameter_supported"] = true })
	all, _ := open(t, form)
	for issuer, want := range map[string]error{"": provider.ErrRefused, "https://other.example": provider.ErrRefused, l.URL: nil} {
		if _, err := all.Named("liar").Exchange(t.Context(), flowOf("a"), provider.Answer{Code: "c", Issuer: issuer}); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", issuer, err, want)
		}
	}
}

// One that is away at first is asked again, and not by each who signs in.
func TestProviderThatIsAwayAtFirst(t *testing.T) {
	t.Parallel()
	l, form := newLiar(t)
	l.lie(func() { l.says = map[string]any{} })
	now := time.Now()
	all, _ := openAt(t, func() time.Time { return now }, 10*time.Second, form)
	for range 2 {
		if _, err := all.Named("liar").Begin(t.Context(), flowOf("a")); !errors.Is(err, provider.ErrBroken) {
			t.Error(err)
		}
		l.lie(func() {})
	}
	now = now.Add(6 * time.Second)
	if _, err := all.Named("liar").Begin(t.Context(), flowOf("a")); err != nil {
		t.Error(err)
	}
}
