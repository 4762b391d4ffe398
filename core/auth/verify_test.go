package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

const hsSecret = "0123456789abcdef0123456789abcdef"

const header = `{"alg":"HS256","kid":"k1","typ":"at+jwt"}`

// written is a token of a header and claims as they are written, signed by hsKey.
func written(header, claims string) []byte {
	text := b64([]byte(header)) + "." + b64([]byte(claims))
	return []byte(text + "." + b64(hs256(hsSecret)([]byte(text))))
}

// asShopper are the claims of a good token, with more before the closing brace.
func asShopper(more string) string {
	return fmt.Sprintf(`{"iss":"iss","aud":"aud","sub":"1001","role":"shopper","nbf":%d,"exp":%d%s}`,
		noon.Unix(), noon.Add(time.Hour).Unix(), more)
}

func TestClaimsCountOnceAndAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	v := verifier(t, hsKey)
	for _, claims := range []string{
		asShopper(""), asShopper(`,"sid":"s","SID":{"a":[1]}`), asShopper(`,"ROLE":"service","Sub":"1","EXP":1,"Iss":"x"`),
		asShopper(`,"iat":1`), strings.Replace(asShopper(""), `"aud"`, `"\u0061ud"`, 1),
		strings.Replace(asShopper(""), `"aud":"aud"`, `"aud":["other","aud"]`, 1),
	} {
		got, err := v.Verify(written(header, claims), noon)
		if err != nil || got != (Identity{Subject: 1001, Role: RoleShopper}) {
			t.Errorf("%s: %v, %v", claims, got, err)
		}
	}
	if _, err := v.Verify(written(strings.Replace(header, "}", `,"x5t":"x","KID":"k9","Crit":["x"]}`, 1), asShopper("")), noon); err != nil {
		t.Errorf("a header with members of others: %v", err)
	}
}

func TestClaimsOfAnotherFormAreRefused(t *testing.T) {
	t.Parallel()
	v := verifier(t, hsKey)
	good := asShopper("")
	refuse := func(header, claims string) {
		t.Helper()
		if got, err := v.Verify(written(header, claims), noon); !errors.Is(err, ErrToken) {
			t.Errorf("%s.%s: %v, %v", header, claims, got, err)
		}
	}
	for _, more := range []string{
		`,"role":"service"`, `,"role":"shopper"`, `,"r\u006fle":"service"`, `,"exp":9999999999`, `,"sid":1,"sid":1`,
		`,"iat":"1"`, `,"iat":null`, `,"iat":-1`, `,"iat":1.5`, `,"iat":253402300800`, `,"x":"\ud800"`, ",\"x\":\"\xff\"",
	} {
		refuse(header, asShopper(more))
	}
	for _, edit := range [][2]string{
		{`"role":`, `"ROLE":`},
		{`"role":"shopper"`, `"role":["shopper"]`},
		{`"role":"shopper"`, `"role":null`},
		{`"sub":"1001"`, `"sub":1001`},
		{`"iss":"iss"`, `"iss":["iss"]`},
		{`"aud":"aud"`, `"aud":["aud",null]`},
		{`"aud":"aud"`, `"aud":{"aud":"aud"}`},
		{`"exp":`, `"EXP":`},
		{`"exp":`, `"exp":-`},
		{`"exp":`, `"exp":0`},
		{`"nbf":`, `"exp":`},
	} {
		refuse(header, strings.Replace(good, edit[0], edit[1], 1))
	}
	for _, number := range []string{
		`"%d"`, "%d.0", "%d.5", "%de0", "%dE0", "[%d]", "+%d", "253402300799", "99999999999999999999", "null", "true", "1e400",
	} {
		if strings.Contains(number, "%d") {
			number = fmt.Sprintf(number, noon.Add(time.Hour).Unix())
		}
		refuse(header, strings.Replace(good, fmt.Sprint(noon.Add(time.Hour).Unix()), number, 1))
	}
	for _, claims := range []string{"", "null", "[]", "{}", `"x"`, good + good, good + "x", "\ufeff" + good} {
		refuse(header, claims)
	}
	for _, header := range []string{
		`{"alg":"HS256","kid":"k1","typ":"at+jwt","kid":"k1"}`,
		`{"alg":"none","alg":"HS256","kid":"k1","typ":"at+jwt"}`,
		`{"ALG":"HS256","kid":"k1","typ":"at+jwt"}`,
		`{"alg":"hs256","kid":"k1","typ":"at+jwt"}`,
		`{"alg":"HS256","KID":"k1","typ":"at+jwt"}`,
		`{"alg":"HS256","kid":["k1"],"typ":"at+jwt"}`,
		`{"alg":"HS256","kid":"k1","Typ":"at+jwt"}`,
		`{"alg":"HS256","kid":"k1","typ":"at+jwt","crit":null}`,
		`{"alg":"HS256","kid":"k1","typ":"at+jwt"}{}`,
		"null", "",
	} {
		refuse(header, good)
	}
}

// FuzzVerify holds every token that is accepted to a reading of its claims by another decoder, name by
// name.
func FuzzVerify(f *testing.F) {
	f.Add([]byte(header), []byte(asShopper("")))
	f.Add([]byte(header), []byte(asShopper(`,"ROLE":"service","role":"service"`)))
	f.Add([]byte(`{"alg":"HS256","alg":"none","kid":"k1","typ":"at+jwt"}`), []byte(asShopper(`,"iat":1.0,"sid":{"a":[]}`)))
	f.Fuzz(func(t *testing.T, header, claims []byte) {
		keys, err := NewKeys(hsKey)
		if err != nil {
			t.Fatal(err)
		}
		got, err := NewVerifier(keys, VerifierConfig{Issuer: "iss", Audience: "aud"}).Verify(written(string(header), string(claims)), noon)
		if err != nil {
			if !errors.Is(err, ErrToken) {
				t.Fatal(err)
			}
			return
		}
		h, c := readMembers(t, header), readMembers(t, claims)
		exp, ok := c["exp"].(json.Number)
		if at, err := exp.Int64(); !ok || err != nil || at <= noon.Unix() || at > noon.Add(LifetimeMax).Unix() {
			t.Fatalf("exp %v of %s", c["exp"], claims)
		}
		if h["alg"] != "HS256" || h["kid"] != "k1" || c["role"] != got.Role.String() || c["sub"] != fmt.Sprint(got.Subject) {
			t.Fatalf("%s.%s: %v", header, claims, got)
		}
	})
}

// readMembers reads an object whose names may each be there once.
func readMembers(t *testing.T, text []byte) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		t.Fatalf("%s: %v, %v", text, open, err)
	}
	members := map[string]any{}
	for decoder.More() {
		name, err1 := decoder.Token()
		var value any
		err2 := decoder.Decode(&value)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if _, twice := members[name.(string)]; twice {
			t.Fatalf("%s: %v is there twice", text, name)
		}
		members[name.(string)] = value
	}
	if _, err := decoder.Token(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		t.Fatalf("%s: %v", text, err)
	}
	return members
}
