package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/core/ids"
)

// Why a token is refused, in the words of the API. None of them quotes the token.
var (
	errForm      = errors.New("it is no signed token of a known form")
	errCritical  = errors.New("it has critical headers that are not known here")
	errKeyID     = errors.New("its kid is not known here")
	errAlgorithm = errors.New("its alg is not its key's")
	errSignature = errors.New("its signature is wrong")
	errIssuer    = errors.New("it is from another issuer")
	errAudience  = errors.New("it is for another audience")
	errSubject   = errors.New("its sub is no user id, as a string")
	errRole      = errors.New("its role is none of ours")
	errScope     = errors.New("its scope is no text")
	errEarly     = errors.New("it is not valid yet")
	errExpired   = errors.New("it has expired")
	errTooLong   = fmt.Errorf("it expires more than %v ahead", LifetimeMax)
)

// ErrEnded means that the session of a token has ended.
var ErrEnded = fmt.Errorf("%w: its session has ended", ErrToken)

// secondsMax is the last second of the year 9999. No time in a token may be later.
const secondsMax = 253402300799

// verify checks a token without the cache. It returns the second at which the token ends.
func (k *Keys) verify(text, issuer, audience string, now time.Time) (Identity, int64, error) {
	claims, err := k.open(text)
	if err != nil {
		return Identity{}, 0, fmt.Errorf("%w: %w", ErrToken, err)
	}
	identity, expires, err := claims.check(issuer, audience, now)
	if err != nil {
		return Identity{}, 0, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return identity, expires, nil
}

// open returns the claims of a token that one of the keys has signed.
func (k *Keys) open(text string) (object, error) {
	payload, err := k.payload(text, tokenType)
	if err != nil {
		return nil, err
	}
	return decodeObject(payload)
}

// payload returns the encoded payload of what one of the keys has signed as something of a type.
func (k *Keys) payload(text, of string) (string, error) {
	signed, signature, ok1 := cutLast(text)
	header, payload, ok2 := cutLast(signed)
	if !ok1 || !ok2 {
		return "", errForm
	}
	h, err := decodeObject(header)
	if err != nil {
		return "", err
	}
	key, err := k.keyOf(h, of)
	if err != nil {
		return "", err
	}
	sum, err := decodePart(signature)
	if err != nil {
		return "", err
	}
	if key.method.Verify(signed, sum, key.verify) != nil {
		return "", errSignature
	}
	return payload, nil
}

// keyOf returns the key that a header names, if it is one of the known keys.
func (k *Keys) keyOf(header object, of string) (*loadedKey, error) {
	typ, _ := header.text("typ")
	if typ, _ = strings.CutPrefix(strings.ToLower(typ), "application/"); typ != of {
		return nil, fmt.Errorf("its typ is not %s", of)
	}
	if header["crit"] != nil { // this program knows no extension, so it refuses all
		return nil, errCritical
	}
	id, _ := header.text("kid")
	key := k.byID[id]
	if key == nil {
		return nil, errKeyID
	}
	if alg, _ := header.text("alg"); alg != key.method.Alg() {
		return nil, errAlgorithm
	}
	return key, nil
}

// check returns the bearer of a token with these claims, and the second at which the token ends.
func (o object) check(issuer, audience string, now time.Time) (Identity, int64, error) {
	if iss, _ := o.text("iss"); iss != issuer {
		return Identity{}, 0, errIssuer
	}
	if !slices.Contains(o.texts("aud"), audience) {
		return Identity{}, 0, errAudience
	}
	sub, _ := o.text("sub")
	subject, ok := ids.Parse(sub)
	if !ok {
		return Identity{}, 0, errSubject
	}
	word, _ := o.text("role")
	role, err := ParseRole(word)
	if err != nil {
		return Identity{}, 0, errRole
	}
	var scopes Scopes
	if role == RoleService && o["scope"] != nil {
		claim, ok := o.text("scope")
		if !ok {
			return Identity{}, 0, errScope
		}
		scopes = scopesOf(claim)
	}
	var times [3]int64
	for i, name := range [...]string{"nbf", "exp", "iat"} {
		if name == "iat" && o[name] == nil {
			continue // it decides nothing
		}
		if times[i], ok = o.seconds(name); !ok {
			return Identity{}, 0, fmt.Errorf("its %s is missing, or not a whole number of seconds from 1 to %d", name, int64(secondsMax))
		}
	}
	begins, expires := times[0], times[1]
	switch {
	case now.Unix() >= expires:
		return Identity{}, 0, errExpired
	case now.Unix() < begins:
		return Identity{}, 0, errEarly
	case time.Unix(expires, 0).Sub(now) > LifetimeMax:
		return Identity{}, 0, errTooLong
	}
	return Identity{Subject: subject, Role: role, Session: o.session(role), Scopes: scopes}, expires, nil
}

// session returns the session of a shopper's token, or 0. Whoever else issues tokens may have a sid of another form.
func (o object) session(role Role) ids.Session {
	text, _ := o.text("sid")
	session, err := ids.Read[ids.Session](text)
	if err != nil || role != RoleShopper {
		return 0
	}
	return session
}

// Ends returns when a token ends by its own word, which nobody has verified. It is false for a text that does not say.
func Ends(token string) (time.Time, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	claims, err := decodeObject(parts[1])
	if err != nil {
		return time.Time{}, false
	}
	at, ok := claims.seconds("exp")
	return time.Unix(at, 0), ok
}

// object has the members of a JSON object. It refuses a name that comes twice. Names are compared exactly. Members
// that nobody asks for do no harm.
type object map[string]jsontext.Value

func decodeObject(part string) (object, error) {
	text, err := decodePart(part)
	if err != nil {
		return nil, err
	}
	var o object
	if err := json.Unmarshal(text, &o); err != nil || o == nil {
		return nil, errForm
	}
	return o, nil
}

// text returns a member that must be a string.
func (o object) text(name string) (string, bool) { return textOf(o[name]) }

func textOf(value jsontext.Value) (text string, ok bool) {
	ok = value.Kind() == jsontext.KindString && json.Unmarshal(value, &text) == nil
	return text, ok
}

// texts returns a member that must be a string or a list of strings.
func (o object) texts(name string) (texts []string) {
	if text, ok := o.text(name); ok {
		return []string{text}
	}
	var list []jsontext.Value
	if o[name].Kind() != jsontext.KindBeginArray || json.Unmarshal(o[name], &list) != nil {
		return nil
	}
	for _, value := range list {
		text, ok := textOf(value)
		if !ok {
			return nil
		}
		texts = append(texts, text)
	}
	return texts
}

// seconds returns a member that must be a moment in seconds since 1970. It accepts integer literals only, because
// readers differ about fractions and exponents.
func (o object) seconds(name string) (int64, bool) {
	v, ok := ids.Parse(o[name])
	return v, ok && v <= secondsMax
}

// decodePart decodes base64url without padding. It accepts only the one spelling that an encoder writes.
func decodePart(part string) ([]byte, error) {
	if strings.ContainsAny(part, "\r\n") { // the decoder would skip them
		return nil, errForm
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errForm
	}
	return text, nil
}

// cutLast cuts a text at its last dot.
func cutLast(text string) (before, after string, ok bool) {
	i := strings.LastIndexByte(text, '.')
	if i < 0 {
		return "", "", false
	}
	return text[:i], text[i+1:], true
}
