package outbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/core/local/servicetest"
	"sluice/core/stock"
)

// readAll reads from an offset on to the end, as all readers of the topic do.
func readAll(t *testing.T, topic *Topic, offset int64, bytesMax int) (messages []string, missing int64) {
	t.Helper()
	for reads := 0; ; reads++ {
		got, err := topic.Read(t.Context(), 0, offset, bytesMax, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range got.Messages {
			messages = append(messages, fmt.Sprintf("%d %s", m.Offset, m.Value))
		}
		missing += got.Missing
		if got.Next == got.End {
			return messages, missing
		}
		if got.Next == offset || reads == 100 {
			t.Fatalf("read %d from offset %d on: next is %d, end %d", reads, offset, got.Next, got.End)
		}
		offset = got.Next
	}
}

// TestReadPassesMarksOfTransactions has marks between messages and at the end. They are no messages, and none is
// missing. A message of an aborted transaction is a message like any other: edges write none, and nobody hides it.
func TestReadPassesMarksOfTransactions(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
		t.Helper()
		topic := newTopic(t, brokers, 1)
		servicetest.Transact(t, brokers, topic.name, 0, kgo.TryCommit, []byte("a"), []byte("b"))
		servicetest.Transact(t, brokers, topic.name, 0, kgo.TryAbort, []byte("c"))
		want := []string{"0 a", "1 b", "3 c"}
		for name, from := range map[string]int64{"first": kafka.FirstOffset, "0": 0} {
			got, missing := readAll(t, topic, from, 1<<20)
			if diff := cmp.Diff(want, got); diff != "" || missing != 0 {
				t.Errorf("from offset %s on, %d missing: %s", name, missing, diff)
			}
		}
		if got, missing := readAll(t, topic, 4, 1<<20); got != nil || missing != 0 {
			t.Errorf("from the mark at the end on: %q, %d missing", got, missing)
		}
	})
}

// TestReadPassesDeletedMessages has a topic whose messages were deleted, some and then all.
func TestReadPassesDeletedMessages(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
		t.Helper()
		topic := newTopic(t, brokers, 1)
		entries := []stock.Entry{{ID: "1-1", Data: []byte("a")}, {ID: "2-1", Data: []byte("b")}, {ID: "3-1", Data: []byte("c")}}
		if _, err := topic.write(t.Context(), 0, entries); err != nil {
			t.Fatal(err)
		}
		for before, want := range [][]string{{"0 a", "1 b", "2 c"}, {"1 b", "2 c"}, {"2 c"}, nil} {
			servicetest.DeleteRecords(t, brokers, topic.name, 0, int64(before))
			got, missing := readAll(t, topic, kafka.FirstOffset, 1<<20)
			if diff := cmp.Diff(want, got); diff != "" || missing != 0 {
				t.Errorf("all before offset %d are deleted, %d missing: %s", before, missing, diff)
			}
		}
	})
}

// TestReadPassesCompactedMessages has a batch whose last messages compaction took away, which Kafka answers with
// wherever they were.
func TestReadPassesCompactedMessages(t *testing.T) {
	t.Parallel()
	topic := newTopicWith(t, servicetest.Kafka(t), 1, kafka.ConfigEntry{ConfigName: "cleanup.policy", ConfigValue: "compact"},
		kafka.ConfigEntry{ConfigName: "segment.ms", ConfigValue: "1"}, kafka.ConfigEntry{ConfigName: "min.cleanable.dirty.ratio", ConfigValue: "0.01"})
	// Of a key, which is the partition, the last message stays; and all of the last segment, which is a batch.
	for _, keys := range [][]int{{1, 2, 2, 2, 2}, {2, 3, 3}, {2}, {2}} {
		var entries []stock.Entry
		for i, key := range keys {
			entries = append(entries, stock.Entry{Partition: key, ID: fmt.Sprintf("%d-1", i), Data: []byte{'a' + byte(key)}})
		}
		if _, err := topic.write(t.Context(), 0, entries); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond) // the next batch makes a segment of its own if its time is another
	}
	want := []string{"0 b", "7 d", "8 c", "9 c"}
	for end := time.Now().Add(time.Minute); ; {
		got, missing := readAll(t, topic, 0, 1)
		diff := cmp.Diff(want, got)
		if diff == "" {
			if missing != 6 {
				t.Errorf("%d messages are missing, want 6", missing)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatalf("not compacted: %s", diff)
		}
	}
	if got, err := topic.Read(t.Context(), 0, 2, 1, time.Second); err != nil || len(got.Messages) != 0 || got.Next < 5 || got.Missing != got.Next-2 {
		t.Errorf("from the middle of what is gone: %+v, %v", got, err)
	}
}

func TestFromOutbox(t *testing.T) {
	t.Parallel()
	f := func(id string, want bool) {
		t.Helper()
		if got := (&Message{Entry: id}).FromOutbox(); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
	f("0-1", true)
	f("1763900000000-0", true)
	f("18446744073709551615-18446744073709551615", true)
	f("18446744073709551616-0", false)
	f("0-99999999999999999999", false)
	f("01-0", false)
	f("1-00", false)
	f("+1-0", false)
	f("1-0-0", false)
	f("1", false)
	f("1-", false)
	f("-1", false)
	f("no id", false)
	f("", false)
}
