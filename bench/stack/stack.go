// Package stack starts a whole sluice for tests and benchmarks of the system: the real binary in
// processes of its own, on real servers, all on loopback and all stopped with the test.
package stack

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/bench/empty"
	"sluice/bench/load"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/lifecycle"
	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/telemetry"
)

// Stack is the servers of one sluice, with everything migrated, and the settings that its processes
// are started with.
type Stack struct {
	Redis   *local.Redis
	MariaDB *local.MariaDB
	Kafka   *local.Kafka
	DB      *sql.DB
	Store   *redisstock.Store

	t        testing.TB
	binary   string
	env      []string
	keys     *auth.Keys
	mu       sync.Mutex
	tokens   map[tokenOf]string
	services int
}

type tokenOf struct {
	user int64
	role string
}

// New builds the binary and starts Redis, MariaDB and Kafka. Extra settings (SLUICE_NAME=value) apply
// to every process.
func New(t testing.TB, extra ...string) *Stack {
	t.Helper()
	return NewOf(t, Build(t, "sluice"), extra...)
}

// NewOf is New with a program that is built already.
func NewOf(t testing.TB, program string, extra ...string) *Stack {
	t.Helper()
	dir := t.TempDir()
	s := &Stack{
		Redis:   servicetest.Redis(t),
		MariaDB: servicetest.PrivateMariaDB(t),
		Kafka:   servicetest.PrivateKafka(t),
		t:       t,
		binary:  program,
		tokens:  map[tokenOf]string{},
	}
	const database = "sluice"
	must(t, s.MariaDB.CreateDatabase(t.Context(), database))

	keyFile := filepath.Join(dir, "keys.json")
	key, err := auth.GenerateKey("HS256")
	must(t, err)
	must(t, auth.WriteKeys(keyFile, key))
	s.keys, err = auth.ReadKeys(keyFile)
	must(t, err)

	s.env = append(os.Environ(),
		"SLUICE_REDIS_ADDR="+s.Redis.Addr,
		"SLUICE_MYSQL_DSN="+s.MariaDB.DSN(database),
		"SLUICE_KAFKA_BROKERS="+strings.Join(s.Kafka.Addrs, ","),
		"SLUICE_TOKEN_KEY_FILE="+keyFile,
		"SLUICE_LOG_LEVEL=warn",
	)
	s.env = append(s.env, extra...)
	s.Run("", "migrate")
	s.connect(database)
	return s
}

func (s *Stack) connect(database string) {
	var err error
	mysql := db.Config{DSN: config.Secret(s.MariaDB.DSN(database)), ConnsMax: 4, Timeout: time.Minute}
	s.DB, err = mysql.Open(s.t.Context())
	must(s.t, err)
	redis := redis.Config{Addrs: []string{s.Redis.Addr}, CallTimeout: time.Second}
	client, err := redis.Client()
	must(s.t, err)
	s.t.Cleanup(func() {
		client.Close()
		if err := s.DB.Close(); err != nil {
			s.t.Error(err)
		}
	})
	partitions := stock.PartitionsDefault
	for _, setting := range s.env {
		if number, ok := strings.CutPrefix(setting, "SLUICE_PARTITIONS="); ok {
			partitions, err = strconv.Atoi(number)
			must(s.t, err)
		}
	}
	s.Store, err = redisstock.New(client, redisstock.Config{Partitions: partitions, CallTimeout: 20 * time.Second})
	must(s.t, err)
}

// Run runs a command of sluice to its end, with a text as its standard input, and returns what it
// printed.
func (s *Stack) Run(stdin string, args ...string) string {
	s.t.Helper()
	out, errs, code := s.Try(stdin, args...)
	if code != 0 {
		s.t.Fatalf("sluice %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// Try is Run for a command that may fail.
func (s *Stack) Try(stdin string, args ...string) (out, errs string, code int) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), s.binary, args...)
	cmd.Env = s.env
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("sluice %s: %v", strings.Join(args, " "), err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// Program is a command of sluice that goes on beside a test.
func (s *Stack) Program(args ...string) local.ProgramOptions {
	return local.ProgramOptions{
		Path: s.binary, Args: args, Env: func([]string) []string { return s.env }, Grace: stopWithin,
		Ready: func(context.Context, []string) error { return nil },
	}
}

// Token is a bearer token for the user in a role, issued once. It is safe for concurrent use.
func (s *Stack) Token(user int64, role string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := tokenOf{user, role}
	if s.tokens[of] == "" {
		parsed, err := auth.ParseRole(role)
		if err != nil {
			panic(err)
		}
		now := time.Now()
		s.tokens[of], err = s.keys.Issue(auth.Claims{
			Identity: auth.Identity{Subject: user, Role: parsed},
			Issuer:   "sluice", Audience: "sluice",
			NotBefore: now.Add(-time.Minute), Expires: now.Add(6 * time.Hour),
		})
		if err != nil {
			panic(err)
		}
	}
	return s.tokens[of]
}

// LoadCSV loads SKUs as `sluice stock load` does.
func (s *Stack) LoadCSV(lines ...string) {
	s.t.Helper()
	s.Run(strings.Join(lines, "\n")+"\n", "stock", "load", "--yes", "-")
}

// Use has processes and commands from now on run another program.
func (s *Stack) Use(program string) { s.binary = program }

// Build builds the program of a package.
func Build(t testing.TB, of string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), path.Base(of))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", binary, of)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", of, err, out)
	}
	return binary
}

// Drained waits until every outbox is empty: then MySQL has all events of Redis.
func (s *Stack) Drained(t testing.TB, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	must(t, lifecycle.Poll(ctx, 100*time.Millisecond, func() error {
		stats, err := s.Store.OutboxStats(ctx)
		must(t, err)
		entries := int64(0)
		for _, stat := range stats {
			entries += stat.Entries
		}
		if entries > 0 {
			return fmt.Errorf("%d outbox entries are left after %v", entries, within)
		}
		return nil
	}, func(error) bool { return false }))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// StartEdge starts an edge and waits until it is ready.
func (s *Stack) StartEdge(extra ...string) *Process {
	s.t.Helper()
	return s.StartEdgeIn(s.t.TempDir(), extra...)
}

// StartEdgeIn starts an edge with a data directory that another one may have left.
func (s *Stack) StartEdgeIn(data string, extra ...string) *Process {
	s.t.Helper()
	return s.start("edge", 2, func(addrs []string) []string {
		return append([]string{"SLUICE_LISTEN=" + addrs[0], "SLUICE_DATA_DIR=" + data}, extra...)
	})
}

// StartPersister starts a persister and waits until it is ready.
func (s *Stack) StartPersister(extra ...string) *Process {
	s.t.Helper()
	return s.start("persister", 1, func([]string) []string { return extra })
}

// OpenShop makes the keys of the shop and its tables, for StartCatalog.
func (s *Stack) OpenShop() {
	s.t.Helper()
	dir := s.t.TempDir()
	s.env = append(s.env,
		"SLUICE_SIGNING_KEYS_FILE="+filepath.Join(dir, "signing.json"), "SLUICE_ACCOUNT_SECRET_FILE="+filepath.Join(dir, "account.secret"),
		"SLUICE_VAULT_KEY_FILE="+filepath.Join(dir, "vault.json"), "SLUICE_MESSAGES_INBOX=true",
	)
	s.Run("", "catalog", "keys", "create")
	s.Run("", "catalog", "vault", "keygen", "--out", filepath.Join(dir, "vault.json"))
	s.Run("", "catalog", "migrate")
}

// StartCatalog starts the shop and waits until it is ready. Messages to people wait in its inbox.
func (s *Stack) StartCatalog(extra ...string) *Process {
	s.t.Helper()
	return s.start("catalog", 2, func(addrs []string) []string { return append([]string{"SLUICE_CATALOG_LISTEN=" + addrs[0]}, extra...) })
}

// start starts a role whose last address is its ops port.
func (s *Stack) start(role string, addrs int, extra func(addrs []string) []string) *Process {
	s.t.Helper()
	s.services++
	return StartProcess(s.t, fmt.Sprintf("%s %d", role, s.services), local.ProgramOptions{
		Path: s.binary, Args: []string{role}, Addrs: addrs,
		Env: func(addrs []string) []string {
			return slices.Concat(s.env, []string{"SLUICE_OPS_LISTEN=" + addrs[len(addrs)-1]}, extra(addrs))
		},
		Ready: func(ctx context.Context, addrs []string) error { return telemetry.AskReady(ctx, addrs[len(addrs)-1]) },
	})
}

// StartEmpty starts a handler that returns the bytes of a sample answer and does nothing else.
func (s *Stack) StartEmpty(sample load.Response) *Process {
	s.t.Helper()
	answer := empty.Answer{Status: sample.Status, Body: string(sample.Body), Header: strings.Split(string(sample.Header), "\r\n")}
	return StartProcess(s.t, "empty handler", local.ProgramOptions{
		Path: s.binary, Args: answer.Args(), Addrs: 1,
		Env: func(addrs []string) []string { return append(slices.Clone(s.env), "SLUICE_LISTEN="+addrs[0]) },
		Ready: func(_ context.Context, addrs []string) error {
			c, err := load.Dial(addrs[0], time.Second)
			if err == nil {
				err = c.Close()
			}
			return err
		},
	})
}
