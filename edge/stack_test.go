package edge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/kafka"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/redis"
	"sluice/core/schema"
	"sluice/edge"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(servicetest.Main(m),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),    // one per process, never ends
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"), // these end at their next look around
		goleak.IgnoreAnyFunction("github.com/tidwall/buntdb.(*DB).backgroundManager"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"), // closes left nodes 5 s later
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))           // looks at the cluster again 1 s later
}

// stack is an edge on real servers of the test's own.
type stack struct {
	t    *testing.T
	cfg  edge.Config
	node *edge.Node
	keys *auth.Keys
	http *http.Client
	logs lines
}

// newStack makes the servers and a configuration, and starts nothing.
func newStack(t *testing.T, redisAddr ...string) *stack {
	t.Helper()
	if len(redisAddr) == 0 {
		redisAddr = []string{servicetest.Redis(t).Addr}
	}
	s := &stack{t: t, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	dsn := servicetest.MariaDB(t)
	brokers := servicetest.Broker(t)
	if err := outbox.CreateTopic(t.Context(), brokers, "sluice.events.v1", 4, 1); err != nil {
		t.Fatal(err)
	}
	migrate(t, dsn)

	keyFile := filepath.Join(t.TempDir(), "keys.json")
	key, err := auth.GenerateKey(auth.HS256)
	if err != nil {
		t.Fatal(err)
	}
	if err := auth.WriteKeys(keyFile, key); err != nil {
		t.Fatal(err)
	}
	if s.keys, err = auth.ReadKeys(keyFile); err != nil {
		t.Fatal(err)
	}
	s.cfg = edge.Config{
		Redis: redis.Config{Addrs: redisAddr}, MySQL: db.Config{DSN: config.Secret(dsn)},
		Kafka: kafka.Config{Brokers: brokers, Partitions: 4}, Ops: config.Ops{Listen: "127.0.0.1:0"},
		Listen: "127.0.0.1:0", DataDir: t.TempDir(), TokenKeyFile: keyFile,
	}
	if err := kong.ApplyDefaults(&s.cfg); err != nil {
		t.Fatal(err)
	}
	s.cfg.RatePerUser, s.cfg.RatePerAddress = 0, 0
	s.cfg.Redis.CallTimeout, s.cfg.LogTimeout = 10*time.Second, 30*time.Second // tests share a machine
	return s
}

// migrate makes the schema from the files of the service that owns it.
func migrate(t *testing.T, dsn string) {
	t.Helper()
	db, err := db.Config{DSN: config.Secret(dsn), ConnsMax: 2, Timeout: time.Minute}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	owner := schema.Owner{Name: "persister", Files: os.DirFS("../persister/migrations"), Table: "goose_db_version"}
	if _, err := owner.Migrate(t.Context(), db, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}

// start starts the edge and waits until it is ready.
func (s *stack) start() {
	s.t.Helper()
	s.startUnready()
	s.waitReady()
}

// startUnready starts the edge. It is shut down with the test, at the latest.
func (s *stack) startUnready() {
	s.t.Helper()
	var err error
	s.node, err = edge.Start(s.t.Context(), s.cfg, slog.New(slog.NewTextHandler(io.MultiWriter(testLog{s.t}, &s.logs), nil)))
	if err != nil {
		s.t.Fatal(err)
	}
	node := s.node
	s.t.Cleanup(func() {
		if s.node == node {
			s.shutdown()
		}
	})
}

func (s *stack) shutdown() {
	s.t.Helper()
	s.http.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.node.Shutdown(ctx); err != nil {
		s.t.Errorf("shut the edge down: %v", err)
	}
	s.node = nil
}

// testLog gives a test what its edge logs.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimRight(p, "\n"))
	return len(p), nil
}

// lines collects the log of an edge.
type lines struct {
	mu   sync.Mutex
	text []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

// find finds what a pattern matches, as regexp does.
func (l *lines) find(pattern *regexp.Regexp) [][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return pattern.FindAllStringSubmatch(string(l.text), -1)
}

// redis is a client that is closed with the test.
func (s *stack) redis() rueidis.Client {
	s.t.Helper()
	client, err := s.cfg.Redis.Client()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	return client
}

// loseMySQL makes the next start find no MySQL.
func (s *stack) loseMySQL() { s.cfg.MySQL.DSN = "nobody:x@tcp(127.0.0.1:1)/nothing" }

// ready returns the answer of /readyz.
func (s *stack) ready() (status int, body string) { return s.ops("/readyz") }

// ops returns an answer of the ops port.
func (s *stack) ops(path string) (status int, body string) {
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

func (s *stack) waitReady() {
	s.t.Helper()
	s.until(20*time.Second, "the edge is ready", func() bool {
		status, _ := s.ready()
		return status == http.StatusOK
	})
}

// until waits for what nothing signals: the state of another process.
func (s *stack) until(limit time.Duration, what string, holds func() bool) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(limit)
	for !holds() {
		select {
		case <-tick.C:
		case <-end:
			s.t.Fatalf("after %v it does not hold yet: %s", limit, what)
		}
	}
}

func (s *stack) token(user int64, role auth.Role) string {
	s.t.Helper()
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

// answer is the answer to a request.
type answer struct {
	status int
	header http.Header
	json   map[string]any
	body   string
}

func (a answer) code() string {
	word, _ := a.json["code"].(string)
	return word
}

func (a answer) text(name string) string {
	text, _ := a.json[name].(string)
	return text
}

var keyNumber atomic.Int64

// send makes one request with a fresh Idempotency-Key, or with the one in header.
func (s *stack) send(method, path, token, body string, header ...string) answer {
	s.t.Helper()
	a, err := s.trySend(method, path, token, body, header...)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *stack) trySend(method, path, token, body string, header ...string) (answer, error) {
	req, err := http.NewRequest(method, "http://"+s.node.Addr()+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if method != http.MethodGet {
		req.Header.Set("Idempotency-Key", "key-"+strconv.FormatInt(keyNumber.Add(1), 10))
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(text)}
	return a, json.Unmarshal(text, &a.json)
}

// load loads a SKU by the API.
func (s *stack) load(sku, units int64, settings string) {
	s.t.Helper()
	body := fmt.Sprintf(`{"quantity":%d,"reason":"test"%s}`, units, settings)
	if a := s.send("PUT", fmt.Sprintf("/admin/v1/skus/%d", sku), s.token(1, auth.RoleAdmin), body); a.status != 201 {
		s.t.Fatalf("load SKU %d: %d %s", sku, a.status, a.body)
	}
}
