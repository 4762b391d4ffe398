package web_test

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/catalog/internal/web"
	"sluice/core/auth"
	"sluice/core/problem"
)

// An act that wants a proved session wants it of everybody who has sessions, by whichever role they are let pass. An admin has none.
func TestProvedSessions(t *testing.T) {
	t.Parallel()
	key, err := auth.GenerateKey(auth.HS256)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := auth.WriteKeys(file, key); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.ReadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	s := server(t, func(cfg *web.Config) {
		cfg.Tokens = auth.NewVerifier(keys, auth.VerifierConfig{Issuer: "i", Audience: "a", CacheMax: 8})
		cfg.Permissions["Decide"] = web.Permission{Roles: web.RolesOf(web.RoleOps, auth.RoleAdmin), StepUp: true}
		cfg.Granted = func(_ context.Context, user int64) (web.Roles, error) {
			if user == 8 {
				return 0, nil
			}
			return web.RolesOf(web.RoleOps), nil
		}
		cfg.Proved = func(_ context.Context, who auth.Identity) error {
			if who.Session == 1 {
				return nil
			}
			return &problem.Problem{Kind: web.StepUpRequired}
		}
	}, web.Route{Operation: "Decide", Method: "GET", Path: "/decide", Serve: func(*http.Request) (web.Answer, error) { return done, nil }})
	f := func(of auth.Identity, want *problem.Kind) {
		t.Helper()
		now := time.Now()
		token, err := keys.Issue(auth.Claims{Identity: of, Issuer: "i", Audience: "a", NotBefore: now.Add(-time.Minute), Expires: now.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		switch got := ask(s, "GET", "/decide", "", "Authorization", "Bearer "+token); {
		case want != nil:
			refuses(t, got, want, "")
		case got.Code != http.StatusOK:
			t.Errorf("%+v: %d %s", of, got.Code, got.Body)
		}
	}
	f(auth.Identity{Subject: 7, Role: auth.RoleShopper, Session: 1}, nil)
	f(auth.Identity{Subject: 7, Role: auth.RoleShopper, Session: 2}, web.StepUpRequired)
	f(auth.Identity{Subject: 7, Role: auth.RoleShopper}, web.StepUpRequired)
	f(auth.Identity{Subject: 8, Role: auth.RoleShopper, Session: 1}, problem.Forbidden)
	f(auth.Identity{Subject: 9, Role: auth.RoleAdmin}, nil)
}

// Whoever has no session could not prove one, so no operation asks it of them.
func TestWhoIsAskedForProvedSessions(t *testing.T) {
	t.Parallel()
	f := func(p web.Permission, ok bool) {
		t.Helper()
		p.StepUp = true
		_, err := web.New(web.Config{
			Routes:      []web.Route{{Operation: "Act", Method: "POST", Path: "/act"}},
			Permissions: web.Permissions{"Act": p}, Metrics: metrics.NewSet(),
			Proved: func(context.Context, auth.Identity) error { return nil },
		})
		if (err == nil) != ok {
			t.Errorf("%+v: %v", p, err)
		}
	}
	f(web.Permission{Roles: web.RolesOf(auth.RoleShopper)}, true)
	f(web.Permission{Roles: web.RolesOf(web.RoleSellerOwner)}, true)
	f(web.Permission{Roles: web.RolesOf(web.RoleSupport, web.RoleOps, auth.RoleAdmin)}, true)
	f(web.Permission{Roles: web.RolesOf(auth.RoleService, auth.RoleAdmin), Scope: auth.ScopeUsersWrite}, false)
	f(web.Permission{Roles: web.RolesOf(web.RoleOps, web.RoleSellerKey), KeyScope: "things:read"}, false)
	f(web.Permission{Roles: web.Anybody}, false)
}
