package auth

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// LifetimeMax is how far ahead a token may expire.
const LifetimeMax = 24 * time.Hour

// tokenType is the media type of access tokens, in the header "typ".
const tokenType = "at+jwt"

// ErrToken tells that a text is no token that may be used here and now. The error that wraps it says
// why, without a part of the token.
var ErrToken = errors.New("token refused")

// Claims are what a token says.
type Claims struct {
	Identity
	Issuer    string
	Audience  string
	NotBefore time.Time
	Expires   time.Time // at most LifetimeMax ahead of NotBefore
}

// payload is the claims as a token carries them.
type payload struct {
	jwt.RegisteredClaims
	Role string `json:"role"`
}

// Issue signs a token with the first key.
func (k *Keys) Issue(c Claims) (string, error) {
	if k.issuer.sign == nil {
		return "", fmt.Errorf("issue token: kid %q has no private key", k.issuer.id)
	}
	if c.Subject < 1 || c.Role < RoleShopper || c.Role > RoleAdmin || c.Issuer == "" || c.Audience == "" {
		return "", fmt.Errorf("issue token for user %d as %v: want a positive id, a role, an issuer and an audience", c.Subject, c.Role)
	}
	if life := c.Expires.Sub(c.NotBefore); life < time.Second || life > LifetimeMax {
		return "", fmt.Errorf("issue token for %v: want 1s to %v", life, LifetimeMax)
	}
	token := jwt.NewWithClaims(k.issuer.method, payload{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    c.Issuer,
			Audience:  jwt.ClaimStrings{c.Audience},
			Subject:   strconv.FormatInt(c.Subject, 10),
			IssuedAt:  jwt.NewNumericDate(c.NotBefore),
			NotBefore: jwt.NewNumericDate(c.NotBefore),
			ExpiresAt: jwt.NewNumericDate(c.Expires),
		},
		Role: c.Role.String(),
	})
	token.Header["typ"] = tokenType
	token.Header["kid"] = k.issuer.id
	text, err := token.SignedString(k.issuer.sign)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return text, nil
}

// verify checks everything about a token but the cache, and tells the second at which it ends.
func (k *Keys) verify(text, issuer, audience string, now time.Time) (Identity, int64, error) {
	var p payload
	parser := jwt.NewParser(
		jwt.WithStrictDecoding(),
		jwt.WithValidMethods([]string{HS256, EdDSA}),
		jwt.WithExpirationRequired(),
		jwt.WithNotBeforeRequired(),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithTimeFunc(func() time.Time { return now }),
	)
	if _, err := parser.ParseWithClaims(text, &p, k.keyOf); err != nil {
		return Identity{}, 0, fmt.Errorf("%w: %s", ErrToken, reason(err))
	}
	if p.ExpiresAt.Sub(now) > LifetimeMax {
		return Identity{}, 0, fmt.Errorf("%w: it expires more than %v ahead", ErrToken, LifetimeMax)
	}
	subject, ok := ParseID(p.Subject)
	if !ok {
		return Identity{}, 0, fmt.Errorf("%w: its sub is no user id", ErrToken)
	}
	role, err := ParseRole(p.Role)
	if err != nil {
		return Identity{}, 0, fmt.Errorf("%w: its role is none of ours", ErrToken)
	}
	return Identity{Subject: subject, Role: role}, p.ExpiresAt.Unix(), nil
}

var (
	errType      = errors.New("its typ is not " + tokenType)
	errCritical  = errors.New("it has critical headers that are not known here")
	errKeyID     = errors.New("its kid is not known here")
	errAlgorithm = errors.New("its alg is not its key's")
)

// keyOf is the key that a token's header names, if its header is one of ours.
func (k *Keys) keyOf(token *jwt.Token) (any, error) {
	typ, _ := token.Header["typ"].(string)
	if typ, _ = strings.CutPrefix(strings.ToLower(typ), "application/"); typ != tokenType {
		return nil, errType
	}
	if _, ok := token.Header["crit"]; ok { // no extension is known, so any is an unknown one
		return nil, errCritical
	}
	id, _ := token.Header["kid"].(string)
	key := k.byID[id]
	if key == nil {
		return nil, errKeyID
	}
	if token.Method.Alg() != key.method.Alg() {
		return nil, errAlgorithm
	}
	return key.verify, nil
}

// reason says in the words of the API why the parser refused. The parser's own words may quote the
// token.
func reason(err error) string {
	for _, known := range []error{errType, errCritical, errKeyID, errAlgorithm} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return "it has expired"
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return "it is not valid yet"
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return "it is for another audience"
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return "it is from another issuer"
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return "it lacks a required claim"
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return "its signature is wrong"
	}
	return "it is no signed token of a known form"
}
