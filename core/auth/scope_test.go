package auth

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestScopesInTokens(t *testing.T) {
	t.Parallel()
	v := verifier(t, hsKey)
	for _, words := range [][]string{nil, {"users:read"}, {"stock:write", "users:write"}, ScopeWords()} {
		c := claims()
		c.Role = RoleService
		var err error
		if c.Scopes, err = ParseScopes(words...); err != nil {
			t.Fatal(err)
		}
		token, err := v.keys.Issue(c)
		if err != nil {
			t.Fatal(err)
		}
		who, err := v.Verify([]byte(token), noon)
		if err != nil || who != c.Identity {
			t.Errorf("%q: %+v, %v, want %+v", words, who, err, c.Identity)
		}
		cached, ok := v.Cached([]byte(token), noon)
		if !ok || cached != who {
			t.Errorf("%q: remembered as %+v", words, cached)
		}
		for _, word := range ScopeWords() {
			if allowed := who.Scopes.Allow(scopeOf(word)); allowed != (words == nil || slices.Contains(words, word)) {
				t.Errorf("%q allows %s: %v", words, word, allowed)
			}
		}
	}
}

// A claim that this program does not understand allows less, never more.
func TestScopesAsOthersWriteThem(t *testing.T) {
	t.Parallel()
	v := verifier(t, hsKey)
	service := func(more string) []byte {
		return written(header, strings.Replace(asShopper(more), `"shopper"`, `"service"`, 1))
	}
	for claim, allowed := range map[string]string{
		`"users:read"`:                        "users:read",
		`"users:read users:read openid"`:      "users:read",
		`"stock:write  users:read"`:           "stock:write users:read",
		`"orders:write"`:                      "",
		`""`:                                  "",
		`"USERS:READ"`:                        "",
		`"users:read,users:write"`:            "",
		`"users:read\tusers:write"`:           "",
		`"\u0075sers:read"`:                   "users:read",
		`"` + strings.Repeat("x ", 300) + `"`: "",
	} {
		who, err := v.Verify(service(`,"scope":`+claim), noon)
		if err != nil || who.Scopes.String() != allowed || who.Scopes.Allow(ScopeUsersWrite) {
			t.Errorf("%s: %q, %v, want %q", claim, who.Scopes, err, allowed)
		}
	}
	for _, claim := range []string{`["users:read"]`, `null`, `7`, `{}`, `true`} {
		if who, err := v.Verify(service(`,"scope":`+claim), noon); !errors.Is(err, ErrToken) {
			t.Errorf("%s: %+v, %v", claim, who, err)
		}
	}
	who, err := v.Verify(written(header, asShopper(`,"scope":["openid"]`)), noon)
	if err != nil || who.Scopes != 0 {
		t.Errorf("a shopper's: %+v, %v", who, err)
	}
}

func TestOnlyServicesHaveScopes(t *testing.T) {
	t.Parallel()
	v := verifier(t, hsKey)
	for _, role := range []Role{RoleShopper, RoleAdmin} {
		c := claims()
		c.Role, c.Scopes = role, ScopeUsersRead|narrowed
		if _, err := v.keys.Issue(c); err == nil {
			t.Errorf("a token of %v has scopes", role)
		}
	}
	c := claims()
	c.Role, c.Scopes = RoleService, narrowed
	if _, err := v.keys.Issue(c); err == nil {
		t.Error("a token without any scope was made narrowed")
	}
	if set, err := ParseScopes("users:read", "orders:write"); err == nil || set != 0 {
		t.Errorf("an unknown scope: %v, %v", set, err)
	}
}
