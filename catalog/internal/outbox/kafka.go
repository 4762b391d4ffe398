package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	guarded "sluice/core/kafka"
)

const (
	callTimeout = 10 * time.Second
	metadataTTL = 2 * time.Second
	messageMax  = 512 << 10 // bytes of one request to a partition, unless one event has more
	sendsMax    = 16        // partitions that are written to at once

	// A partition that takes nothing is tried again after a while.
	refusalFirst, refusalMax = time.Second, 30 * time.Second
)

// Kafka is a cluster to publish to. Each call is one request with one answer: nothing is sent after its caller has given
// up.
type Kafka struct {
	transport *kafka.Transport
	client    *kafka.Client

	mu       sync.Mutex
	refusals map[string]map[int]refusal // by topic and slot
}

// refusal says until when a partition is left alone, because it took nothing.
type refusal struct {
	pause time.Duration
	until time.Time
}

// NewKafka does not connect yet. The caller closes it.
func NewKafka(brokers []string) *Kafka {
	transport := &kafka.Transport{Dial: guarded.Dial, MetadataTTL: metadataTTL, ClientID: "sluice"}
	return &Kafka{
		transport: transport, client: &kafka.Client{Addr: kafka.TCP(brokers...), Timeout: callTimeout, Transport: transport},
		refusals: map[string]map[int]refusal{},
	}
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

// slots are the partitions of a topic in the order of their numbers, and those of them that refused their events of late. The
// same aggregate has the same slot for as long as their number does not change.
func (k *Kafka) slots(ctx context.Context, topic string) (partitions, refusing []int, err error) {
	partitions, err = k.partitions(ctx, topic)
	if err != nil {
		return nil, nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	for slot, r := range k.refusals[topic] {
		if now.Before(r.until) {
			refusing = append(refusing, slot)
		}
	}
	slices.Sort(refusing)
	return partitions, refusing, nil
}

// saw notes whether a slot took its events. One that did not is left alone for a while, which doubles: its events wait, and
// those of the others go on.
func (k *Kafka) saw(topic string, slot int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		delete(k.refusals[topic], slot)
		return
	}
	if k.refusals[topic] == nil {
		k.refusals[topic] = map[int]refusal{}
	}
	pause := min(max(refusalFirst, 2*k.refusals[topic][slot].pause), refusalMax)
	k.refusals[topic][slot] = refusal{pause: pause, until: time.Now().Add(pause)}
}

// publish sends the events of a topic, each to the partition of its aggregate, and returns the ids of the rows that all
// in-sync replicas have. If a partition fails, its later events are not sent: they stay in order.
func (k *Kafka) publish(ctx context.Context, topic string, partitions []int, rows []row) (taken []any, err error) {
	of := map[int][]row{}
	for _, e := range rows {
		slot := slotOf(e.Aggregate, len(partitions))
		of[slot] = append(of[slot], e)
	}
	var mu sync.Mutex
	var faults []error
	var sending errgroup.Group
	sending.SetLimit(sendsMax)
	for slot, rows := range of {
		sending.Go(func() error {
			sent, err := k.send(ctx, topic, partitions[slot], rows)
			if err == nil || ctx.Err() == nil { // whoever is stopped, or has no time left, was not refused
				k.saw(topic, slot, err)
			}
			mu.Lock()
			defer mu.Unlock()
			taken, faults = append(taken, sent...), append(faults, err)
			return nil
		})
	}
	_ = sending.Wait() // the faults have all of them
	return taken, errors.Join(faults...)
}

// partitions are those of a topic.
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
