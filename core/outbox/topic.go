package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	guarded "sluice/core/kafka"
	"sluice/core/stock"
)

const (
	// callTimeout bounds one request to Kafka. The client gives the broker half of it, so that the broker's answer
	// arrives in time.
	callTimeout = 10 * time.Second
	// metadataTTL bounds how long requests go to a broker that no longer leads a partition.
	metadataTTL = 2 * time.Second
	// entryHeader carries the id of the message's outbox entry.
	entryHeader = "entry"
)

// ErrPartitions means that the number of the topic's partitions differs from the number in the settings.
var ErrPartitions = errors.New("wrong number of partitions")

// Topic is the Kafka topic that events travel through, one outbox entry per message. It is safe for
// concurrent use.
//
// It does not use the library's Writer and Reader. Each call is one request with one answer. So it sends nothing
// after its caller has given up, queues nothing without bound, and skips nothing silently.
type Topic struct {
	brokers   []string
	name      string
	transport *kafka.Transport
	client    *kafka.Client
	astray    astray
}

// NewTopic does not connect yet. The caller closes the topic.
func NewTopic(brokers []string, name string) *Topic {
	transport := newTransport(name)
	client := &kafka.Client{Addr: kafka.TCP(brokers...), Timeout: callTimeout, Transport: transport}
	return &Topic{brokers: brokers, name: name, transport: transport, client: client}
}

func newTransport(topic string) *kafka.Transport {
	return &kafka.Transport{Dial: guarded.Dial, MetadataTTL: metadataTTL, MetadataTopics: []string{topic}, ClientID: "sluice"}
}

// Close closes the connections.
func (t *Topic) Close() { t.transport.CloseIdleConnections() }

// inSyncMin returns how many of a topic's copies must have a message before it counts as written. It is two, unless
// the loss of one broker would then stop all writing.
func inSyncMin(copies int) int { return max(1, min(2, copies-1)) }

// Create makes the topic unless it exists. It fails if the topic exists with another number of partitions.
func (t *Topic) Create(ctx context.Context, partitions, replication int) error {
	spec := kafka.TopicConfig{Topic: t.name, NumPartitions: partitions, ReplicationFactor: replication}
	spec.ConfigEntries = []kafka.ConfigEntry{
		{ConfigName: "min.insync.replicas", ConfigValue: strconv.Itoa(inSyncMin(replication))},
		{ConfigName: "cleanup.policy", ConfigValue: "delete"}, // compaction would keep only one message per partition, because the key is the partition
	}
	// A client that has reached no broker would say that Kafka has none, and not why.
	if _, err := t.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{t.name}}); err != nil {
		return fmt.Errorf("create topic %s: %w", t.name, InWords(err))
	}
	answer, err := t.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{spec}})
	if err == nil {
		err = answer.Errors[t.name]
	}
	if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", t.name, InWords(err))
	}
	// Brokers learn of a new topic a moment later.
	return t.patiently(ctx, func() error { return t.Check(ctx, partitions) })
}

// Check fails if the topic does not exist, cannot be reached, or has another number of partitions.
func (t *Topic) Check(ctx context.Context, partitions int) error {
	have, err := t.Ranges(ctx)
	if err == nil && len(have) != partitions {
		return fmt.Errorf("topic %s: %w: it has %d, not %d: set --kafka-partitions to what it has", t.name, ErrPartitions, len(have), partitions)
	}
	return err
}

// patiently repeats a call for about five seconds, as long as Kafka answers that another try may help: it is just
// making a topic, or choosing or loading a group's coordinator.
func (t *Topic) patiently(ctx context.Context, call func() error) error {
	err := call()
	for wait := 10 * time.Millisecond; temporary(err) && wait < 4*time.Second; wait *= 2 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
		t.transport.CloseIdleConnections() // an open connection would keep the old answer for a while
		err = call()
	}
	return err
}

// temporary reports whether err is an answer of Kafka that another try may change.
func temporary(err error) bool {
	var answer kafka.Error
	return errors.As(err, &answer) && answer.Temporary()
}

// CreateTopic is Create for callers that need nothing else of the topic.
func CreateTopic(ctx context.Context, brokers []string, name string, partitions, replication int) error {
	t := NewTopic(brokers, name)
	defer t.Close()
	return t.Create(ctx, partitions, replication)
}

// Partitions is the number of partitions that the topic has. The error wraps
// kafka.UnknownTopicOrPartition if there is no such topic.
func (t *Topic) Partitions(ctx context.Context) (int, error) {
	answer, err := t.metadata(ctx)
	if err != nil {
		return 0, err
	}
	return len(answer.Topics[0].Partitions), nil
}

// PartitionsOf returns the partitions of a topic that may have entries of a partition of the stock. The first is where they go
// now. People give a topic more partitions, so the others are where entries went while it had fewer: they stay there, and
// processes write there until they are restarted with the new number.
func PartitionsOf(stockPartition, partitions int) []int {
	var found []int
	for n := partitions; n > 0; n-- {
		if p := stockPartition % n; !slices.Contains(found, p) {
			found = append(found, p)
		}
	}
	return found
}

// metadata asks Kafka for its brokers and for the topic, which is the only one in the answer.
func (t *Topic) metadata(ctx context.Context) (*kafka.MetadataResponse, error) {
	answer, err := t.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{t.name}})
	if err == nil && len(answer.Topics) != 1 {
		err = fmt.Errorf("%d topics in the answer", len(answer.Topics))
	}
	if err == nil {
		err = answer.Topics[0].Error
	}
	if err != nil {
		return nil, fmt.Errorf("look up topic %s: %w", t.name, InWords(err))
	}
	return answer, nil
}

// write sends entries to one Kafka partition and returns when all in-sync replicas have them, with the
// offset of the first. After an error some may have been written.
func (t *Topic) write(ctx context.Context, partition int, entries []stock.Entry) (base int64, err error) {
	records := make([]kafka.Record, len(entries))
	for i, e := range entries {
		records[i] = kafka.Record{
			Key:     kafka.NewBytes(strconv.AppendInt(nil, int64(e.Partition), 10)),
			Value:   kafka.NewBytes(e.Data),
			Headers: []kafka.Header{{Key: entryHeader, Value: []byte(e.ID)}},
		}
	}
	answer, err := t.client.Produce(ctx, &kafka.ProduceRequest{
		Topic:        t.name,
		Partition:    partition,
		RequiredAcks: kafka.RequireAll,
		Records:      kafka.NewRecordReader(records...),
	})
	if err == nil {
		err = answer.Error
	}
	t.saw(partition, err)
	if err != nil {
		return 0, fmt.Errorf("write to partition %d of topic %s: %w", partition, t.name, InWords(err))
	}
	return answer.BaseOffset, nil
}

// Deliver sends entries of one partition's outbox to Kafka and returns when all in-sync replicas have them. After an error some
// may have been written; sending them again does no harm.
func (t *Topic) Deliver(ctx context.Context, entries []stock.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	partitions, err := t.Partitions(ctx)
	for len(entries) > 0 && err == nil {
		n, bytes := 0, 0
		for n < len(entries) && (n == 0 || bytes+len(entries[n].Data)+entryOverhead <= writeBytesMax) {
			bytes += len(entries[n].Data) + entryOverhead
			n++
		}
		_, err = t.write(ctx, entries[0].Partition%partitions, entries[:n])
		entries = entries[n:]
	}
	return err
}
