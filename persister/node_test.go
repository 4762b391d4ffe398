package persister

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/core/event"
	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/stock"
)

func TestFromOutboxToMySQL(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
		t.Helper()
		w := newWorld(t, brokers, servicetest.MariaDB(t))
		w.happen(300, true)
		n := w.start()
		w.happen(300, true)
		w.atRest()
		w.happen(50, false) // their edge died
		w.atRest()
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
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
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
		w.atRest()
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
		w.atRest()
	})
}

// TestRebalance lets persisters come and go while events flow. Some persister applies every message, and a message that
// two of them apply counts once.
func TestRebalance(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
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
		w.atRest()
		w.stop(third)
	})
}

// TestMariaDBDies kills the database several times while events flow, and leaves it down for a while: the
// persister waits, and nothing is lost, skipped or applied twice.
func TestMariaDBDies(t *testing.T) {
	t.Parallel()
	mariadb, dsn := servicetest.PrivateDatabase(t)
	w := newWorld(t, servicetest.Broker(t), dsn)
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
	w.atRest()
}

// TestPoison puts into Kafka what cannot be applied, between what can: it ends in dead_letters, once, and
// stops nothing but the mark of its own cell.
func TestPoison(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
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
			b.Events[0].Position = stock.Position{Epoch: 1, Seq: 1}
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
			event.Append(nil, event.Batch{TimeMS: sqlTimeMaxMS + 1, Events: []event.Event{fork.Event}}),
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
	w.atRest()
	w.happen(50, true) // some of it is published, and lost before it is read
	broker.Stop()
	w.happen(200, true) // waits in memory until there is a Kafka again
	if broker, err = local.StartBroker(t.Context(), "", port); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Stop)
	w.happen(50, true)
	w.atRest()
}

// TestTopicIsDeleted deletes the topic under a running persister, which makes it again and asks the relay for
// what was in it.
func TestTopicIsDeleted(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
		t.Helper()
		w := newWorld(t, brokers, servicetest.MariaDB(t))
		w.start()
		w.happen(100, true)
		w.atRest()
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
		w.atRest()
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
