// Package servicetest gives tests the real servers they need. A server that is
// not installed skips the test with one line, or fails it where the environment
// says REQUIRE_SERVICES=1.
//
// Private servers stop with their test. Shared ones (MariaDB, Kafka) live as long
// as the test binary; each test gets a database of its own there, or uses topics
// of its own. A package that checks for leaked goroutines passes its testing.M
// through Main, so that the shared servers stop before the check.
package servicetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"sluice/core/local"
)

// Redis starts a private Redis with the settings that sluice wants.
func Redis(t testing.TB) *local.Redis {
	t.Helper()
	return RedisWith(t, local.RedisOptions{})
}

// RedisWith starts a private Redis with options.
func RedisWith(t testing.TB, o local.RedisOptions) *local.Redis {
	t.Helper()
	r, err := local.StartRedis(t.Context(), t.TempDir(), o)
	require(t, err)
	stopWith(t, r.Stop)
	return r
}

// RedisCluster starts a private Redis Cluster of three primaries.
func RedisCluster(t testing.TB) *local.RedisCluster {
	t.Helper()
	return redisCluster(t, false)
}

// RedisClusterWithReplicas starts a private Redis Cluster of three primaries, each with a replica.
func RedisClusterWithReplicas(t testing.TB) *local.RedisCluster {
	t.Helper()
	return redisCluster(t, true)
}

func redisCluster(t testing.TB, replicas bool) *local.RedisCluster {
	t.Helper()
	c, err := local.StartRedisCluster(t.Context(), t.TempDir(), 3, replicas)
	require(t, err)
	stopWith(t, c.Stop)
	return c
}

// Sentinels starts three private Redis Sentinels that watch a primary with so many replicas, and take it for dead
// after downAfter.
func Sentinels(t testing.TB, primary *local.Redis, replicas int, downAfter time.Duration) *local.Sentinels {
	t.Helper()
	s, err := local.StartSentinels(t.Context(), t.TempDir(), 3, primary, replicas, downAfter)
	require(t, err)
	stopWith(t, s.Stop)
	return s
}

// MariaDB returns the data source name of a fresh database on the shared server,
// whose settings for sessions are the opposites of what sluice needs: every test
// shows that its connections do not depend on them.
func MariaDB(t testing.TB) string {
	t.Helper()
	m := sharedMariaDB.get(t)
	name := "t" + strconv.FormatUint(rand.Uint64(), 36)
	require(t, m.CreateDatabase(t.Context(), name))
	stopWith(t, func() error {
		// Not t.Context(), which has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		return m.DropDatabase(ctx, name)
	})
	return m.DSN(name)
}

// PrivateMariaDB starts a MariaDB for tests that stop or kill it. Extra are lines for its my.cnf.
func PrivateMariaDB(t testing.TB, extra ...string) *local.MariaDB {
	t.Helper()
	m, err := local.StartMariaDB(t.Context(), t.TempDir(), extra...)
	require(t, err)
	stopWith(t, m.Stop)
	return m
}

// ReplicatedMariaDB starts a MariaDB and so many replicas of it, which have what is made from now on.
func ReplicatedMariaDB(t testing.TB, replicas int) (primary *local.MariaDB, all []*local.MariaDB) {
	t.Helper()
	start := func(id int) *local.MariaDB {
		return PrivateMariaDB(t, fmt.Sprintf("server-id = %d", id), "log-bin = log", "binlog-format = ROW", "gtid-domain-id = 1")
	}
	primary = start(1)
	for i := range replicas {
		replica := start(2 + i)
		require(t, replica.Follow(t.Context(), primary))
		all = append(all, replica)
	}
	return primary, all
}

// PrivateDatabase starts a MariaDB for tests that stop, kill or set it, and returns it with the data source name of a
// fresh database.
func PrivateDatabase(t testing.TB) (server *local.MariaDB, dsn string) {
	t.Helper()
	const name = "sluice"
	server = PrivateMariaDB(t)
	require(t, server.CreateDatabase(t.Context(), name))
	dsn = server.DSN(name)
	return server, dsn
}

// OnBrokers runs a test on an embedded broker and on the shared Apache Kafka.
func OnBrokers(t *testing.T, test func(t *testing.T, brokers []string)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, Broker(t))
	})
	t.Run("kafka", func(t *testing.T) {
		t.Parallel()
		test(t, Kafka(t))
	})
}

// Broker starts a private embedded broker without topics and returns its
// addresses.
func Broker(t testing.TB) []string {
	t.Helper()
	b, err := local.StartBroker(t.Context(), "", 0)
	require(t, err)
	t.Cleanup(b.Stop)
	return b.Addrs
}

// Kafka returns the addresses of the shared Apache Kafka. Topics are the test's
// to create, under names of its own.
func Kafka(t testing.TB) []string {
	t.Helper()
	return sharedKafka.get(t).Addrs
}

// PrivateKafka starts an Apache Kafka for tests that stop or kill it.
func PrivateKafka(t testing.TB) *local.Kafka {
	t.Helper()
	k, err := local.StartKafka(t.Context(), t.TempDir())
	require(t, err)
	stopWith(t, k.Stop)
	return k
}

// Program returns the path of a program that local can find.
func Program(t testing.TB, find func() (string, error)) string {
	t.Helper()
	path, err := find()
	require(t, err)
	return path
}

// require ends the test on an error: as skipped if a server is not installed
// and nobody insists on it.
func require(t testing.TB, err error) {
	t.Helper()
	if missing := new(local.MissingError); errors.As(err, &missing) && os.Getenv("REQUIRE_SERVICES") != "1" {
		if path := os.Getenv("SLUICE_SKIPPED"); path != "" {
			noteSkip(t, path, missing)
		}
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// noteSkip adds a line to the file that make test prints: go test is silent about skipped tests.
func noteSkip(t testing.TB, path string, missing error) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = fmt.Fprintf(f, "tests skipped: %v\n", missing)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func stopWith(t testing.TB, stop func() error) {
	t.Helper()
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// The servers that a test binary starts once: they are slow to start, and tests
// keep apart on them by name.
var (
	sharedMariaDB = shared[*local.MariaDB]{start: startContraryMariaDB, stop: (*local.MariaDB).Stop}
	sharedKafka   = shared[*local.Kafka]{start: local.StartKafka, stop: (*local.Kafka).Stop}
)

// contrary are the opposites of the settings for sessions that sluice needs.
var contrary = []string{
	"autocommit = 0",
	"completion_type = 'CHAIN'",
	"tx_isolation = 'SERIALIZABLE'",
	"tx_read_only = 1",
	"sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,PAD_CHAR_TO_FULL_LENGTH'",
	"time_zone = '+05:30'",
	"character_set_server = 'latin1'",
	"default_storage_engine = 'MEMORY'",
	"check_constraint_checks = 0",
	"foreign_key_checks = 0",
	"unique_checks = 0",
	"sql_auto_is_null = 1",
	"sql_safe_updates = 1",
	"sql_select_limit = 1",
	"sql_big_selects = 0",
	"max_join_size = 1",
	"innodb_snapshot_isolation = 1",
	"innodb_lock_wait_timeout = 1000000",
	"lock_wait_timeout = 1000000",
	"max_statement_time = 1",
	"net_read_timeout = 1",
	"net_write_timeout = 1",
	"wait_timeout = 2",
	"idle_transaction_timeout = 1",
	"idle_readonly_transaction_timeout = 1",
	"idle_write_transaction_timeout = 1",
}

func startContraryMariaDB(ctx context.Context, dir string) (*local.MariaDB, error) {
	m, err := local.StartMariaDB(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := m.SetGlobal(ctx, contrary...); err != nil {
		return nil, errors.Join(err, m.Stop())
	}
	return m, nil
}

// shared starts one server at its first use and keeps it for the test binary.
type shared[S any] struct {
	start func(ctx context.Context, dir string) (S, error)
	stop  func(S) error

	mu      sync.Mutex
	started bool
	dir     *tempDir
	server  S
	err     error
}

func (s *shared[S]) get(t testing.TB) S {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		s.started = true
		if s.dir, s.err = newTempDir(); s.err == nil {
			s.server, s.err = s.start(context.Background(), s.dir.path)
		}
	}
	require(t, s.err)
	return s.server
}

func (s *shared[S]) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		return nil
	}
	s.started = false
	var err error
	if s.err == nil {
		err = s.stop(s.server)
	}
	if s.dir != nil {
		err = errors.Join(err, s.dir.remove())
	}
	return err
}
