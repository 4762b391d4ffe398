package vetting_test

import (
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/core/config"
	"sluice/core/kafka"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/redis"
	"sluice/core/stock/redisstock"
	"sluice/core/vetting"
	"sluice/persister/persistertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// A vetting opens a new Redis, lets the store trust it, and refuses one that lacks what MySQL has.
func TestOpen(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := persistertest.Database(t)
	servers := redis.Config{Addrs: []string{servicetest.Redis(t).Addr}, CallTimeout: 10 * time.Second}
	client, err := servers.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	topic := kafka.Config{Brokers: servicetest.Broker(t), Topic: "events", Group: "g", Partitions: 2, Replication: 1}
	if err := outbox.CreateTopic(ctx, topic.Brokers, topic.Topic, topic.Partitions, topic.Replication); err != nil {
		t.Fatal(err)
	}
	store, err := redisstock.New(client, redisstock.Config{Partitions: 4, CallTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	v := vetting.Vetter{Client: client, DB: db, Kafka: topic, Stock: config.Agreed{Partitions: 4, Deployment: "test"}}

	if report, causes, err := v.Inspect(ctx); err != nil || len(causes) > 0 || !report.New || store.Trusts() {
		t.Fatalf("before: %+v, %q, %v", report, causes, err)
	}
	if report, err := v.Open(ctx, store); err != nil || !report.New || !store.Trusts() {
		t.Fatalf("open: %+v, %v", report, err)
	}
	_, err = db.ExecContext(ctx, `INSERT INTO product_inventories
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
