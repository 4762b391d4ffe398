package outbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"sluice/core/local/servicetest"
	"sluice/core/stock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

func newTopic(t *testing.T, brokers []string, partitions int) *Topic {
	t.Helper()
	return newTopicWith(t, brokers, partitions)
}

// newTopicWith is newTopic with settings.
func newTopicWith(t *testing.T, brokers []string, partitions int, settings ...kafka.ConfigEntry) *Topic {
	t.Helper()
	topic := NewTopic(brokers, t.Name()[len("Test"):][:4]+time.Now().Format("150405.000000"))
	t.Cleanup(topic.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	spec := kafka.TopicConfig{Topic: topic.name, NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: settings}
	create := func() error {
		answer, err := topic.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{spec}})
		if err == nil {
			err = answer.Errors[topic.name]
		}
		if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return err
		}
		return topic.Create(ctx, partitions, 1) // waits until it is there
	}
	err := create()
	for temporary(err) && ctx.Err() == nil { // a Kafka that has just started
		err = create()
	}
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

func TestTopicReadsWhatWasWritten(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
		t.Helper()
		ctx := t.Context()
		topic := newTopic(t, brokers, 3)
		written := []stock.Entry{{Partition: 7, ID: "1-1", Data: []byte("one")}, {Partition: 4, ID: "2-0", Data: []byte("two")}}
		base, err := topic.write(ctx, 1, written)
		if err != nil || base != 0 {
			t.Fatalf("written from offset %d on: %v", base, err)
		}
		want := Read{Messages: []Message{{0, "1-1", []byte("one")}, {1, "2-0", []byte("two")}}, Next: 2, End: 2}
		got, err := topic.Read(ctx, 1, kafka.FirstOffset, 1<<20, time.Second)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("from the first offset: %v\n%s", err, diff)
		}
		want.Messages = want.Messages[1:]
		got, err = topic.Read(ctx, 1, 1, 1<<20, time.Second)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("from the middle of a batch: %v\n%s", err, diff)
		}
		if got, err = topic.Read(ctx, 1, 2, 1<<20, 10*time.Millisecond); err != nil || len(got.Messages) != 0 || got.Next != 2 {
			t.Errorf("at the end: %+v, %v", got, err)
		}
		if _, err = topic.Read(ctx, 1, 9, 1<<20, 10*time.Millisecond); !errors.Is(err, kafka.OffsetOutOfRange) {
			t.Errorf("beyond the end: %v", err)
		}
		ranges, err := topic.Ranges(ctx)
		if diff := cmp.Diff([]Range{{0, 0}, {0, 2}, {0, 0}}, ranges); diff != "" || err != nil {
			t.Errorf("ranges: %v\n%s", err, diff)
		}
		for at, want := range map[time.Time]Range{time.UnixMilli(1): {0, 2}, time.Now().Add(-time.Hour): {0, 2}, time.Now().Add(time.Hour): {2, 2}} {
			if r, err := topic.Since(ctx, 1, at); err != nil || r != want {
				t.Errorf("since %v: %v, %v, want %v", at, r, err, want)
			}
			if all, err := topic.AllSince(ctx, at); err != nil || !slices.Equal(all, []Range{{}, want, {}}) {
				t.Errorf("all since %v: %v, %v, want %v", at, all, err, want)
			}
		}
		unread, err := unreadAtLast(t, topic, "nobody")
		if diff := cmp.Diff([]Range{{0, 0}, {0, 2}, {0, 0}}, unread); diff != "" || err != nil {
			t.Errorf("unread by a group without offsets: %v\n%s", err, diff)
		}
		for offset, want := range map[int64]Range{1: {1, 2}, 2: {2, 2}, 3: {0, 2}} { // the last is of another Kafka
			group := "somebody at " + strconv.FormatInt(offset, 10)
			committed := map[string][]kafka.OffsetCommit{topic.name: {{Partition: 1, Offset: offset}}}
			answer, err := topic.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: group, GenerationID: -1, Topics: committed})
			if err != nil || answer.Topics[topic.name][0].Error != nil {
				t.Fatalf("commit offset %d: %+v, %v", offset, answer, err)
			}
			unread, err := unreadAtLast(t, topic, group)
			if diff := cmp.Diff([]Range{{0, 0}, want, {0, 0}}, unread); diff != "" || err != nil {
				t.Errorf("unread from offset %d on: %v\n%s", offset, err, diff)
			}
		}
	})
}

// unreadAtLast asks until a new Kafka has elected the group's coordinator, which takes a busy machine longer
// than Unread is patient.
func unreadAtLast(t *testing.T, topic *Topic, group string) ([]Range, error) {
	t.Helper()
	unread, err := topic.Unread(t.Context(), group)
	for deadline := time.Now().Add(time.Minute); temporary(err) && time.Now().Before(deadline); {
		unread, err = topic.Unread(t.Context(), group)
	}
	return unread, err
}

func TestCreateTopicTwice(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
		t.Helper()
		topic := newTopic(t, brokers, 2)
		if err := topic.Create(t.Context(), 2, 1); err != nil {
			t.Errorf("a topic that exists: %v", err)
		}
		if err := topic.Create(t.Context(), 3, 1); err == nil {
			t.Error("a topic with another number of partitions passes")
		}
	})
}

// acksOf hears with how many acknowledgements entries are written.
type acksOf struct {
	kafka.RoundTripper
	acks []int16
}

func (a *acksOf) RoundTrip(ctx context.Context, addr net.Addr, request kafka.Request) (kafka.Response, error) {
	if write, ok := request.(*produce.Request); ok {
		a.acks = append(a.acks, write.Acks)
	}
	return a.RoundTripper.RoundTrip(ctx, addr, request)
}

// TestInSyncMin asks for what keeps written entries, and writing possible, when one broker is lost: Kafka answers
// when all replicas in sync have them, which must be two at least of three, and may be one of two.
func TestInSyncMin(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(5))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	for replication, want := range map[int]string{1: "1", 2: "1", 3: "2", 5: "2"} {
		topic := NewTopic(cluster.ListenAddrs(), fmt.Sprintf("events%d", replication))
		t.Cleanup(topic.Close)
		if err := topic.Create(t.Context(), 1, replication); err != nil {
			t.Fatal(err)
		}
		const setting = "min.insync.replicas"
		answer, err := topic.client.DescribeConfigs(t.Context(), &kafka.DescribeConfigsRequest{
			Resources: []kafka.DescribeConfigRequestResource{{
				ResourceType: kafka.ResourceTypeTopic, ResourceName: topic.name, ConfigNames: []string{setting},
			}},
		})
		if err != nil || len(answer.Resources) != 1 || len(answer.Resources[0].ConfigEntries) != 1 {
			t.Fatalf("settings of the topic: %+v, %v", answer, err)
		}
		if got := answer.Resources[0].ConfigEntries[0]; got.ConfigValue != want {
			t.Errorf("with %d replicas %s is %s, want %s", replication, setting, got.ConfigValue, want)
		}

		heard := &acksOf{RoundTripper: topic.client.Transport}
		topic.client.Transport = heard
		_, err = topic.write(t.Context(), 0, []stock.Entry{{ID: "1-1", Data: []byte("one")}})
		if diff := cmp.Diff([]int16{-1}, heard.acks); diff != "" || err != nil { // -1: of all
			t.Errorf("acknowledgements asked for: %v\n%s", err, diff)
		}
	}
}

// createsOf hears what a topic is made with.
type createsOf struct {
	kafka.RoundTripper
	settings map[string]string
}

func (c *createsOf) RoundTrip(ctx context.Context, addr net.Addr, request kafka.Request) (kafka.Response, error) {
	if create, ok := request.(*createtopics.Request); ok {
		for _, entry := range create.Topics[0].Configs {
			c.settings[entry.Name] = entry.Value
		}
	}
	return c.RoundTripper.RoundTrip(ctx, addr, request)
}

// TestTopicIsNotCompacted: a broker that compacts by default would keep one message of each partition.
func TestTopicIsNotCompacted(t *testing.T) {
	t.Parallel()
	topic := NewTopic(servicetest.Broker(t), "events")
	t.Cleanup(topic.Close)
	heard := &createsOf{topic.client.Transport, map[string]string{}}
	topic.client.Transport = heard
	if err := topic.Create(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"cleanup.policy": "delete", "min.insync.replicas": "1"}
	if diff := cmp.Diff(want, heard.settings); diff != "" {
		t.Error(diff)
	}
}

// A Kafka that was never asked for a group has no coordinator for it, and makes one.
func TestUnreadOfTheFirstGroupOfAKafka(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, servicetest.PrivateKafka(t).Addrs, 2)
	got, err := unreadAtLast(t, topic, "persisters")
	if diff := cmp.Diff([]Range{{}, {}}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}
