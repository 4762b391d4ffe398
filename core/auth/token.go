package auth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/core/ids"
)

// LifetimeMax is the longest time from now until a token expires.
const LifetimeMax = 24 * time.Hour

// tokenType is the media type of access tokens, in the header "typ".
const tokenType = "at+jwt"

// ErrToken means that a text is not a token that is valid here and now. The error that wraps it says why, and quotes
// no part of the token.
var ErrToken = errors.New("token refused")

// Claims is the content of a token.
type Claims struct {
	Identity
	Issuer    string
	Audience  string
	NotBefore time.Time
	Expires   time.Time // at most LifetimeMax ahead of NotBefore
	Plan      string    // the plan of repairs that an admin approves, once; empty: none
}

// payload has the claims in the form of a token.
type payload struct {
	jwt.RegisteredClaims
	Role    string      `json:"role"`
	Session ids.Session `json:"sid,omitempty"`
	Scope   string      `json:"scope,omitempty"`
	Plan    string      `json:"plan,omitempty"`
}

// approvalSuffix, behind an audience, makes the audience of approvals. Edges refuse tokens with it, so an approval
// gives nobody access.
const approvalSuffix = "/repairs"

// approvalIDMax bounds the id of an approval.
const approvalIDMax = 100

// Approval is a token by which an admin approves a plan of repairs.
type Approval struct {
	ID string // 1 to 100 visible ASCII characters; no other approval of the issuer has it
	By int64  // the admin
}

// Approval verifies a token by which an admin approves a plan. The token is valid for this plan and nothing else. The
// caller sees to it that it is used once.
func (k *Keys) Approval(text, issuer, audience, plan string, now time.Time) (Approval, error) {
	claims, err := k.open(text)
	var who Identity
	if err == nil {
		who, _, err = claims.check(issuer, audience+approvalSuffix, now)
	}
	if err != nil {
		return Approval{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	if of, _ := claims.text("plan"); who.Role != RoleAdmin || of != plan || plan == "" {
		return Approval{}, fmt.Errorf("%w: it approves another plan, or is no admin's", ErrToken)
	}
	id, _ := claims.text("jti")
	if id == "" || len(id) > approvalIDMax || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return Approval{}, fmt.Errorf("%w: an approval has an id (jti) of 1 to %d visible ASCII characters", ErrToken, approvalIDMax)
	}
	return Approval{ID: id, By: who.Subject}, nil
}

// Issue signs a token with the first key.
func (k *Keys) Issue(c Claims) (string, error) {
	if k.issuer.sign == nil {
		return "", fmt.Errorf("issue token: kid %q has no private key", k.issuer.id)
	}
	if c.Subject < 1 || c.Role < RoleShopper || c.Role > RoleAdmin || c.Issuer == "" || c.Audience == "" {
		return "", fmt.Errorf("issue token for user %d as %v: want a positive id, a role, an issuer and an audience", c.Subject, c.Role)
	}
	if c.Session != 0 && c.Role != RoleShopper {
		return "", fmt.Errorf("issue token of a session as %v: only shoppers have sessions", c.Role)
	}
	if c.Scopes != 0 && (c.Role != RoleService || c.Scopes.String() == "") {
		return "", fmt.Errorf("issue token as %v for %q: only services have scopes, one or more", c.Role, c.Scopes)
	}
	if life := c.Expires.Sub(c.NotBefore); life < time.Second || life > LifetimeMax {
		return "", fmt.Errorf("issue token for %v: want 1s to %v", life, LifetimeMax)
	}
	id := ""
	if c.Plan != "" {
		if c.Role != RoleAdmin {
			return "", fmt.Errorf("issue approval as %v: only an admin approves a plan", c.Role)
		}
		c.Audience += approvalSuffix
		id = rand.Text()
	}
	token := jwt.NewWithClaims(k.issuer.method, payload{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    c.Issuer,
			Audience:  jwt.ClaimStrings{c.Audience},
			Subject:   strconv.FormatInt(c.Subject, 10),
			IssuedAt:  jwt.NewNumericDate(c.NotBefore),
			NotBefore: jwt.NewNumericDate(c.NotBefore),
			ExpiresAt: jwt.NewNumericDate(c.Expires),
			ID:        id,
		},
		Role:    c.Role.String(),
		Session: c.Session,
		Scope:   c.Scopes.String(),
		Plan:    c.Plan,
	})
	token.Header["typ"] = tokenType
	token.Header["kid"] = k.issuer.id
	text, err := token.SignedString(k.issuer.sign)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return text, nil
}
