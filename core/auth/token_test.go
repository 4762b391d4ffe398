package auth

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var (
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hsKey = Key{ID: "k1", Algorithm: HS256, Secret: b64([]byte("0123456789abcdef0123456789abcdef"))}
	edKey = Key{ID: "k2", Algorithm: EdDSA, Secret: b64([]byte("fedcba9876543210fedcba9876543210"))}
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func verifier(t *testing.T, keys ...Key) *Verifier {
	t.Helper()
	set, err := NewKeys(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return NewVerifier(set, VerifierConfig{Issuer: "iss", Audience: "aud", CacheMax: 1000})
}

func claims() Claims {
	return Claims{
		Identity: Identity{Subject: 1001, Role: RoleShopper}, Issuer: "iss", Audience: "aud",
		NotBefore: noon, Expires: noon.Add(time.Hour),
	}
}

func TestIssuedTokensVerify(t *testing.T) {
	t.Parallel()
	for _, key := range []Key{hsKey, edKey} {
		keys, err := NewKeys(key)
		if err != nil {
			t.Fatal(err)
		}
		token, err := keys.Issue(claims())
		if err != nil {
			t.Fatal(err)
		}
		v := verifier(t, hsKey, edKey)
		if _, ok := v.Cached([]byte(token), noon); ok {
			t.Errorf("%s: known before it was verified", key.Algorithm)
		}
		got, err := v.Verify([]byte(token), noon)
		if err != nil || got != claims().Identity {
			t.Errorf("%s: Verify = %v, %v", key.Algorithm, got, err)
		}
		if got, ok := v.Cached([]byte(token), noon); !ok || got != claims().Identity {
			t.Errorf("%s: Cached = %v, %v", key.Algorithm, got, ok)
		}
	}
}

// Who has no key can still see when a token ends.
func TestTokensSayWhenTheyEnd(t *testing.T) {
	t.Parallel()
	keys, err := NewKeys(edKey)
	if err != nil {
		t.Fatal(err)
	}
	token, err := keys.Issue(claims())
	if err != nil {
		t.Fatal(err)
	}
	if ends, says := Ends(token); !says || !ends.Equal(noon.Add(time.Hour)) {
		t.Errorf("%v, %v: want %v", ends, says, noon.Add(time.Hour))
	}
	for _, text := range []string{"", "a.b.c", token + ".x", "x." + b64([]byte(`{"sub":"1"}`)) + ".x", "x." + b64([]byte(`{"exp":1e9}`)) + ".x", "x." + b64([]byte(`null`)) + ".x"} {
		if ends, says := Ends(text); says {
			t.Errorf("%q ends at %v", text, ends)
		}
	}
}

func TestTokenEndsToTheSecond(t *testing.T) {
	t.Parallel()
	v := verifier(t, hsKey)
	token, err := v.keys.Issue(claims())
	if err != nil {
		t.Fatal(err)
	}
	end := noon.Add(time.Hour)
	if _, err := v.Verify([]byte(token), noon); err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Cached([]byte(token), end.Add(-time.Nanosecond)); !ok {
		t.Error("refused before its end")
	}
	if _, ok := v.Cached([]byte(token), end); ok {
		t.Error("the cache accepts it at its end")
	}
	if _, err := v.Verify([]byte(token), end); !errors.Is(err, ErrToken) {
		t.Errorf("Verify at its end: %v", err)
	}
	if _, err := v.Verify([]byte(token), noon.Add(-time.Second)); !errors.Is(err, ErrToken) {
		t.Errorf("Verify before nbf: %v", err)
	}
}

// forge signs header and claims as they are, with any algorithm's bytes.
func forge(header, claims map[string]any, sign func([]byte) []byte) []byte {
	h, err1 := json.Marshal(header)
	c, err2 := json.Marshal(claims)
	if err := errors.Join(err1, err2); err != nil {
		panic(err)
	}
	text := b64(h) + "." + b64(c)
	return []byte(text + "." + b64(sign([]byte(text))))
}

func hs256(secret string) func([]byte) []byte {
	return func(text []byte) []byte {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(text)
		return mac.Sum(nil)
	}
}

// respelled is a token whose signature is written with another last character, which a lenient decoder reads as the
// same bytes: its last two bits are none of theirs.
func respelled(token []byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return string(token[:last]) + string(alphabet[strings.IndexByte(alphabet, token[last])^1])
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	const secret = "0123456789abcdef0123456789abcdef"
	public := ed25519.NewKeyFromSeed([]byte("fedcba9876543210fedcba9876543210")).Public().(ed25519.PublicKey)
	type edit func(header, claims map[string]any)
	cases := []struct {
		name string
		edit edit
		sign func([]byte) []byte
	}{
		{"another secret", func(_, _ map[string]any) {}, hs256(strings.Repeat("x", 32))},
		{"no signature", func(_, _ map[string]any) {}, func([]byte) []byte { return nil }},
		{"alg none", func(h, _ map[string]any) { h["alg"] = "none" }, func([]byte) []byte { return nil }},
		{"alg of another key", func(h, _ map[string]any) { h["kid"] = "k2" }, hs256(string(public))},
		{"a longer hash", func(h, _ map[string]any) { h["alg"] = "HS512" }, hs256(secret)},
		{"no alg", func(h, _ map[string]any) { delete(h, "alg") }, hs256(secret)},
		{"unknown kid", func(h, _ map[string]any) { h["kid"] = "k9" }, hs256(secret)},
		{"no kid", func(h, _ map[string]any) { delete(h, "kid") }, hs256(secret)},
		{"kid of another type", func(h, _ map[string]any) { h["kid"] = 1 }, hs256(secret)},
		{"no typ", func(h, _ map[string]any) { delete(h, "typ") }, hs256(secret)},
		{"an ID token", func(h, _ map[string]any) { h["typ"] = "JWT" }, hs256(secret)},
		{"crit", func(h, _ map[string]any) { h["crit"] = []string{"x"}; h["x"] = 1 }, hs256(secret)},
		{"empty crit", func(h, _ map[string]any) { h["crit"] = []string{} }, hs256(secret)},
		{"another issuer", func(_, c map[string]any) { c["iss"] = "other" }, hs256(secret)},
		{"another audience", func(_, c map[string]any) { c["aud"] = []string{"other"} }, hs256(secret)},
		{"no audience", func(_, c map[string]any) { delete(c, "aud") }, hs256(secret)},
		{"no issuer", func(_, c map[string]any) { delete(c, "iss") }, hs256(secret)},
		{"no exp", func(_, c map[string]any) { delete(c, "exp") }, hs256(secret)},
		{"no nbf", func(_, c map[string]any) { delete(c, "nbf") }, hs256(secret)},
		{"exp as a string", func(_, c map[string]any) { c["exp"] = "9999999999" }, hs256(secret)},
		{"a second too long", func(_, c map[string]any) { c["exp"] = noon.Add(24*time.Hour + time.Second).Unix() }, hs256(secret)},
		{"sub of zero", func(_, c map[string]any) { c["sub"] = "0" }, hs256(secret)},
		{"negative sub", func(_, c map[string]any) { c["sub"] = "-1" }, hs256(secret)},
		{"sub with zeros", func(_, c map[string]any) { c["sub"] = "01" }, hs256(secret)},
		{"sub of 2^63", func(_, c map[string]any) { c["sub"] = "9223372036854775808" }, hs256(secret)},
		{"sub as a number", func(_, c map[string]any) { c["sub"] = 1001 }, hs256(secret)},
		{"no sub", func(_, c map[string]any) { delete(c, "sub") }, hs256(secret)},
		{"another role", func(_, c map[string]any) { c["role"] = "root" }, hs256(secret)},
		{"role none", func(_, c map[string]any) { c["role"] = "none" }, hs256(secret)},
		{"no role", func(_, c map[string]any) { delete(c, "role") }, hs256(secret)},
	}
	fresh := func() (h, c map[string]any) {
		return map[string]any{"alg": "HS256", "kid": "k1", "typ": "at+jwt"}, map[string]any{
			"iss": "iss", "aud": "aud", "sub": "1001", "role": "shopper",
			"nbf": noon.Unix(), "exp": noon.Add(time.Hour).Unix(),
		}
	}
	v := verifier(t, hsKey, edKey)
	h, c := fresh()
	c["exp"] = noon.Add(24 * time.Hour).Unix() // the most there may be
	good := forge(h, c, hs256(secret))
	if _, err := v.Verify(good, noon); err != nil {
		t.Fatalf("the token that the cases are made from: %v", err)
	}
	for _, tc := range cases {
		h, c := fresh()
		tc.edit(h, c)
		token := forge(h, c, tc.sign)
		if got, err := v.Verify(token, noon); !errors.Is(err, ErrToken) {
			t.Errorf("%s: Verify = %v, %v", tc.name, got, err)
		}
		if _, ok := v.Cached(token, noon); ok {
			t.Errorf("%s: remembered", tc.name)
		}
	}
	for _, text := range []string{
		"", ".", "..", "a.b.c", string(good) + ".", string(good) + "=", " " + string(good),
		strings.Replace(string(good), ".", "..", 1), respelled(good),
	} {
		if _, err := v.Verify([]byte(text), noon); !errors.Is(err, ErrToken) {
			t.Errorf("Verify(%q): %v", text, err)
		}
	}
}

func TestCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	t.Parallel()
	v := verifier(t, hsKey)
	token := func(user int64) []byte {
		c := claims()
		c.Subject = user
		text, err := v.keys.Issue(c)
		if err != nil {
			t.Fatal(err)
		}
		return []byte(text)
	}
	first := token(1)
	if _, err := v.Verify(first, noon); err != nil {
		t.Fatal(err)
	}
	for user := int64(2); user < 5000; user++ {
		if _, err := v.Verify(token(user), noon); err != nil {
			t.Fatal(err)
		}
		if _, ok := v.Cached(first, noon); !ok {
			t.Fatalf("a token in constant use was forgotten after %d others", user-1)
		}
	}
	held := 0
	for i := range v.sets {
		for j := range v.sets[i] {
			if v.sets[i][j].Load() != nil {
				held++
			}
		}
	}
	if held > 1024 {
		t.Errorf("%d tokens remembered, bound is %d", held, v.cfg.CacheMax)
	}
}

// Another token that has the hash of a remembered one is nobody's.
func TestHashAloneIsNoToken(t *testing.T) {
	t.Parallel()
	v, now := NewVerifier(nil, VerifierConfig{CacheMax: 1}), time.Unix(1_000_000, 0)
	token := []byte("a token that nobody has verified")
	rival := &cached{
		hash: maphash.Bytes(v.seed, token), expires: now.Unix() + 60, token: "a verified one",
		Identity: Identity{Subject: 1, Role: RoleAdmin},
	}
	v.set(rival.hash).put(rival, now)
	if who, ok := v.Cached(token, now); ok {
		t.Errorf("it is taken for %+v", who)
	}
	rival.token = string(token)
	if _, ok := v.Cached(token, now); !ok {
		t.Error("a remembered token is not found")
	}
}

func TestEndedTokensMakeRoom(t *testing.T) {
	t.Parallel()
	v := verifier(t, hsKey)
	v.sets = make([]set, 1)
	at := func(user int64, start time.Time) []byte {
		t.Helper()
		c := claims()
		c.Subject, c.NotBefore, c.Expires = user, start, start.Add(time.Hour)
		text, err := v.keys.Issue(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify([]byte(text), start); err != nil {
			t.Fatal(err)
		}
		return []byte(text)
	}
	for user := range int64(ways - 1) {
		at(user+1, noon)
	}
	late := noon.Add(30 * time.Minute)
	young := at(100, late)
	later := noon.Add(70 * time.Minute) // all but the young one have ended
	for user := range int64(ways - 1) {
		at(200+user, later)
	}
	if _, ok := v.Cached(young, later); !ok {
		t.Error("a token that has not ended made room although others had")
	}
}

func TestKeysThatMustNotLoad(t *testing.T) {
	t.Parallel()
	short := b64([]byte("short"))
	for name, keys := range map[string][]Key{
		"none":                 {},
		"no kid":               {{Algorithm: HS256, Secret: hsKey.Secret}},
		"the same kid":         {hsKey, {ID: "k1", Algorithm: EdDSA, Secret: edKey.Secret}},
		"unknown alg":          {{ID: "a", Algorithm: "RS256", Secret: hsKey.Secret}},
		"no alg":               {{ID: "a", Secret: hsKey.Secret}},
		"short secret":         {{ID: "a", Algorithm: HS256, Secret: short}},
		"HS256 with a public":  {{ID: "a", Algorithm: HS256, Secret: hsKey.Secret, Public: hsKey.Secret}},
		"short seed":           {{ID: "a", Algorithm: EdDSA, Secret: short}},
		"another's public key": {{ID: "a", Algorithm: EdDSA, Secret: edKey.Secret, Public: hsKey.Secret}},
		"neither half":         {{ID: "a", Algorithm: EdDSA}},
		"padding":              {{ID: "a", Algorithm: HS256, Secret: hsKey.Secret + "="}},
	} {
		if _, err := NewKeys(keys...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPublicKeyVerifiesAndDoesNotIssue(t *testing.T) {
	t.Parallel()
	issuer, err := NewKeys(edKey)
	if err != nil {
		t.Fatal(err)
	}
	token, err := issuer.Issue(claims())
	if err != nil {
		t.Fatal(err)
	}
	public := issuer.issuer.verify.(ed25519.PublicKey)
	v := verifier(t, Key{ID: "k2", Algorithm: EdDSA, Public: b64(public)})
	if _, err := v.Verify([]byte(token), noon); err != nil {
		t.Error(err)
	}
	if _, err := v.keys.Issue(claims()); err == nil {
		t.Error("issued without a private key")
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/keys.json"
	for _, algorithm := range []string{HS256, EdDSA} {
		key, err := GenerateKey(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		path := path + algorithm
		if err := WriteKeys(path, key); err != nil {
			t.Fatal(err)
		}
		if err := WriteKeys(path, key); err == nil {
			t.Error("overwrote a key file")
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("others may read a key file: %v, %v", info.Mode(), err)
		}
		keys, err := ReadKeys(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Issue(claims()); err != nil {
			t.Error(err)
		}
	}
	for _, file := range []string{
		`{"keys":[%s],"KEYS":[]}`, `{"keys":[],"keys":[%s]}`, `{"Keys":[%s]}`, `{"keys":[%s]}{}`, `{"keys":[%s],"x":1}`,
	} {
		text := fmt.Sprintf(file, fmt.Sprintf(`{"kid":"k1","alg":"HS256","key":%q}`, hsKey.Secret))
		if _, err := parseKeys([]byte(text)); err == nil {
			t.Errorf("%s: accepted", text)
		}
	}
	for _, members := range []string{`"kid":"a","kid":"b"`, `"kid":"a","Kid":"b"`, `"kid":"a","use":"sig"`, `"kid":null`, `"kid":1`} {
		if _, err := parseKeys(fmt.Appendf(nil, `{"keys":[{%s,"alg":"HS256","key":%q}]}`, members, hsKey.Secret)); err == nil {
			t.Errorf("%s: accepted", members)
		}
	}
	if _, err := GenerateKey("none"); err == nil {
		t.Error("generated a key without an algorithm")
	}
	secret := "do-not-print-me"
	if _, err := parseKeys([]byte(`{"keys":[{"kid":"` + secret + `]}`)); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("error of a broken file: %v", err)
	}
}

func TestIssueRefusesWhatNobodyWouldAccept(t *testing.T) {
	t.Parallel()
	keys, err := NewKeys(hsKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*Claims){
		"no subject": func(c *Claims) { c.Subject = 0 },
		"no role":    func(c *Claims) { c.Role = RoleNone },
		"no issuer":  func(c *Claims) { c.Issuer = "" },
		"ended":      func(c *Claims) { c.Expires = c.NotBefore },
		"too long":   func(c *Claims) { c.Expires = c.NotBefore.Add(LifetimeMax + time.Second) },
	} {
		c := claims()
		edit(&c)
		if _, err := keys.Issue(c); err == nil {
			t.Errorf("%s: issued", name)
		}
	}
}

func TestApprovalsAreOfOnePlanAndHaveAnID(t *testing.T) {
	t.Parallel()
	keys, err := NewKeys(hsKey)
	if err != nil {
		t.Fatal(err)
	}
	now := noon
	issue := func() string {
		text, err := keys.Issue(Claims{
			Identity: Identity{Subject: 7, Role: RoleAdmin}, Issuer: "i", Audience: "a", NotBefore: now, Expires: now.Add(time.Hour), Plan: "abc",
		})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	text := issue()
	first, err := keys.Approval(text, "i", "a", "abc", now)
	if err != nil || first.By != 7 || first.ID == "" {
		t.Fatalf("%+v, %v", first, err)
	}
	if second, err := keys.Approval(issue(), "i", "a", "abc", now); err != nil || second.ID == first.ID {
		t.Errorf("two approvals have the id %s: %v", first.ID, err)
	}
	for plan, why := range map[string]string{"abd": "another plan", "": "another plan"} {
		if _, err := keys.Approval(text, "i", "a", plan, now); !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), why) {
			t.Errorf("plan %q: %v", plan, err)
		}
	}
	for _, id := range []string{"", "with space", "ü", strings.Repeat("x", 101)} {
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, payload{
			RegisteredClaims: jwt.RegisteredClaims{
				Issuer: "i", Audience: jwt.ClaimStrings{"a/repairs"}, Subject: "7", ID: id,
				NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour)),
			},
			Role: "admin", Plan: "abc",
		})
		token.Header["typ"], token.Header["kid"] = tokenType, hsKey.ID
		text, err := token.SignedString(keys.issuer.sign)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Approval(text, "i", "a", "abc", now); !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), "jti") {
			t.Errorf("id %q: %v", id, err)
		}
	}
}
