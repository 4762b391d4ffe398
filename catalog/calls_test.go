package catalog

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/catalog/internal/web"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/tally"
)

// TestCallsOfMySQL counts what each operation asks MySQL. A statement is two calls, as the driver prepares it first, and a
// transaction is two more. An operation that asked row by row would make more calls for more rows.
func TestCallsOfMySQL(t *testing.T) {
	t.Parallel()
	databases, err := place.Config{}.Open(place.Options{
		MySQL: db.Config{DSN: config.Secret(servicetest.MariaDB(t)), ConnsMax: 4, Timeout: time.Minute}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = databases.Close() })
	if err := databases.Migrate(t.Context(), Schemas(), place.Quiet); err != nil {
		t.Fatal(err)
	}
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
	server, err := web.New(web.Config{
		Routes: routes(databases), Permissions: permissions(), RequestsMax: 1, Timeout: time.Minute,
		Tokens:  auth.NewVerifier(keys, auth.VerifierConfig{Issuer: "sluice", Audience: "sluice", CacheMax: 10}),
		Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	const statement, transaction = 2, 2
	called := map[string]bool{}
	for _, c := range []struct {
		method, path, body string
		role               auth.Role
		status             int
		statements         int64
		transactions       int64
	}{
		{"PUT", "/v1/users/7", `{"region":"eu","locale":"de"}`, auth.RoleService, http.StatusCreated, 6, 1}, // the user, its event, the version of that, and two for the audit log
		{"GET", "/v1/audit?actor=service:7", "", auth.RoleAdmin, http.StatusOK, 1, 0},
		{"PUT", "/v1/users/7", `{"region":"eu","locale":"de"}`, auth.RoleService, http.StatusOK, 2, 1},
		{"GET", "/v1/users/7", "", auth.RoleService, http.StatusOK, 1, 0},
		{"GET", "/v1/me", "", auth.RoleShopper, http.StatusOK, 1, 0},
	} {
		now := time.Now()
		token, err := keys.Issue(auth.Claims{
			Identity: auth.Identity{Subject: 7, Role: c.role}, Issuer: "sluice", Audience: "sluice", NotBefore: now.Add(-time.Minute), Expires: now.Add(time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, calls := tally.Count(t.Context())
		r := httptest.NewRequestWithContext(ctx, c.method, c.path, strings.NewReader(c.body))
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Idempotency-Key", "k")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if want := c.statements*statement + c.transactions*transaction; w.Code != c.status || calls.Load() != want {
			t.Errorf("%s %s: %d %s with %d calls, want %d with %d", c.method, c.path, w.Code, w.Body, calls.Load(), c.status, want)
		}
		called[c.method+" "+strings.ReplaceAll(strings.Split(c.path, "?")[0], "users/7", "users/{user_id}")] = true
	}
	for _, o := range Table() {
		if !called[o.Method+" "+o.Path] {
			t.Errorf("nobody counts the calls of %s %s", o.Method, o.Path)
		}
	}
}
