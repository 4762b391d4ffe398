package catalog_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/goleak"

	"sluice/catalog"
	"sluice/catalog/account"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/kafka"
	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/shard"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(dsnFileEnv); file != "" {
		serveShop(file, os.Getenv(keysEnv), os.Getenv(brokersEnv))
	}
	goleak.VerifyTestMain(servicetest.Main(m))
}

// layout says where the rows of a shop are.
type layout struct {
	name string
	lay  func(*shop)
}

// layouts are the ways in which shops have their rows: what holds for one holds for all.
var layouts = []layout{{"one", (*shop).oneDatabase}, {"spread", (*shop).twoDatabases}}

// shop is a running shop with databases of its own.
type shop struct {
	t    *testing.T
	cfg  catalog.Config
	node *catalog.Node
	keys *auth.Keys
	http *http.Client
	logs lines

	opening sync.Mutex
	opened  *place.Databases // by the test

	primary, replica *local.MariaDB // of the database a, if there are two
}

// newShop makes a database with the shop's tables and a configuration, and starts nothing.
func newShop(t *testing.T) *shop {
	t.Helper()
	return newShopIn(t, layouts[0])
}

// accountFiles are the files of accounts, beside the one with the keys of tokens.
func accountFiles(keys string) (signing, secret string) {
	dir := filepath.Dir(keys)
	return filepath.Join(dir, "signing.json"), filepath.Join(dir, "account.secret")
}

func newShopIn(t *testing.T, in layout) *shop {
	t.Helper()
	s := &shop{t: t, http: &http.Client{Transport: &http.Transport{}}}
	key, err := auth.GenerateKey(auth.HS256)
	if err != nil {
		t.Fatal(err)
	}
	s.cfg = catalog.Config{
		Kafka: kafka.Cluster{Brokers: []string{"127.0.0.1:1"}}, // the shop does without, and events wait
		Ops:   config.Ops{Listen: "127.0.0.1:0"}, Listen: "127.0.0.1:0", TokenKeyFile: filepath.Join(t.TempDir(), "keys.json"),
	}
	s.cfg.SigningKeysFile, s.cfg.AccountSecretFile = accountFiles(s.cfg.TokenKeyFile)
	ring, err := auth.NewRing(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.cfg.Vault.File = s.cfg.TokenKeyFile + ".vault"
	_, err = catalog.GenerateVaultKeys(s.cfg.Vault.File)
	if err := errors.Join(err, ring.Create(s.cfg.SigningKeysFile), account.CreateSecret(s.cfg.AccountSecretFile)); err != nil {
		t.Fatal(err)
	}
	in.lay(s)
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
	s.cfg.ReadersLagMax = time.Hour
	s.migrate()
	return s
}

// oneDatabase has all rows in tables without a suffix.
func (s *shop) oneDatabase() { s.cfg.MySQL.DSN = config.Secret(servicetest.MariaDB(s.t)) }

// twoDatabases has two tables of users in each of two databases, one of which has a replica.
func (s *shop) twoDatabases() {
	s.t.Helper()
	primary, replicas := servicetest.ReplicatedMariaDB(s.t, 1)
	s.primary, s.replica = primary, replicas[0]
	if err := primary.CreateDatabase(s.t.Context(), "shop"); err != nil {
		s.t.Fatal(err)
	}
	dir := s.t.TempDir()
	for name, text := range map[string]string{
		"a.dsn": primary.DSN("shop"), "reader.dsn": s.replica.DSN("shop"), "b.dsn": servicetest.MariaDB(s.t), "shards.json": `{
  "databases": [{"name": "a", "dsn_file": "a.dsn", "readers": [{"dsn_file": "reader.dsn"}]}, {"name": "b", "dsn_file": "b.dsn"}],
  "users": [
    {"first": 0, "last": 255, "database": "a", "table": 0}, {"first": 256, "last": 511, "database": "a", "table": 1},
    {"first": 512, "last": 767, "database": "b", "table": 0}, {"first": 768, "last": 1023, "database": "b", "table": 1}
  ],
  "products": [{"first": 0, "last": 1023, "database": "b"}],
  "values": [{"first": 0, "last": 511, "database": "a"}, {"first": 512, "last": 1023, "database": "b"}],
  "checkouts": [{"from": "2024-01", "shards": [{"first": 0, "last": 1023, "database": "b"}]}]
}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	s.cfg.Places.File = filepath.Join(dir, "shards.json")
}

// rulesOf writes a file of rules of assessment.
func rulesOf(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// migrate makes the shop's tables.
func (s *shop) migrate() {
	s.t.Helper()
	if err := s.databases().Migrate(s.t.Context(), catalog.Schemas(), place.Quiet); err != nil {
		s.t.Fatal(err)
	}
}

// databases are those of the shop, for the time of the test. They are opened once: a server has so many connections.
func (s *shop) databases() *place.Databases {
	s.t.Helper()
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.opened != nil {
		return s.opened
	}
	databases, err := s.cfg.Places.Open(place.Options{MySQL: db.Config(s.cfg.MySQL), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = databases.Close() })
	s.opened = databases
	return databases
}

// everywhere executes a statement in all places of users.
func (s *shop) everywhere(statement string) {
	s.t.Helper()
	for _, p := range s.databases().All(shard.Users) {
		if _, err := p.In(p.Writer()).ExecContext(s.t.Context(), statement); err != nil {
			s.t.Fatal(p.Name, err)
		}
	}
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

// token is that of a user, narrowed to scopes if there are any; the role none has none.
func (s *shop) token(user int64, role auth.Role, words ...string) string {
	s.t.Helper()
	if role == auth.RoleNone {
		return ""
	}
	scopes, err := auth.ParseScopes(words...)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.issue(auth.Identity{Subject: user, Role: role, Scopes: scopes})
}

// provedToken is that of a user who is there, of a session that stays proved for the time of the test.
func (s *shop) provedToken(user int64) string {
	s.t.Helper()
	p := s.databases().At(shard.OfUser(user))
	_, err := p.In(p.Writer()).ExecContext(s.t.Context(), "INSERT IGNORE INTO sessions__ (user_id, session_id, seed, created_at, rotated_at, ends_at, proved_at, proved_by) "+
		"VALUES (?, ?, '', NOW(3), NOW(3), NOW(3) + INTERVAL 1 DAY, NOW(3) + INTERVAL 1 DAY, 'password')", user, user)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.issue(auth.Identity{Subject: user, Role: auth.RoleShopper, Session: ids.Session(user)})
}

func (s *shop) issue(of auth.Identity) string {
	s.t.Helper()
	now := time.Now()
	token, err := s.keys.Issue(auth.Claims{
		Identity: of, Issuer: "sluice", Audience: "sluice", NotBefore: now.Add(-time.Minute), Expires: now.Add(time.Hour),
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
