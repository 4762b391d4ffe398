package persister

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/alecthomas/kong"
	"github.com/redis/rueidis"

	"sluice/core/config"
	"sluice/core/event"
	"sluice/core/evidence"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
)

// world is a deployment without edges.
type world struct {
	t       *testing.T
	cfg     Config
	db      *sql.DB
	redis   rueidis.Client
	pub     *outbox.Publisher
	history *history
	rows    []*row // everything that ever happened
	nodes   map[*Node]bool
}

// newWorld runs on brokers, and on a database with the schema.
func newWorld(t *testing.T, brokers []string, dsn string) *world {
	t.Helper()
	w := &world{t: t, nodes: map[*Node]bool{}, db: openDatabase(t, dsn), history: newHistory(uint64(time.Now().UnixNano()), 20)}
	t.Logf("seed %d", w.history.seed)
	if _, err := Schema().Migrate(t.Context(), w.db, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	w.cfg.MySQL.DSN = config.Secret(dsn)
	parser, err := kong.New(&w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("t%d", w.history.seed)
	_, err = parser.Parse([]string{
		"--redis-addr=" + servicetest.Redis(t).Addr, "--ops-listen=127.0.0.1:0",
		"--kafka-brokers=" + strings.Join(brokers, ","), "--kafka-topic=" + name, "--kafka-group=" + name,
	})
	if err != nil {
		t.Fatal(err)
	}
	if w.redis, err = w.cfg.Redis.Client(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.redis.Close)
	_, err = redisstock.Open(t.Context(), w.redis, redisstock.OpenConfig{ // as an edge does
		Partitions: w.cfg.Stock.Partitions, Deployment: w.cfg.Stock.Deployment, Evidence: redistest.NoEvidence{},
		Nonces: evidence.NewNonces(w.db), AllowNoPersistence: true, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := outbox.CreateTopic(t.Context(), brokers, name, w.cfg.Kafka.Partitions, 1); err != nil {
		t.Fatal(err)
	}
	w.pub, err = outbox.NewPublisher(outbox.PublisherConfig{
		Brokers: brokers, Topic: name, Partitions: w.cfg.Kafka.Partitions, DeliveryTimeout: patience,
		Log: slog.New(slog.DiscardHandler),
	}, metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.pub.Close(context.WithoutCancel(t.Context())) })
	return w
}

// start starts a persister, and ends it with the test unless the test has done so.
func (w *world) start() *Node {
	w.t.Helper()
	w.vetted()
	n, err := Start(w.t.Context(), w.cfg, slog.New(slog.NewTextHandler(w.t.Output(), nil)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.nodes[n] = true
	w.t.Cleanup(func() { w.stop(n) })
	return n
}

// vetted gives the data in Redis the marks of a vetting, unless they have some. Redis stays shut: it has no scripts.
func (w *world) vetted() {
	w.t.Helper()
	if lines(w.t, w.db, "SELECT COUNT(*) FROM redis_vettings")[0] != "0" {
		return
	}
	for p := range testPartitions {
		const mark = "\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00" // nonce 7, no effects
		set := w.redis.B().Set().Key("{p" + strconv.Itoa(p) + "}:mark").Value(mark).Build()
		if err := w.redis.Do(w.t.Context(), set).Error(); err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.db.ExecContext(w.t.Context(), "INSERT INTO redis_vettings (partition_id, nonce) VALUES (?, 7)", p); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) stop(n *Node) {
	w.t.Helper()
	if !w.nodes[n] {
		return
	}
	w.nodes[n] = false
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		w.t.Error(err)
	}
}

// happen lets vectors happen: each is an outbox entry in Redis, and published by its edge, or left to the
// relay.
func (w *world) happen(vectors int, published bool) {
	w.t.Helper()
	for range vectors {
		b := w.history.batch(1 + w.history.rand.IntN(20))
		w.rows = append(w.rows, rowsOf(b)...)
		data := event.Append(nil, b)
		id := w.append(b.Partition, data)
		if published && !w.pub.Publish(stock.Entry{Partition: b.Partition, ID: id, Data: data}) {
			w.t.Fatal("dropped")
		}
	}
}

// append appends an entry to the outbox.
func (w *world) append(partition int, data []byte) (id string) {
	w.t.Helper()
	add := w.redis.B().Xadd().Key(outboxKey(partition)).Id("*").FieldValue().FieldValue("e", rueidis.BinaryString(data)).Build()
	id, err := w.redis.Do(w.t.Context(), add).ToString()
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func outboxKey(partition int) string { return "{p" + strconv.Itoa(partition) + "}:outbox" }

// atRest waits until the ledger has everything and the outbox nothing, and compares all tables.
func (w *world) atRest() {
	w.t.Helper()
	want := fmt.Sprintf("ledger has %d rows, outbox 0 entries", len(w.rows))
	w.eventually(want, func() string {
		entries := int64(0)
		for p := range testPartitions {
			n, err := w.redis.Do(w.t.Context(), w.redis.B().Xlen().Key(outboxKey(p)).Build()).AsInt64()
			if err != nil {
				return err.Error()
			}
			entries += n
		}
		var rows int
		if err := w.db.QueryRowContext(w.t.Context(), "SELECT COUNT(*) FROM ledger").Scan(&rows); err != nil {
			return err.Error()
		}
		return fmt.Sprintf("ledger has %d rows, outbox %d entries", rows, entries)
	})
	tablesOf(w.rows).holds(w.t, w.db)
	if letters := lines(w.t, w.db, allLetters); len(letters) > 0 {
		w.t.Errorf("dead letters: %q", letters)
	}
}

// outbox are the ids of all its entries.
func (w *world) outbox() (ids []string) {
	w.t.Helper()
	for p := range testPartitions {
		entries, err := w.redis.Do(w.t.Context(), w.redis.B().Xrange().Key(outboxKey(p)).Start("-").End("+").Build()).AsXRange()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range entries {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// patience is how long a wait may take before it counts as a failure, on a machine that others use too.
const patience = 90 * time.Second

// eventually polls until it sees what is wanted.
func (w *world) eventually(want string, look func() string) {
	w.t.Helper()
	var got string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got = look(); got == want {
			return
		}
	}
	w.t.Fatalf("after %v: %s, want: %s", patience, got, want)
}

func get(t *testing.T, n *Node, path string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.OpsAddr()+"/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return string(body)
}
