package evidence_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"sluice/core/config"
	"sluice/core/event"
	"sluice/core/evidence"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/persister/persistertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

type world struct {
	t       *testing.T
	db      *sql.DB
	brokers []string
	pub     *outbox.Publisher
	// meanwhile is called when MySQL has been asked for its marks and has answered the first.
	meanwhile func()
}

const (
	topic = "events"
	group = "persisters"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, db: persistertest.Database(t), brokers: servicetest.Broker(t)}
	if err := outbox.CreateTopic(t.Context(), w.brokers, topic, 2, 1); err != nil {
		t.Fatal(err)
	}
	pub, err := outbox.NewPublisher(outbox.PublisherConfig{Brokers: w.brokers, Topic: topic, Partitions: 2}, metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	w.pub = pub
	t.Cleanup(func() { _ = w.pub.Close(context.WithoutCancel(t.Context())) })
	return w
}

// inMySQL puts a cell into the stock table.
func (w *world) inMySQL(c stock.Cell, epoch uint32, seq uint64) {
	w.t.Helper()
	_, err := w.db.ExecContext(w.t.Context(), "INSERT INTO product_inventories (sku_id, pool, bucket, total_stock, "+
		"available_stock, reserved_stock, sold_stock, epoch, seq, last_updated) VALUES (?, ?, ?, 1, 1, 0, 0, ?, ?, '2026-01-01')",
		c.SKU, c.Pool, c.Bucket, epoch, seq)
	if err != nil {
		w.t.Fatal(err)
	}
}

// inKafka publishes one event.
func (w *world) inKafka(partition int, c stock.Cell, epoch uint32, seq uint64) {
	w.t.Helper()
	e := event.Event{Kind: event.KindDeduct, User: 1, Quantity: 1, Cell: c, Position: stock.Position{Epoch: epoch, Seq: seq}, Sold: 1}
	w.bytesInKafka(partition, event.Append(nil, event.Batch{Partition: partition, TimeMS: 1, Events: []event.Event{e}}))
}

// impossibleInKafka publishes an event that no script can have made.
func (w *world) impossibleInKafka(partition int, c stock.Cell, epoch uint32, seq uint64) {
	w.t.Helper()
	e := event.Event{Kind: event.KindDeduct, User: 1, Cell: c, Position: stock.Position{Epoch: epoch, Seq: seq}}
	w.bytesInKafka(partition, event.Append(nil, event.Batch{Partition: partition, TimeMS: 1, Events: []event.Event{e}}))
}

func (w *world) bytesInKafka(partition int, data []byte) {
	w.t.Helper()
	w.pub.Publish(stock.Entry{Partition: partition, ID: "1-1", Data: data})
	if err := w.pub.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// commit commits an offset for the persisters' group.
func (w *world) commit(partition int, offset int64) {
	w.t.Helper()
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: group, Brokers: w.brokers, Topics: []string{topic}})
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = g.Close() }() // is always nil
	generation, err := g.Next(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := generation.CommitOffsets(map[string]map[int]int64{topic: {partition: offset}}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) highest() (map[stock.Cell]stock.Position, error) {
	highest := map[stock.Cell]stock.Position{}
	e := evidence.New(w.db, evidence.KafkaTail{Brokers: w.brokers, Topic: topic, Group: group})
	err := e.Highest(w.t.Context(), func(c stock.Cell, m stock.Position) error {
		if w.meanwhile != nil {
			w.meanwhile()
			w.meanwhile = nil
		}
		if highest[c].Less(m) {
			highest[c] = m
		}
		return nil
	})
	return highest, err
}

func (w *world) want(when string, want map[stock.Cell]stock.Position) {
	w.t.Helper()
	got, err := w.highest()
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		w.t.Errorf("%s: %v\n%s", when, err, diff)
	}
}

func TestHighest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, c := stock.Cell{SKU: 1}, stock.Cell{SKU: 2, Pool: 7}, stock.Cell{SKU: 3, Bucket: 1}
	w.want("nothing anywhere", map[stock.Cell]stock.Position{})

	w.inMySQL(a, 2, 5)
	w.inMySQL(b, 1, 9)
	w.inKafka(0, a, 1, 70)
	w.inKafka(0, a, 2, 6)
	w.inKafka(1, b, 1, 8)
	w.inKafka(1, c, 1, 1)
	w.bytesInKafka(0, []byte("\x01 no events"))
	w.inKafka(0, stock.Cell{SKU: 4}, 1, 3)
	w.impossibleInKafka(1, stock.Cell{SKU: 5}, 1, 2)
	all := map[stock.Cell]stock.Position{a: {Epoch: 2, Seq: 6}, b: {Epoch: 1, Seq: 9}, c: {Epoch: 1, Seq: 1}, {SKU: 4}: {Epoch: 1, Seq: 3}, {SKU: 5}: {Epoch: 1, Seq: 2}}
	w.want("no offset committed", all)

	w.commit(0, 2)
	all[a] = stock.Position{Epoch: 2, Seq: 5}
	w.want("the first two of partition 0 committed", all)

	w.commit(0, 99) // of a Kafka that is no more
	all[a] = stock.Position{Epoch: 2, Seq: 6}
	w.want("an offset that Kafka does not have", all)

	servicetest.Transact(t, w.brokers, topic, 1, kgo.TryCommit, []byte("\x02 of another program"))
	w.want("a message that no sluice has written", all)

	w.bytesInKafka(0, append([]byte{event.Version + 1}, " of the next version"...))
	_, err := w.highest()
	if !errors.Is(err, event.ErrVersion) || !strings.Contains(err.Error(), "start a persister") || !strings.Contains(err.Error(), evidence.OnVersion) {
		t.Errorf("a message that cannot be understood: %v", err)
	}
}

// TestPersistedMeanwhile moves an event from Kafka to MySQL while both are read. MySQL's answer lacks it, and Kafka's
// tail would lack it too if its bounds were read afterwards.
func TestPersistedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := stock.Cell{SKU: 1}, stock.Cell{SKU: 2}
	w.inMySQL(a, 1, 1)
	w.inKafka(0, b, 1, 1)
	w.meanwhile = func() {
		w.inMySQL(b, 1, 1)
		w.commit(0, 1)
	}
	w.want("persisted meanwhile", map[stock.Cell]stock.Position{a: {Epoch: 1, Seq: 1}, b: {Epoch: 1, Seq: 1}})
}

// TestTailWithoutMessages ends partitions with the mark of a transaction, which readers wait for in vain, and with
// messages that were deleted.
func TestTailWithoutMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := stock.Cell{SKU: 1}, stock.Cell{SKU: 2}
	e := event.Event{Kind: event.KindDeduct, User: 1, Quantity: 1, Cell: b, Position: stock.Position{Epoch: 1, Seq: 2}, Sold: 1}
	w.inKafka(0, a, 1, 1)
	servicetest.Transact(t, w.brokers, topic, 0, kgo.TryAbort, event.Append(nil, event.Batch{TimeMS: 1, Events: []event.Event{e}}))
	w.inKafka(1, a, 1, 7)
	servicetest.DeleteRecords(t, w.brokers, topic, 1, 1)
	w.want("a mark at the end", map[stock.Cell]stock.Position{a: {Epoch: 1, Seq: 1}, b: {Epoch: 1, Seq: 2}})
	w.commit(0, 2)
	w.want("only the mark is not committed", map[stock.Cell]stock.Position{})
}

// TestKafkaThatGivesNothing has a broker that tells its offsets and gives no messages.
func TestKafkaThatGivesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	w.brokers = cluster.ListenAddrs()
	servicetest.Transact(t, w.brokers, topic, 0, kgo.TryCommit, []byte("\x01"))
	cluster.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		answer := kmsg.NewPtrFetchResponse()
		answer.SetVersion(request.GetVersion())
		p := kmsg.NewFetchResponseTopicPartition()
		p.HighWatermark = 2
		answer.Topics = []kmsg.FetchResponseTopic{{Topic: topic, Partitions: []kmsg.FetchResponseTopicPartition{p}}}
		return answer, nil, true
	})
	highest := evidence.New(w.db, evidence.KafkaTail{Brokers: w.brokers, Topic: topic, Group: group})
	evidence.SetPatience(highest, 300*time.Millisecond)
	err = highest.Highest(t.Context(), func(stock.Cell, stock.Position) error { return nil })
	if named := new(config.ServerError); !errors.As(err, &named) || named.Server != "Kafka" || !strings.Contains(err.Error(), "see the log of its broker") {
		t.Errorf("error is %v, want one that says what to do", err)
	}
}

// TestDeadLettersAreEvidence has events that happened and that only dead_letters has.
func TestDeadLettersAreEvidence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	exec := func(statement string) {
		t.Helper()
		if _, err := w.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	a, b := stock.Cell{SKU: 1}, stock.Cell{SKU: 2, Pool: 7, Bucket: 1}
	w.inMySQL(a, 1, 9)
	exec("INSERT INTO dead_letters (letter_id, reason, detail, sku_id, pool, bucket, epoch, seq, resolved_at, data) VALUES " +
		"(REPEAT('a', 32), 'refused', '', 1, 0, 0, 1, 10, NULL, ''), " +
		"(REPEAT('b', 32), 'inconsistent', '', 2, 7, 1, 2, 3, NULL, ''), " +
		"(REPEAT('c', 32), 'fork', '', 1, 0, 0, 1, 11, NULL, ''), " +
		"(REPEAT('d', 32), 'refused', '', 1, 0, 0, 1, 12, NOW(), ''), " +
		"(REPEAT('e', 32), 'malformed', '', NULL, NULL, NULL, NULL, NULL, NULL, 'x')")
	w.want("dead letters", map[stock.Cell]stock.Position{a: {Epoch: 1, Seq: 10}, b: {Epoch: 2, Seq: 3}})
	forks := func() map[stock.Cell]stock.Position {
		t.Helper()
		found := map[stock.Cell]stock.Position{}
		e := evidence.New(w.db, evidence.KafkaTail{})
		err := e.Forks(t.Context(), func(c stock.Cell, m stock.Position) error {
			found[c] = m
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if diff := cmp.Diff(map[stock.Cell]stock.Position{a: {Epoch: 1, Seq: 11}}, forks()); diff != "" {
		t.Errorf("forks (-want +got):\n%s", diff)
	}

	exec("INSERT INTO dead_letters (letter_id, reason, detail, data) VALUES (REPEAT('f', 32), 'unknown_version', '', x'02')")
	if _, err := w.highest(); !errors.Is(err, event.ErrVersion) || !strings.Contains(err.Error(), "deadletter replay") {
		t.Errorf("a dead letter that cannot be understood: %v", err)
	}
	exec("UPDATE dead_letters SET resolved_at = NOW()")
	w.want("all resolved", map[stock.Cell]stock.Position{a: {Epoch: 1, Seq: 9}})
	if found := forks(); len(found) != 0 {
		t.Errorf("forks are %v after all were resolved", found)
	}
}

// TestTailsThatCannotBeApplied has cells with an event that is a dead letter or has left MySQL for a file. To apply the
// other events without it would undo its effect.
func TestTailsThatCannotBeApplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, statement := range []string{
		"INSERT INTO dead_letters (letter_id, reason, detail, sku_id, pool, bucket, epoch, seq, data) VALUES " +
			"(REPEAT('a', 32), 'refused', '', 1, 0, 0, 1, 10, ''), (REPEAT('b', 32), 'refused', '', 2, 0, 0, 1, 9, '')",
		"INSERT INTO checkpoints (sku_id, pool, bucket, epoch, seq, available_stock, reserved_stock, sold_stock, settings, extend_ms, redis_ms, events, file_id) " +
			"VALUES (3, 0, 0, 1, 10, 1, 0, 0, REPEAT('\\0', 20), 0, 1, 9, 1), (4, 0, 0, 1, 9, 1, 0, 0, REPEAT('\\0', 20), 0, 1, 9, 1)",
	} {
		if _, err := w.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	after, why := map[stock.Cell]stock.Position{}, map[int64]string{}
	for sku := range int64(5) {
		after[stock.Cell{SKU: sku + 1}] = stock.Position{Epoch: 1, Seq: 9}
	}
	e := evidence.New(w.db, evidence.KafkaTail{Brokers: w.brokers, Topic: topic, Group: group})
	err := e.After(t.Context(), after, func(c stock.Cell, tail redisstock.Tail) error {
		why[c.SKU] = tail.Why
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for sku, want := range []string{"sluice deadletter list", "", "sluice restore", "", ""} {
		if got := why[int64(sku)+1]; !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("SKU %d: %q, want %q", sku+1, got, want)
		}
	}
}

func TestHighestNeedsTheTopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.brokers = servicetest.Broker(t)
	if _, err := w.highest(); !errors.Is(err, kafka.UnknownTopicOrPartition) {
		t.Errorf("without the topic: %v", err)
	}
}
