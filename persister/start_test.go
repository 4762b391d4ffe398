package persister

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"sluice/core/config"
	"sluice/core/lifecycle"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

func TestStartRefusesVolatileMySQL(t *testing.T) {
	t.Parallel()
	_, dsn := servicetest.PrivateDatabase(t)
	w := newWorld(t, servicetest.Broker(t), dsn)
	if _, err := w.db.ExecContext(t.Context(), "SET GLOBAL innodb_flush_log_at_trx_commit = 2"); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), w.cfg, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "innodb_flush_log_at_trx_commit") {
		t.Fatalf("a MySQL that forgets: %v", err)
	}
	w.cfg.AllowVolatileMySQL = true
	w.stop(w.start())
}

func TestStartNeedsTheSchema(t *testing.T) {
	t.Parallel()
	w := newWorld(t, servicetest.Broker(t), servicetest.MariaDB(t))
	w.cfg.MySQL.DSN = config.Secret(servicetest.MariaDB(t)) // another one, empty
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := Start(ctx, w.cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "sluice migrate") {
		t.Errorf("an empty database: %v", err)
	}
}

// startAndWait starts a persister that cannot have its Kafka, and ends it as a signal would once it has
// said in its log what is wanted.
func startAndWait(t *testing.T, cfg Config, said string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	log := logFunc(func(line string) {
		t.Log(line)
		if strings.Contains(line, "waiting for a server") && strings.Contains(line, said) {
			cancel()
		}
	})
	node, err := Start(ctx, cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err == nil {
		_ = node.Shutdown(context.WithoutCancel(ctx))
	}
	return err
}

type logFunc func(line string)

func (f logFunc) Write(line []byte) (int, error) {
	f(string(line))
	return len(line), nil
}

func TestStartWithoutKafkaIsCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, servicetest.Broker(t), servicetest.MariaDB(t))
	w.cfg.Kafka.Brokers = []string{"127.0.0.1:1"}
	if err := startAndWait(t, w.cfg, "server=kafka"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while it waits: %v", err)
	}
}

// TestStartWaitsForTheTopic starts a persister with a typo in the topic's name, which it must not make.
func TestStartWaitsForTheTopic(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
		t.Helper()
		w := newWorld(t, brokers, servicetest.MariaDB(t))
		w.cfg.Kafka.Topic += "x"
		if err := startAndWait(t, w.cfg, "run sluice migrate"); !errors.Is(err, context.Canceled) {
			t.Errorf("without its topic: %v", err)
		}
		topic := outbox.NewTopic(brokers, w.cfg.Kafka.Topic)
		defer topic.Close()
		if err := topic.Check(t.Context(), w.cfg.Kafka.Partitions); !errors.Is(err, kafka.UnknownTopicOrPartition) {
			t.Errorf("the topic was made: %v", err)
		}
		if err := outbox.CreateTopic(t.Context(), brokers, w.cfg.Kafka.Topic, w.cfg.Kafka.Partitions, 1); err != nil {
			t.Fatal(err)
		}
		w.stop(w.start())
	})
}

// TestStartRefusesAnotherNumberOfKafkaPartitions does not wait for what cannot come.
func TestStartRefusesAnotherNumberOfKafkaPartitions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, servicetest.Broker(t), servicetest.MariaDB(t))
	w.cfg.Kafka.Partitions = 16
	if err := startAndWait(t, w.cfg, ""); !errors.Is(err, outbox.ErrPartitions) || !strings.Contains(err.Error(), "set --kafka-partitions") {
		t.Errorf("16 partitions where there are 8: %v", err)
	}
}

func TestStartRefusesAnothersRedis(t *testing.T) {
	t.Parallel()
	s := newShop(t, servicetest.Broker(t))
	s.cfg.Stock.Deployment = "other"
	_, err := Start(t.Context(), s.cfg, slog.New(slog.DiscardHandler))
	if !errors.Is(err, redisstock.ErrForeign) || !strings.Contains(err.Error(), "set --deployment") {
		t.Errorf("another deployment: %v", err)
	}
}

// TestShutdownClosesThePublisherOnce relies on a publisher that fails if it is closed again.
func TestShutdownClosesThePublisherOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, servicetest.Broker(t), servicetest.MariaDB(t))
	n := w.start()
	w.stop(n) // which fails the test if Shutdown has an error
	if err := n.publisher.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "closed already") {
		t.Errorf("after Shutdown the publisher was still open: %v", err)
	}
}

func TestConfigReportsAllFaults(t *testing.T) {
	t.Parallel()
	err := Config{Workers: -1, BatchEvents: 0, BatchWait: -1}.Validate()
	for _, name := range []string{"redis-addr", "mysql-dsn", "kafka-brokers", "workers", "batch-events", "fetch-bytes", "batch-wait"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("no word about %s: %v", name, err)
		}
	}
}

// shutStore is shut for some looks, and then what it becomes.
type shutStore struct {
	shutFor, adopted, kept atomic.Int64
	partly                 []int
	becomes                error
}

func (s *shutStore) Partitions() int { return 2 }

func (s *shutStore) Shut(context.Context) ([]int, error) {
	if s.shutFor.Add(-1) >= 0 {
		return []int{0, 1}, nil
	}
	return s.partly, s.becomes
}

func (s *shutStore) Adopt(context.Context, stock.Nonces) error {
	s.adopted.Add(1)
	return nil
}

func (s *shutStore) KeepMarks(context.Context, stock.Nonces) error {
	s.kept.Add(1)
	return nil
}

// TestFollowVettings waits for an open Redis, and adopts later what was vetted later.
func TestFollowVettings(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]*shutStore{
		"open": {},
		"a part is away, which must not stop the work on the rest": {becomes: errors.New("away")},
		"a part is shut, which must not either":                    {partly: []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := &Node{log: slog.New(slog.DiscardHandler)}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				opened := lifecycle.NewSignal()
				store.shutFor.Store(4)
				go n.followVettings(ctx, store, nil, opened)
				synctest.Wait()
				if opened.Raised() {
					t.Error("work began before Redis was open")
				}
				time.Sleep(3 * openEvery)
				if !opened.Raised() {
					t.Error("work has not begun though Redis is open")
				}
				synctest.Wait()
				before := store.adopted.Load()
				store.shutFor.Store(1)
				time.Sleep(2 * openEvery)
				synctest.Wait()
				if store.adopted.Load() <= before {
					t.Error("what was vetted later was not adopted")
				}
				before = store.kept.Load()
				cancel()
				synctest.Wait()
				if looks := store.kept.Load(); looks < 5 || store.becomes == nil && looks == before {
					t.Errorf("told MySQL %d times how far the data have grown, %d of them at the end", looks, looks-before)
				}
			})
		})
	}
}

// refusedStore is shut, and its vettings cannot be read for some tries.
type refusedStore struct{ refusals atomic.Int64 }

func (s *refusedStore) Partitions() int { return 1 }

func (s *refusedStore) Shut(context.Context) ([]int, error) { return []int{0}, nil }

func (s *refusedStore) Adopt(context.Context, stock.Nonces) error {
	if s.refusals.Add(-1) >= 0 {
		return errors.New("no grant")
	}
	return nil
}

func (s *refusedStore) KeepMarks(context.Context, stock.Nonces) error { return nil }

// diary keeps what was logged.
type diary struct {
	mu   sync.Mutex
	text strings.Builder
}

func (d *diary) Write(line []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(line)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

// TestFollowVettingsTellsWhyNot tells once why vettings cannot be read, and only then that they are waited for.
func TestFollowVettingsTellsWhyNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		said := new(diary)
		n := &Node{log: slog.New(slog.NewTextHandler(said, nil))}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		store := &refusedStore{}
		store.refusals.Store(3)
		go n.followVettings(ctx, store, nil, lifecycle.NewSignal())
		told := func(why, waiting int) {
			t.Helper()
			synctest.Wait()
			if strings.Count(said.String(), "no grant") != why || strings.Count(said.String(), "once an edge has opened it") != waiting {
				t.Errorf("want the reason %d times, and that it waits %d times: %s", why, waiting, said.String())
			}
		}
		told(1, 0)
		time.Sleep(2*openEvery + openEvery/2)
		told(1, 0)
		time.Sleep(openEvery)
		told(1, 1)
		store.refusals.Store(1)
		time.Sleep(2 * openEvery)
		told(2, 1)
	})
}
