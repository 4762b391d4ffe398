package provider

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sluice/catalog/internal/reach"
	"sluice/core/config"
)

const (
	openIDForm = `{"name": "a", "title": "A", "kind": "oidc", "issuer": "https://a.example", "client_id": "shop", "client_secret_file": "s",
	"redirect_url": "https://shop.example/a"}`
	plainForm = `{"name": "b", "title": "B", "kind": "oauth2", "issuer": "b", "client_id": "shop", "client_secret_file": "s",
	"redirect_url": "https://shop.example/b", "oauth2": {"authorize_url": "https://b.example/a#x", "token_url": "https://b.example/t", "subject": "id"}}`
)

func clientFor(tb testing.TB, networks ...netip.Prefix) *reach.Client {
	tb.Helper()
	c := reach.New(reach.Config{Networks: networks, Timeout: time.Second})
	tb.Cleanup(c.Close)
	return c
}

func aSecret(string) (config.Secret, error) { return "secret", nil }

// A file is taken, or each of its faults is named with its line and with what to do.
func TestFiles(t *testing.T) {
	t.Parallel()
	client := clientFor(t)
	f := func(text, want string) {
		t.Helper()
		_, err := parse([]byte(text), client, aSecret)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	both := `{"providers": [` + openIDForm + ",\n" + plainForm + "]}"
	f(both, "")
	changed := func(old, next, want string) {
		t.Helper()
		text := strings.Replace(both, old, next, 1)
		if text == both {
			t.Fatalf("%q is not there", old)
		}
		f(text, want)
	}
	f(`{`, "line 1: unexpected EOF")
	f(`{"providers": []}`, "providers: 0 of them, want 1 to 20")
	f(`{"providers": [{"secret": "x"}]}`, `"/providers/0/secret": there is no such member`)
	changed(`"name": "b"`, `"name": "a"`, `line 3: provider "a": there is another one with this name`)
	changed(`"name": "b"`, `"name": "B"`, "want a name of 1 to 32 small letters")
	changed(`"title": "A"`, `"title": ""`, "title: want the name that people know it by")
	changed(`"kind": "oidc"`, `"kind": "saml"`, "want oidc or oauth2")
	changed(`"client_id": "shop"`, `"client_id": ""`, "client_id: want the id that the provider gave this shop")
	changed(`"client_secret_file": "s"`, `"client_secret_file": ""`, "client_secret_file: want the file")
	changed("https://shop.example/b", "https://shop.example/a", `redirect_url: provider "a" has it too`)
	for _, wrong := range []string{"", "shop.example/a", "http://shop.example/a", "https://", "https://shop.example/#a", "javascript:alert(1)", "https://u@shop.example/"} {
		changed("https://shop.example/a", wrong, "redirect_url: want the https address of your page")
	}
	for _, right := range []string{"http://127.0.0.1:3000/a", "http://localhost/a", "com.example.shop:/a", "https://shop.example/a?b=c"} {
		changed("https://shop.example/a", right, "")
	}
	for _, wrong := range []string{"", "http://a.example", "https://127.0.0.1", "https://169.254.169.254", "https://a.example?x=y", "a.example"} {
		changed("https://a.example", wrong, "issuer: want the address as the provider writes it")
	}
	changed(`"issuer": "b"`, `"issuer": ""`, "issuer: want a name of the provider that never changes")
	for _, wrong := range []string{"http://b.example/t", "https://10.0.0.1/t", "https://[::1]/t", "x"} {
		changed("https://b.example/t", wrong, "oauth2: token_url: the address may not be reached")
	}
	changed("https://b.example/a#x", "ftp://b.example/a", "oauth2: authorize_url: the address may not be reached")
	changed(`"subject": "id"`, `"label": "id"`, "oauth2: subject: want a name as the provider has it")
	changed(`"subject": "id"`, `"subject": "id", "token_method": "PUT"`, `token_method "PUT": want POST or GET`)
	changed(`"subject": "id"`, `"subject": "id", "user_parameters": ["openid"]`, "there is no user_url that gets them")
	changed(`"subject": "id"`, `"subject": "id", "sends_issuer": "a b"`, "oauth2: sends_issuer: want what the provider sends as iss")
	changed(`"kind": "oidc"`, `"kind": "oauth2"`, "oauth2: want authorize_url, token_url and subject")
	changed(`"kind": "oauth2"`, `"kind": "oidc"`, "oauth2: an OpenID provider says all that itself")
	changed(`"title": "A"`, `"title": "A", "at_once": -1`, "at_once: -1, want 1 to 1000")
	changed(`"title": "A"`, `"title": "A", "scopes": ["a b"]`, `scopes: "a b" is none`)
}

// A secret is read from its own file, and no error shows it.
func TestSecretsOfProviders(t *testing.T) {
	t.Parallel()
	client := clientFor(t)
	text := []byte(`{"providers": [` + openIDForm + "]}")
	_, err := parse(text, client, func(string) (config.Secret, error) { return "", errors.New("s: no such file") })
	if err == nil || !strings.Contains(err.Error(), "s: no such file") {
		t.Error(err)
	}
	_, err = parse(text, client, func(string) (config.Secret, error) { return "two\nlines", nil })
	if err == nil || strings.Contains(err.Error(), "two") {
		t.Error(err)
	}
	for length, want := range map[int]string{4096: "", 4097: "client_secret_file: s has no line of 1 to 4096 visible characters"} {
		_, err = parse(text, client, func(string) (config.Secret, error) { return config.Secret(strings.Repeat("x", length)), nil })
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d characters: %v, want %q", length, err, want)
		}
	}
	forms, err := parse(text, client, aSecret)
	if err != nil || forms[0].secret.Reveal() != "secret" || forms[0].AtOnce != atOnceDefault {
		t.Errorf("%+v, %v", forms, err)
	}
}

// Networks of the shop are reached, and others that are not public are not.
func TestProvidersInNetworksOfTheShop(t *testing.T) {
	t.Parallel()
	text := []byte(`{"providers": [` + strings.Replace(openIDForm, "https://a.example", "http://10.1.2.3", 1) + "]}")
	if _, err := parse(text, clientFor(t, netip.MustParsePrefix("10.0.0.0/8")), aSecret); err != nil {
		t.Error(err)
	}
	if _, err := parse(text, clientFor(t, netip.MustParsePrefix("10.2.0.0/16")), aSecret); err == nil {
		t.Error("an address in another network is taken")
	}
}

// FuzzFile reads files. What is taken can be used.
func FuzzFile(f *testing.F) {
	f.Add([]byte(`{"providers": [` + openIDForm + "," + plainForm + "]}"))
	client := clientFor(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		forms, err := parse(text, client, aSecret)
		if err != nil {
			return
		}
		for _, of := range forms {
			if of.Kind != kindOAuth2 {
				continue
			}
			if _, err := newPlain(of, client).begin(t.Context(), Flow{}); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
	})
}
