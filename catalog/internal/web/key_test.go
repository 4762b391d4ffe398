package web_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/catalog/internal/apikey"
	"sluice/catalog/internal/web"
	"sluice/core/auth"
	"sluice/core/limit"
	"sluice/core/problem"
	"sluice/core/stock"
)

// A key of a seller's system passes where the table names its scope, for its own seller and within a limit.
func TestKeysOfSellers(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := server(t, func(cfg *web.Config) {
		cfg.Permissions["Read"] = web.Permission{Roles: web.RolesOf(auth.RoleShopper, web.RoleSellerKey), KeyScope: "things:read"}
		cfg.Permissions["Other"] = web.Permission{Roles: web.RolesOf(web.RoleSellerKey), KeyScope: "others:read"}
		cfg.Permissions["People"] = web.Permission{Roles: web.RolesOf(web.RoleSellerMember)}
		cfg.Users = limit.New("user", limit.Config{Rate: 0.001, Burst: 5, KeysMax: 8}, limit.UserID)
		cfg.Tokens = auth.NewVerifier(nil, auth.VerifierConfig{CacheMax: 8})
		cfg.Now = func() time.Time { return now }
		cfg.Keys = func(_ context.Context, text string) (apikey.Key, error) {
			switch text {
			case "slk_good":
				return apikey.Key{Holder: 17, Scopes: []string{"things:read"}}, nil
			case "slk_away":
				return apikey.Key{}, errors.Join(stock.ErrNotApplied, errors.New("x"))
			}
			return apikey.Key{}, apikey.ErrKey
		}
	},
		web.Route{Operation: "Read", Method: "GET", Path: "/read", Serve: func(r *http.Request) (web.Answer, error) {
			if web.Tenant(r.Context()) != 17 || web.Who(r.Context()).Subject != 0 || web.Actor(r.Context()) != "seller_key:17" {
				t.Errorf("asked by %+v of %d, %s", web.Who(r.Context()), web.Tenant(r.Context()), web.Actor(r.Context()))
			}
			return done, nil
		}},
		web.Route{Operation: "Other", Method: "GET", Path: "/other", Serve: func(*http.Request) (web.Answer, error) { return done, nil }},
		web.Route{Operation: "People", Method: "GET", Path: "/people", Serve: func(*http.Request) (web.Answer, error) { return done, nil }},
	)
	by := func(key, path string) (int, string) {
		w := ask(s, "GET", path, "", "Authorization", "Bearer "+key)
		return w.Code, w.Body.String()
	}
	if status, body := by("slk_good", "/read"); status != http.StatusOK {
		t.Error(status, body)
	}
	for _, c := range []struct {
		key, path string
		want      *problem.Kind
		says      string
	}{
		{"slk_good", "/other", problem.Forbidden, "others:read"},
		{"slk_good", "/people", problem.Forbidden, ""},
		{"slk_bad", "/read", problem.Unauthorized, ""},
		{"slk_away", "/read", problem.Unavailable, ""},
	} {
		refuses(t, ask(s, "GET", c.path, "", "Authorization", "Bearer "+c.key), c.want, c.says)
	}
	for range 2 {
		by("slk_good", "/read")
	}
	if status, body := by("slk_good", "/read"); status != http.StatusTooManyRequests || !strings.Contains(body, "rate_limited") {
		t.Error(status, body)
	}
}

// A system writes nothing, and an operation without a scope takes no key.
func TestKeysOnlyRead(t *testing.T) {
	t.Parallel()
	for method, may := range map[string]web.Permission{
		"POST": {Roles: web.RolesOf(web.RoleSellerKey), KeyScope: "things:read"},
		"GET":  {Roles: web.RolesOf(web.RoleSellerKey)},
		"PUT":  {Roles: web.RolesOf(auth.RoleShopper), KeyScope: "things:read"},
	} {
		if _, err := web.New(web.Config{
			Routes:      []web.Route{{Operation: "One", Method: method, Path: "/a", Serve: func(*http.Request) (web.Answer, error) { return done, nil }}},
			Permissions: web.Permissions{"One": may}, Metrics: metrics.NewSet(),
		}); err == nil {
			t.Errorf("%s: it starts", method)
		}
	}
}
