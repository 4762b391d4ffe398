package auth

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/ids"
)

func newRing(t *testing.T) Ring {
	t.Helper()
	ring, err := NewRing(noon)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func published(t *testing.T, r Ring) []byte {
	t.Helper()
	document, err := json.Marshal(publishedSet{r.Published()})
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// A key is published before it signs, and as long as a token of it lives.
func TestKeysRotate(t *testing.T) {
	t.Parallel()
	first := newRing(t)
	if _, err := first.Rotate(noon.Add(RotatePause - time.Second)); !errors.Is(err, ErrRotated) {
		t.Errorf("too early: %v", err)
	}
	second, err := first.Rotate(noon.Add(RotatePause))
	if err != nil {
		t.Fatal(err)
	}
	third, err := second.Rotate(noon.Add(2 * RotatePause))
	if err != nil {
		t.Fatal(err)
	}
	for i, ring := range []Ring{first, second, third} {
		if ids := len(ring.Published()); ids != min(2+i, 3) {
			t.Errorf("ring %d publishes %d keys", i+1, ids)
		}
	}
	if second.Current != first.Next || second.Previous != first.Current || third.Current != second.Next || third.Previous != first.Next || third.Next == second.Next {
		t.Error("the keys do not go from next to current to previous")
	}
	before, err := ParsePublished(published(t, first))
	if err != nil {
		t.Fatal(err)
	}
	shoppers := NewShoppers()
	shoppers.Set(before)
	token := issue(t, second, shopperClaims())
	if _, err := shopVerifier(t, shoppers).Verify([]byte(token), noon); err != nil {
		t.Errorf("an edge that saw the ring before does not know the key that signs: %v", err)
	}
}

func issue(t *testing.T, r Ring, c Claims) string {
	t.Helper()
	keys, err := r.Keys()
	if err != nil {
		t.Fatal(err)
	}
	token, err := keys.Issue(c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func shopperClaims() Claims {
	c := claims()
	c.Session, c.Expires = 7, noon.Add(ShopperLifetime)
	return c
}

func shopVerifier(t *testing.T, shoppers *Shoppers) *Verifier {
	t.Helper()
	keys, err := NewKeys(hsKey)
	if err != nil {
		t.Fatal(err)
	}
	return NewVerifier(keys, VerifierConfig{Issuer: "iss", Audience: "aud", CacheMax: 100, Shoppers: shoppers, Ended: NewEnded()})
}

// What is published verifies and cannot sign, whatever else a set has.
func TestPublishedKeysHaveNoSecrets(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	document := published(t, ring)
	for _, key := range []Key{ring.Current, ring.Next} {
		if bytes.Contains(document, []byte(key.Secret)) {
			t.Fatalf("%s has a secret", document)
		}
	}
	keys, err := ParsePublished(document)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Issue(claims()); err == nil {
		t.Error("published keys sign")
	}
	x := ring.Published()[0].X
	for _, more := range []string{
		`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"` + x + `","key_ops":["verify"],"more":{}}],"more":1}`,
		`{"keys":[{"kty":"RSA","kid":"r","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"Ed25519","kid":"a","use":"sig","x":"` + x + `"}]}`,
	} {
		if keys, err := ParsePublished([]byte(more)); err != nil || keys.byID["a"] == nil || len(keys.byID) != 1 {
			t.Errorf("%s: %v, %v", more, keys, err)
		}
	}
	for _, bad := range []string{
		"", "x", "null", "[]", "{}", `{"keys":[]}`, `{"keys":[{"kty":"oct","kid":"a","k":"` + x + `"}]}`, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"","x":"` + x + `"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AAAA"}]}`, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","use":"enc","x":"` + x + `"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"` + x + `"},{"kty":"OKP","crv":"Ed25519","kid":"a","x":"` + x + `"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","kid":"b","x":"` + x + `"}]}`, `{"keys":[` + strings.Repeat(" ", 70_000) + `]}`,
	} {
		if _, err := ParsePublished([]byte(bad)); err == nil {
			t.Errorf("%.80s is taken", bad)
		}
	}
}

// Published keys sign for shoppers, and not for long.
func TestPublishedKeysSignForShoppersOnly(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	keys, err := ParsePublished(published(t, ring))
	if err != nil {
		t.Fatal(err)
	}
	shoppers := NewShoppers()
	v := shopVerifier(t, shoppers)
	good := issue(t, ring, shopperClaims())
	if _, err := v.Verify([]byte(good), noon); !errors.Is(err, errKeyID) {
		t.Errorf("before any key is known: %v", err)
	}
	select {
	case <-shoppers.unknown:
	default:
		t.Error("nobody is told of an unknown key")
	}
	shoppers.Set(keys)
	if who, err := v.Verify([]byte(good), noon); err != nil || who != (Identity{Subject: 1001, Role: RoleShopper, Session: 7}) {
		t.Errorf("%+v, %v", who, err)
	}
	for want, edit := range map[error]func(*Claims){
		errShopper:  func(c *Claims) { c.Role, c.Session = RoleService, 0 },
		errLifetime: func(c *Claims) { c.Expires = noon.Add(ShopperLifetime + 2*Skew) },
		errSession:  func(c *Claims) { c.Session = 0 },
		errIssuer:   func(c *Claims) { c.Issuer = "other" },
		errAudience: func(c *Claims) { c.Audience = "other" },
		errExpired:  func(c *Claims) { c.NotBefore, c.Expires = noon.Add(-time.Hour), noon },
	} {
		c := shopperClaims()
		edit(&c)
		if _, err := v.Verify([]byte(issue(t, ring, c)), noon); !errors.Is(err, want) || !errors.Is(err, ErrToken) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	admin := shopperClaims()
	admin.Role, admin.Session = RoleAdmin, 0
	if _, err := v.Verify([]byte(issue(t, ring, admin)), noon); !errors.Is(err, errShopper) {
		t.Errorf("an admin: %v", err)
	}
	// A shop that publishes the id of a key of the file gains nothing.
	evil := ring
	evil.Current.ID = hsKey.ID
	document := published(t, evil)
	if keys, err = ParsePublished(document); err != nil {
		t.Fatal(err)
	}
	shoppers.Set(keys)
	if _, err := v.Verify([]byte(issue(t, evil, shopperClaims())), noon); !errors.Is(err, errAlgorithm) {
		t.Errorf("a key with the id of another: %v", err)
	}
}

func TestSessionsInTokens(t *testing.T) {
	t.Parallel()
	v := verifier(t, hsKey)
	sign := hs256("0123456789abcdef0123456789abcdef")
	header := map[string]any{"alg": "HS256", "typ": "at+jwt", "kid": "k1"}
	f := func(role string, sid any, want ids.Session, ok bool) {
		t.Helper()
		c := map[string]any{"iss": "iss", "aud": "aud", "sub": "5", "role": role, "nbf": noon.Unix(), "exp": noon.Unix() + 60}
		if sid != nil {
			c["sid"] = sid
		}
		if who, err := v.Verify(forge(header, c, sign), noon); (err == nil) != ok || who.Session != want {
			t.Errorf("%s %v: %+v, %v", role, sid, who, err)
		}
	}
	f("shopper", nil, 0, true)
	f("shopper", "ses_0000000000007", 7, true)
	f("service", nil, 0, true)
	f("service", "ses_0000000000007", 0, true)
	for _, sid := range []any{"", "7", 7, "ord_0000000000007", "ses_0000000000000", "SES_0000000000007", []string{"ses_0000000000007"}, true} {
		f("shopper", sid, 0, true) // others may issue tokens with a sid of their own
	}
	c := claims()
	c.Role, c.Session = RoleAdmin, 7
	if _, err := v.keys.Issue(c); err == nil {
		t.Error("an admin gets a session")
	}
}

func TestRingsInFiles(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "signing.json")
	ring := newRing(t)
	if err := ring.Create(file); err != nil {
		t.Fatal(err)
	}
	if err := ring.Create(file); !errors.Is(err, os.ErrExist) {
		t.Errorf("again: %v", err)
	}
	next, err := ring.Rotate(noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Replace(file); err != nil {
		t.Fatal(err)
	}
	if read, err := ReadRing(file); err != nil || read != next {
		t.Errorf("%+v, %v", read, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
	for _, bad := range []string{
		"", "{}", `{"keys":[]}`, strings.Repeat(" ", 70_000),
		`{"current":{"kid":"a","alg":"EdDSA","public_key":"` + next.Published()[0].X + `"},"next":{"kid":"b","alg":"EdDSA","key":"` + next.Next.Secret + `"},"rotated_at":"2026-03-01T12:00:00Z"}`,
		`{"current":{"kid":"a","alg":"HS256","key":"` + hsKey.Secret + `"},"next":{"kid":"b","alg":"EdDSA","key":"` + next.Next.Secret + `"},"rotated_at":"2026-03-01T12:00:00Z"}`,
		`{"current":{"kid":"a","alg":"EdDSA","key":"` + next.Next.Secret + `"},"next":{"kid":"a","alg":"EdDSA","key":"` + next.Next.Secret + `"},"rotated_at":"2026-03-01T12:00:00Z"}`,
	} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadRing(file); err == nil || strings.Contains(err.Error(), next.Next.Secret) {
			t.Errorf("%.60s: %v", bad, err)
		}
	}
}
