package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/redis/rueidis"

	"sluice/core/local/servicetest"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
)

// TestRelayOnRedis relays from a real Redis through a Kafka that loses everything on the way.
func TestRelayOnRedis(t *testing.T) {
	t.Parallel()
	const partitions, entries = 4, 1000
	client, err := rueidis.NewClient(redis.Options([]string{servicetest.Redis(t).Addr}, "", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	store, err := redisstock.New(client, redisstock.Config{Partitions: partitions, CallTimeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	redistest.Open(t, client, partitions, store)
	for i := range entries {
		add := client.B().Xadd().Key(fmt.Sprintf("{p%d}:outbox", i%partitions)).Id("*").FieldValue().FieldValue("e", strconv.Itoa(i)).Build()
		if err := client.Do(t.Context(), add).Error(); err != nil {
			t.Fatal(err)
		}
	}

	port := freePort(t)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	topic := NewTopic([]string{addr}, "events")
	defer topic.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var relays sync.WaitGroup
	for range 2 {
		pub, _ := newPublisher(t, PublisherConfig{Brokers: []string{addr}, Topic: "events", Partitions: 2})
		relay := NewRelay(RelayConfig{
			Store: store, Publisher: pub, Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
			Unread: func(ctx context.Context) ([]Range, error) { return topic.Unread(ctx, "persisters") },
			Every:  500 * time.Millisecond, Age: 200 * time.Millisecond, Again: 500 * time.Millisecond,
		})
		relays.Go(func() { relay.Run(ctx) })
	}
	for life := range 2 {
		broker := startBroker(t, port)
		if err := CreateTopic(t.Context(), broker.Addrs, "events", 2, 1); err != nil {
			t.Fatal(err)
		}
		var have int64
		for end := time.Now().Add(60 * time.Second); have < entries && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			have = messages(t, topic)
		}
		time.Sleep(2 * time.Second)     // in which nothing more may come: the persisters have it all unread
		most := int64(2+life) * entries // the second Kafka is empty, and both relays notice
		if have = messages(t, topic); have < entries || have > most {
			t.Errorf("in life %d Kafka got %d messages, want %d to %d", life+1, have, entries, most)
		}
		broker.Stop()
	}
	cancel()
	relays.Wait()
}

// TestRelayLeavesOtherDataAlone exchanges the data of a Redis for those of another deployment: nothing of its outbox is
// published before this process trusts them.
func TestRelayLeavesOtherDataAlone(t *testing.T) {
	t.Parallel()
	client, err := rueidis.NewClient(redis.Options([]string{servicetest.Redis(t).Addr}, "", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	store, err := redisstock.New(client, redisstock.Config{Partitions: 1, CallTimeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	redistest.Open(t, client, 1, store)
	topic := newTopic(t, servicetest.Broker(t), 1)
	pub, _ := newPublisher(t, PublisherConfig{Brokers: []string{topic.client.Addr.String()}, Topic: topic.name, Partitions: 1})
	relay := NewRelay(RelayConfig{
		Store: store, Publisher: pub, Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
		Unread: func(ctx context.Context) ([]Range, error) { return topic.Unread(ctx, "persisters") },
	})
	now := time.Now()
	relay.now = func() time.Time { return now }
	look := func(want int64) {
		t.Helper()
		for range 2 {
			now = now.Add(time.Minute)
			if err := relay.look(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if got := messages(t, topic); got != want {
			t.Errorf("kafka has %d messages, want %d", got, want)
		}
	}
	const other = "\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x01" // nonce 7, 1 effect
	for _, command := range [][]string{
		{"FLUSHALL"}, {"SET", "{p0}:mark", other}, {"XADD", "{p0}:outbox", "1-1", "e", "of another deployment"},
	} {
		if err := client.Do(t.Context(), client.B().Arbitrary(command...).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	look(0)
	store.Resume([]stock.Mark{{Nonce: 7}})
	look(1)
}

func messages(t *testing.T, topic *Topic) (sum int64) {
	t.Helper()
	ranges, err := topic.Ranges(t.Context())
	if err != nil {
		return 0 // not up yet
	}
	for _, r := range ranges {
		sum += r.End
	}
	return sum
}
