package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/segmentio/kafka-go"

	guarded "sluice/core/kafka"
)

const (
	callTimeout = 10 * time.Second
	metadataTTL = 2 * time.Second
	messageMax  = 512 << 10 // bytes of one request to a partition, unless one event has more
)

// Kafka is a cluster to publish to. Each call is one request with one answer: nothing is sent after its caller has given
// up.
type Kafka struct {
	transport *kafka.Transport
	client    *kafka.Client
}

// NewKafka does not connect yet. The caller closes it.
func NewKafka(brokers []string) *Kafka {
	transport := &kafka.Transport{Dial: guarded.Dial, MetadataTTL: metadataTTL, ClientID: "sluice"}
	return &Kafka{transport, &kafka.Client{Addr: kafka.TCP(brokers...), Timeout: callTimeout, Transport: transport}}
}

// Close closes the connections.
func (k *Kafka) Close() { k.transport.CloseIdleConnections() }

// Create makes topics unless they exist. Of three copies or more, two must have an event before it counts as published.
func (k *Kafka) Create(ctx context.Context, topics []string, partitions, replication int) error {
	request := &kafka.CreateTopicsRequest{}
	for _, topic := range topics {
		request.Topics = append(request.Topics, kafka.TopicConfig{
			Topic: topic, NumPartitions: partitions, ReplicationFactor: replication,
			ConfigEntries: []kafka.ConfigEntry{
				{ConfigName: "min.insync.replicas", ConfigValue: strconv.Itoa(1 + min(1, replication/3))},
				{ConfigName: "cleanup.policy", ConfigValue: "delete"}, // compaction would take versions away
			},
		})
	}
	answer, err := k.client.CreateTopics(ctx, request)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for topic, err := range answer.Errors {
		if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", topic, err)
		}
	}
	k.transport.CloseIdleConnections() // they remember that there were no such topics
	return nil
}

// publish sends the events of a topic, each to the partition of its aggregate, and returns the ids of the rows that all
// in-sync replicas have. If a partition fails, its later events are not sent: they stay in order.
func (k *Kafka) publish(ctx context.Context, topic string, rows []row) (taken []any, err error) {
	partitions, err := k.partitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	of := map[int][]row{}
	for _, e := range rows {
		p := kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: []byte(e.Aggregate)}, partitions...)
		of[p] = append(of[p], e)
	}
	var faults []error
	for p, rows := range of {
		sent, err := k.send(ctx, topic, p, rows)
		taken, faults = append(taken, sent...), append(faults, err)
	}
	return taken, errors.Join(faults...)
}

// partitions are those of a topic. The same key goes to the same one for as long as their number does not change.
func (k *Kafka) partitions(ctx context.Context, topic string) ([]int, error) {
	answer, err := k.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err == nil && len(answer.Topics) != 1 {
		err = fmt.Errorf("%d topics in the answer", len(answer.Topics))
	}
	if err == nil {
		err = answer.Topics[0].Error
	}
	if err != nil {
		return nil, fmt.Errorf("look up topic %s: %w", topic, err)
	}
	var all []int
	for _, p := range answer.Topics[0].Partitions {
		all = append(all, p.ID)
	}
	slices.Sort(all)
	if len(all) == 0 {
		return nil, fmt.Errorf("topic %s has no partition", topic)
	}
	return all, nil
}

// send sends the events of one partition in their order, by requests that Kafka takes.
func (k *Kafka) send(ctx context.Context, topic string, partition int, rows []row) (taken []any, err error) {
	for len(rows) > 0 {
		var records []kafka.Record
		bytes := 0
		for _, e := range rows {
			message, err := json.Marshal(e.Event)
			if err != nil {
				return taken, fmt.Errorf("write event %v: %w", e.ID, err)
			}
			if bytes += len(message); bytes > messageMax && len(records) > 0 {
				break
			}
			records = append(records, kafka.Record{Key: kafka.NewBytes([]byte(e.Aggregate)), Value: kafka.NewBytes(message), Time: e.At})
		}
		answer, err := k.client.Produce(ctx, &kafka.ProduceRequest{
			Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...),
		})
		if err == nil {
			err = answer.Error
		}
		if err != nil {
			return taken, fmt.Errorf("write to partition %d of topic %s: %w", partition, topic, err)
		}
		for _, e := range rows[:len(records)] {
			taken = append(taken, e.id)
		}
		rows = rows[len(records):]
	}
	return taken, nil
}
