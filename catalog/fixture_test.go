package catalog_test

import (
	"context"
	"database/sql"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/goleak"

	"sluice/catalog"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// shop is a running shop with a database of its own.
type shop struct {
	t    *testing.T
	cfg  catalog.Config
	node *catalog.Node
	keys *auth.Keys
	http *http.Client
	logs lines
}

// newShop makes a database with the shop's tables and a configuration, and starts nothing.
func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, http: &http.Client{Transport: &http.Transport{}}}
	key, err := auth.GenerateKey(auth.HS256)
	if err != nil {
		t.Fatal(err)
	}
	s.cfg = catalog.Config{
		MySQL: db.Config{DSN: config.Secret(servicetest.MariaDB(t))}, Ops: config.Ops{Listen: "127.0.0.1:0"},
		Listen: "127.0.0.1:0", TokenKeyFile: filepath.Join(t.TempDir(), "keys.json"),
	}
	if err := auth.WriteKeys(s.cfg.TokenKeyFile, key); err != nil {
		t.Fatal(err)
	}
	if s.keys, err = auth.ReadKeys(s.cfg.TokenKeyFile); err != nil {
		t.Fatal(err)
	}
	if err := kong.ApplyDefaults(&s.cfg); err != nil {
		t.Fatal(err)
	}
	s.cfg.RatePerUser, s.cfg.RatePerAddress = 0, 0
	s.cfg.MySQL.Timeout = time.Minute // tests share a machine
	database := s.database()
	for _, owner := range catalog.Schemas() {
		if _, err := owner.Migrate(t.Context(), database, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// database opens the database of the shop for the time of the test.
func (s *shop) database() *sql.DB {
	s.t.Helper()
	database, err := s.cfg.MySQL.Open(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = database.Close() })
	return database
}

// start starts the shop. It is shut down with the test.
func (s *shop) start() *shop {
	s.t.Helper()
	var err error
	if s.node, err = catalog.Start(s.t.Context(), s.cfg, slog.New(slog.NewTextHandler(&s.logs, nil))); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		s.http.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.node.Shutdown(ctx); err != nil {
			s.t.Errorf("shut the shop down: %v", err)
		}
	})
	return s
}

// token is that of a user, or none for the role none.
func (s *shop) token(user int64, role auth.Role) string {
	s.t.Helper()
	if role == auth.RoleNone {
		return ""
	}
	now := time.Now()
	token, err := s.keys.Issue(auth.Claims{
		Identity: auth.Identity{Subject: user, Role: role}, Issuer: "sluice", Audience: "sluice",
		NotBefore: now.Add(-time.Minute), Expires: now.Add(time.Hour),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// get returns the answer of a path of the ops port.
func (s *shop) get(path string) (status int, body string) {
	s.t.Helper()
	resp, err := s.http.Get("http://" + s.node.OpsAddr() + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// lines collects a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
