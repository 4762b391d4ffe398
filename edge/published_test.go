package edge

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"

	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
	"sluice/edge/cells"
	"sluice/edge/localstore"
)

// newStore is a store of partitions of a Redis of the test's own.
func newStore(t *testing.T, partitions int) *redisstock.Store {
	t.Helper()
	client, err := (&redis.Config{Addrs: []string{servicetest.Redis(t).Addr}}).Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	store, err := redisstock.New(client, redisstock.Config{Partitions: partitions, CallTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	redistest.Open(t, client, partitions, store)
	return store
}

// TestPublishedFromMemory changes stock past the batcher, as a transfer does: without a relay Kafka has the event, and
// without another call of Redis the edge knows the cell.
func TestPublishedFromMemory(t *testing.T) {
	t.Parallel()
	store, brokers, set := newStore(t, 4), servicetest.Broker(t), metrics.NewSet()
	if err := outbox.CreateTopic(t.Context(), brokers, "events", 4, 1); err != nil {
		t.Fatal(err)
	}
	publisher, err := outbox.NewPublisher(outbox.PublisherConfig{Brokers: brokers, Topic: "events", Partitions: 4}, set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = publisher.Close(context.WithoutCancel(t.Context())) }) // Flush tells
	known := cells.New(store, cells.Config{}, set)
	t.Cleanup(known.Close)

	cell := stock.Cell{SKU: 1}
	load := &stock.Adjustment{Kind: stock.AdjustPlain, Create: true, Delta: 5, Reason: "test", Settings: stock.Settings{Hold: stock.HoldDefault}}
	request := stock.Request{ID: stock.Identity{Route: stock.OpAdjust, Cell: cell, Key: "a"}.ID(4), Cell: cell, Fingerprint: load.Fingerprint(), Adjustment: load}
	p := published{Store: store, publisher: publisher, cells: known}
	if d := stock.DoAll(t.Context(), p, stock.OpAdjust, []stock.Request{request})[0]; d.Err != nil || d.Verdict != stock.VerdictOK {
		t.Fatalf("%v, %v", d.Verdict, d.Err)
	}
	if err := publisher.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	topic := outbox.NewTopic(brokers, "events")
	defer topic.Close()
	ranges, err := topic.Ranges(t.Context())
	if at := cell.Partition(4); err != nil || ranges[at].End != 1 {
		t.Errorf("Kafka has %v of partition %d, error %v", ranges, at, err)
	}
	state, _, err := known.State(t.Context(), cell, time.Hour)
	if read := set.GetOrCreateCounter(`sluice_edge_cache_reads_total{from="store"}`).Get(); err != nil || state.Avail != 5 || read != 0 {
		t.Errorf("%d are available, asked Redis %d times, error %v", state.Avail, read, err)
	}
}

// TestMarksOfOthersAreIgnored starts with what an edge of another deployment, or with other partitions, has kept.
func TestMarksOfOthersAreIgnored(t *testing.T) {
	t.Parallel()
	local, err := localstore.Open(t.TempDir()+"/edge.db", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = local.Close() })
	log := slog.New(slog.DiscardHandler)
	newMarkKeeper(newStore(t, 4), local, &redistest.Nonces{}, "shop", log).keep()
	for _, c := range []struct {
		deployment string
		partitions int
		resumes    bool
	}{{"shop", 4, true}, {"other", 4, false}, {"shop", 8, false}} {
		client, err := (&redis.Config{Addrs: []string{servicetest.Redis(t).Addr}}).Client()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		store, err := redisstock.New(client, redisstock.Config{Partitions: c.partitions})
		if err != nil {
			t.Fatal(err)
		}
		newMarkKeeper(store, local, &redistest.Nonces{}, c.deployment, log)
		for p, mark := range store.Marks() {
			if (mark.Nonce != 0) != c.resumes {
				t.Errorf("%s of %d partitions: partition %d trusts %+v", c.deployment, c.partitions, p, mark)
			}
		}
	}
}

// listener is told marks, or does not hear them.
type listener struct {
	redistest.Nonces

	heard [][]stock.Mark
	deaf  error
}

func (l *listener) Saw(_ context.Context, seen []stock.Mark) error {
	if l.deaf == nil {
		l.heard = append(l.heard, seen)
	}
	return l.deaf
}

// TestMarksAreTold tells MySQL each mark once, again if it was not heard, and says once that it is not.
func TestMarksAreTold(t *testing.T) {
	t.Parallel()
	local, err := localstore.Open(t.TempDir()+"/edge.db", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = local.Close() })
	var said bytes.Buffer
	store, mysql := newStore(t, 2), &listener{deaf: errors.New("mysql is away")}
	k := newMarkKeeper(store, local, mysql, "shop", slog.New(slog.NewTextHandler(&said, nil)))
	for range 2 {
		k.tell(t.Context())
	}
	mysql.deaf = nil
	for range 2 {
		k.tell(t.Context())
	}
	if strings.Count(said.String(), "mysql is away") != 1 {
		t.Errorf("said: %s", said.String())
	}
	marks := store.Marks()
	want := [][]stock.Mark{{marks[0], marks[1]}}
	if diff := cmp.Diff(want, mysql.heard); diff != "" || marks[0].Nonce == 0 {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
}
