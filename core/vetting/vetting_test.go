package vetting_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/core/config"
	"sluice/core/kafka"
	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/redis"
	"sluice/core/stock/redisstock"
	"sluice/core/vetting"
	"sluice/persister/persistertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// newVetter has a Redis, an empty MySQL and an empty Kafka.
func newVetter(t *testing.T, servers redis.Config) (vetting.Vetter, *redisstock.Store) {
	t.Helper()
	servers.CallTimeout = 10 * time.Second
	client, err := servers.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	topic := kafka.Config{Brokers: servicetest.Broker(t), Topic: "events", Group: "g", Partitions: 2, Replication: 1}
	if err := outbox.CreateTopic(t.Context(), topic.Brokers, topic.Topic, topic.Partitions, topic.Replication); err != nil {
		t.Fatal(err)
	}
	store, err := redisstock.New(client, redisstock.Config{Partitions: 4, CallTimeout: servers.CallTimeout})
	if err != nil {
		t.Fatal(err)
	}
	return vetting.Vetter{
		Client: client, DB: persistertest.Database(t), Redis: servers, Kafka: topic, Stock: config.Agreed{Partitions: 4, Deployment: "test"},
	}, store
}

// A vetting opens a new Redis, lets the store trust it, and refuses one that lacks what MySQL has.
func TestOpen(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	v, store := newVetter(t, redis.Config{Addrs: []string{servicetest.Redis(t).Addr}})

	if report, causes, err := v.Inspect(ctx); err != nil || len(causes) > 0 || !report.New || store.Trusts() {
		t.Fatalf("before: %+v, %q, %v", report, causes, err)
	}
	if report, err := v.Open(ctx, store); err != nil || !report.New || !store.Trusts() {
		t.Fatalf("open: %+v, %v", report, err)
	}
	_, err := v.DB.ExecContext(ctx, `INSERT INTO product_inventories
		(sku_id, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated) VALUES (1, 5, 5, 0, 0, 1, 6, NOW(3))`)
	if err != nil {
		t.Fatal(err)
	}
	if _, causes, err := v.Inspect(ctx); err != nil || len(causes) != 1 {
		t.Errorf("what MySQL has and Redis lacks: %q, %v", causes, err)
	}
	if _, err := v.Open(ctx, store); !errors.Is(err, redisstock.ErrVetting) {
		t.Errorf("open a Redis that lacks an effect: %v", err)
	}
}

// stateOf asks until each connection to a server that has restarted is a new one.
func stateOf(ctx context.Context, store *redisstock.Store) (state redisstock.State, err error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if state, err = store.State(ctx); err == nil {
			break
		}
	}
	return state, err
}

// A primary that has restarted is opened once most Sentinels name it. One that is open needs none of them.
func TestOpenWantsMostSentinels(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	primary := servicetest.Redis(t)
	sentinels := servicetest.Sentinels(t, primary, 0, time.Minute)
	v, store := newVetter(t, redis.Config{SentinelAddrs: sentinels.Addrs, SentinelMaster: sentinels.Master})
	if _, err := v.Open(ctx, store); err != nil {
		t.Fatal(err)
	}
	send := func(s syscall.Signal, nodes ...*local.Redis) {
		t.Helper()
		for _, node := range nodes {
			if err := syscall.Kill(node.PID(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(syscall.SIGSTOP, sentinels.Nodes[1:]...)
	defer send(syscall.SIGCONT, sentinels.Nodes[1:]...)
	if _, err := v.Open(ctx, store); err != nil {
		t.Errorf("open as it is: %v", err)
	}

	if err := errors.Join(primary.Kill(), primary.Restart(ctx)); err != nil {
		t.Fatal(err)
	}
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err = v.Open(ctx, store); err == nil || strings.Contains(err.Error(), "Sentinels") { // until the client has new connections
			break
		}
	}
	if err == nil || errors.Is(err, redisstock.ErrVetting) || !strings.Contains(err.Error(), "1 of 3 Sentinels name "+primary.Addr) {
		t.Errorf("with one Sentinel: %v", err)
	}
	if state, err := stateOf(ctx, store); err != nil || state != redisstock.StateShut {
		t.Errorf("with one Sentinel it is %v, %v", state, err)
	}
	send(syscall.SIGCONT, sentinels.Nodes[1])
	if _, err := v.Open(ctx, store); err != nil {
		t.Errorf("with two Sentinels: %v", err)
	}
	if state, err := store.State(ctx); err != nil || state != redisstock.StateOpen {
		t.Errorf("with two Sentinels it is %v, %v", state, err)
	}
}
