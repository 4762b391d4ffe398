package persister

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/alecthomas/kong"
	"github.com/redis/rueidis"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/core/config"
	"sluice/core/event"
	"sluice/core/evidence"
	"sluice/core/local"
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
	if _, err := Migrate(t.Context(), w.db, slog.New(slog.DiscardHandler)); err != nil {
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

// settled waits until the ledger has everything and the outbox nothing, and compares all tables.
func (w *world) settled() {
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

// onBoth runs a test on the embedded broker and on a real Kafka.
func onBoth(t *testing.T, test func(t *testing.T, brokers []string)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, servicetest.Broker(t))
	})
	t.Run("kafka", func(t *testing.T) {
		t.Parallel()
		test(t, servicetest.Kafka(t))
	})
}

func TestFromOutboxToMySQL(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, brokers []string) {
		t.Helper()
		w := newWorld(t, brokers, servicetest.MariaDB(t))
		w.happen(300, true)
		n := w.start()
		w.happen(300, true)
		w.settled()
		w.happen(50, false) // their edge died
		w.settled()
		for _, want := range []struct{ path, text string }{
			{"readyz?verbose", `"status":"ok"`},
			{"metrics", fmt.Sprintf("sluice_persister_ledger_rows_total %d\n", len(w.rows))},
			{"metrics", "# TYPE sluice_persister_transaction_seconds histogram\n"},
			{"metrics", "# TYPE sluice_persister_batch_events histogram\n"},
			{"metrics", "sluice_persister_lag_seconds "},
			{"metrics", "sluice_persister_unread_messages "},
			{"metrics", `sluice_persister_dead_letters_total{reason="`},
			{"metrics", "sluice_core_redis_state_info{state=\"open\"} 1\n"},
		} {
			if body := get(t, n, want.path); !strings.Contains(body, want.text) {
				t.Errorf("%s has no %q:\n%s", want.path, want.text, body)
			}
		}
	})
}

// TestPartitionsEndWithoutMessages ends one Kafka partition with the mark of a transaction, and another with
// messages that were deleted before anybody read them. Nothing of either is left to read.
func TestPartitionsEndWithoutMessages(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, brokers []string) {
		t.Helper()
		w := newWorld(t, brokers, servicetest.MariaDB(t))
		topic := outbox.NewTopic(brokers, w.cfg.Kafka.Topic)
		t.Cleanup(topic.Close)
		b := w.history.batch(3)
		w.rows = append(w.rows, rowsOf(b)...)
		n := w.start()
		servicetest.Transact(t, brokers, w.cfg.Kafka.Topic, 0, kgo.TryCommit, event.Append(nil, b))
		unread := func() string {
			ranges, err := topic.Unread(t.Context(), w.cfg.Kafka.Group)
			if err != nil {
				return err.Error()
			}
			left := int64(0)
			for _, r := range ranges {
				left += r.End - r.First
			}
			return fmt.Sprintf("unread %d, lag %d", left, n.meters.unread())
		}
		w.eventually("unread 0, lag 0", unread)
		w.settled()
		if gaps := n.meters.offsetGaps.Get(); gaps != 0 {
			t.Errorf("%d gaps, where only a mark is no message", gaps)
		}

		w.stop(n)
		servicetest.Transact(t, brokers, w.cfg.Kafka.Topic, 1, kgo.TryCommit, []byte("never read"))
		servicetest.DeleteRecords(t, brokers, w.cfg.Kafka.Topic, 1, 2)
		servicetest.DeleteRecords(t, brokers, w.cfg.Kafka.Topic, 0, 1)
		n = w.start()
		w.eventually("unread 0, lag 0", unread)
		w.happen(20, true)
		w.settled()
	})
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

// TestRebalance lets persisters come and go while events flow: every message is applied by somebody, and
// what two of them apply counts once.
func TestRebalance(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, brokers []string) {
		t.Helper()
		w := newWorld(t, brokers, servicetest.MariaDB(t))
		first := w.start()
		w.happen(200, true)
		second := w.start()
		w.happen(200, true)
		w.stop(first)
		w.happen(200, true)
		third := w.start()
		w.happen(200, true)
		w.stop(second)
		w.happen(200, true)
		w.settled()
		w.stop(third)
	})
}

// TestMariaDBDies kills the database several times while events flow, and leaves it down for a while: the
// persister waits, and nothing is lost, skipped or applied twice.
func TestMariaDBDies(t *testing.T) {
	t.Parallel()
	mariadb := servicetest.PrivateMariaDB(t)
	if err := mariadb.CreateDatabase(t.Context(), "sluice"); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, servicetest.Broker(t), mariadb.DSN("sluice"))
	n := w.start()
	for range 3 {
		before := n.meters.batches.Get()
		w.happen(300, true)
		w.eventually("applying", func() string {
			if n.meters.batches.Get() == before {
				return "waiting"
			}
			return "applying"
		})
		if err := mariadb.Kill(); err != nil {
			t.Fatal(err)
		}
		w.happen(300, true)
		if body := get(t, n, "readyz"); !strings.Contains(body, `"name":"mysql","status":"fail"`) {
			t.Errorf("ready without MySQL: %s", body)
		}
		if err := mariadb.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.settled()
}

// TestPoison puts into Kafka what cannot be applied, between what can: it ends in dead_letters, once, and
// stops nothing but the mark of its own cell.
func TestPoison(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, brokers []string) {
		t.Helper()
		w := newWorld(t, brokers, servicetest.MariaDB(t))
		w.happen(50, true)
		n := w.start()
		ledger := func() string { return lines(t, w.db, "SELECT COUNT(*) FROM ledger")[0] }
		w.eventually(strconv.Itoa(len(w.rows)), ledger)
		good := newHistory(1, 1).batch(1)
		good.Events[0].Cell = stock.Cell{SKU: 77}
		// All is in partition 0, which is also what a message that cannot be read could be taken for.
		one := func(change func(*event.Event)) []byte {
			b := event.Batch{TimeMS: good.TimeMS, Events: []event.Event{good.Events[0]}}
			b.Events[0].Mark = stock.Mark{Epoch: 1, Seq: 1}
			b.Events[0].Kind, b.Events[0].Quantity, b.Events[0].Held = event.KindReserve, 1, 1
			b.Events[0].Change = event.Change{}
			change(&b.Events[0])
			return event.Append(nil, b)
		}
		fork := *w.rows[0]
		fork.User++
		unreadable := [][]byte{
			nil,
			[]byte("\x01 no batch of events"),
			append([]byte{event.Version + 1}, one(func(*event.Event) {})[1:]...),
			one(func(*event.Event) {})[:50],
			append(one(func(*event.Event) {}), 0),
			event.Append(nil, event.Batch{TimeMS: timeMaxMS + 1, Events: []event.Event{fork.Event}}),
		}
		poison := slices.Concat(unreadable, [][]byte{
			one(func(e *event.Event) { e.Quantity = 0 }),
			one(func(e *event.Event) { e.Quantity = stock.QuantityMax + 1; e.Held = e.Quantity }),
			one(func(e *event.Event) { e.Held = 0 }),
			one(func(e *event.Event) { e.Avail, e.Held, e.Sold = stock.UnitsMax, 1, 0 }),
			event.Append(nil, event.Batch{TimeMS: fork.timeMS, Events: []event.Event{fork.Event}}),
		})
		var stay []string // entries that a program may come for which can read them
		for i, data := range poison {
			id := w.append(0, data)
			if i < len(unreadable) {
				stay = append(stay, id)
			}
			for _, id := range []string{id, "no id"} { // each arrives twice
				if !w.pub.Publish(stock.Entry{Partition: w.history.rand.IntN(testPartitions), ID: id, Data: data}) {
					t.Fatal("dropped")
				}
			}
		}
		w.happen(50, true)
		// Without an entry, what is of an unknown version is no event: malformed.
		w.eventually("1 fork, 4 inconsistent, 6 malformed, 1 unknown_version", func() string {
			return strings.Join(lines(t, w.db, "SELECT CONCAT(COUNT(*), ' ', reason) FROM dead_letters GROUP BY reason ORDER BY reason"), ", ")
		})
		for n := len(w.rows); !slices.ContainsFunc(w.rows[n:], func(r *row) bool { return r.Cell == fork.Cell }); {
			w.happen(50, true) // until the mark of that cell has something to move to
		}
		w.eventually(strconv.Itoa(len(w.rows)), ledger)
		tablesOf(w.rows).holds(t, w.db)
		w.eventually(strings.Join(stay, ", "), func() string { return strings.Join(w.outbox(), ", ") })

		kept := lines(t, w.db, "SELECT HEX(data) FROM dead_letters")
		for _, data := range poison {
			if !slices.Contains(kept, fmt.Sprintf("%X", data)) {
				t.Errorf("not kept as it came: %X", data)
			}
		}
		frozen := fmt.Sprintf("%d %d %d", fork.Cell.SKU, fork.Cell.Pool, fork.Cell.Bucket)
		w.eventually(frozen, func() string {
			return strings.Join(lines(t, w.db, "SELECT i.sku_id, i.pool, i.bucket FROM product_inventories i LEFT JOIN applied_marks m "+
				"ON m.sku_id = i.sku_id AND m.pool = i.pool AND m.bucket = i.bucket WHERE m.seq IS NULL OR m.seq <> i.seq"), ", ")
		})
		w.stop(n)
	})
}

// TestKafkaLosesEverything replaces Kafka by an empty one while a persister runs, with events on the way.
func TestKafkaLosesEverything(t *testing.T) {
	t.Parallel()
	port, err := local.FreePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	broker, err := local.StartBroker(t.Context(), "", port)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, broker.Addrs, servicetest.MariaDB(t))
	w.start()
	w.happen(300, true)
	w.settled()
	w.happen(50, true) // some of it is published, and lost before it is read
	broker.Stop()
	w.happen(200, true) // waits in memory until there is a Kafka again
	if broker, err = local.StartBroker(t.Context(), "", port); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Stop)
	w.happen(50, true)
	w.settled()
}

// TestTopicIsDeleted deletes the topic under a running persister, which makes it again and asks the relay for
// what was in it.
func TestTopicIsDeleted(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, brokers []string) {
		t.Helper()
		w := newWorld(t, brokers, servicetest.MariaDB(t))
		w.start()
		w.happen(100, true)
		w.settled()
		w.happen(50, true)
		transport := &kafka.Transport{}
		defer transport.CloseIdleConnections()
		client := kafka.Client{Addr: kafka.TCP(brokers...), Timeout: 10 * time.Second, Transport: transport}
		answer, err := client.DeleteTopics(t.Context(), &kafka.DeleteTopicsRequest{Topics: []string{w.cfg.Kafka.Topic}})
		if err == nil {
			err = answer.Errors[w.cfg.Kafka.Topic]
		}
		if err != nil {
			t.Fatal(err)
		}
		w.happen(100, true)
		w.settled()
	})
}

// TestEveryPartitionIsAssigned divides the partitions of a topic that Kafka does not have yet, and of one that
// has others than configured.
func TestEveryPartitionIsAssigned(t *testing.T) {
	t.Parallel()
	var members []kafka.GroupMember
	for _, id := range []string{"a", "b", "c"} {
		members = append(members, kafka.GroupMember{ID: id, Topics: []string{"events"}})
	}
	for _, has := range [][]int{nil, {0, 1, 2}} {
		var partitions []kafka.Partition
		for _, id := range has {
			partitions = append(partitions, kafka.Partition{Topic: "events", ID: id})
		}
		var got []int
		for _, assigned := range (balancer{topic: "events", partitions: 8}).AssignGroups(members, partitions) {
			got = append(got, assigned["events"]...)
		}
		want := has
		if has == nil {
			want = []int{0, 1, 2, 3, 4, 5, 6, 7}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("assigned are %v, want %v", got, want)
		}
	}
}
