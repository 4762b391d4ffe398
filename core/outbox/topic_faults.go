package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/segmentio/kafka-go"

	"sluice/core/telemetry"
)

// The least settings of the topic. Events wait in it until a persister has read them. If the topic drops an event
// earlier, and Redis then loses the effect, nothing can show the loss.
const (
	retentionMin      = 24 * time.Hour
	retentionBytesMin = 256 << 20
	messageBytesMin   = 128 << 10   // the largest outbox entry has some 40 KiB
	timestampMin      = time.Minute // far more than clocks may differ
)

// TopicFaults are the words that Condition.Faults can have.
var TopicFaults = []string{"leader", "copies", "min_insync", "retention", "cleanup", "message_bytes", "timestamps", "partitions"}

// People also change topics that are in use.
var topicSettings = []string{"min.insync.replicas", "retention.ms", "retention.bytes", "cleanup.policy", "max.message.bytes"}

// timestampSettings bound how far the time that a writer gives a message may be from that of the broker. Each version of Kafka has
// some of them.
var timestampSettings = []string{"message.timestamp.before.max.ms", "message.timestamp.after.max.ms", "message.timestamp.difference.max.ms"}

// Condition is the state of the topic, as Kafka tells it.
type Condition struct {
	Brokers, Partitions int
	Copies, InSyncMin   int               // InSyncMin 0: Kafka does not tell
	Lagging             int               // number of partitions with copies that lag
	Faults              []telemetry.Fault // faults that can lose events or stop them, with words of TopicFaults
}

// Watch looks at the topic's condition while a process runs. partitions is the number that the settings name.
func (t *Topic) Watch(set *metrics.Set, partitions int, log *slog.Logger) *telemetry.Watch {
	return telemetry.NewWatch(set, "kafka", TopicFaults, func(ctx context.Context) ([]telemetry.Fault, error) {
		c, err := t.Condition(ctx, partitions)
		return c.Faults, err
	}, log)
}

// Condition asks Kafka for the topic's condition. partitions is the number that the settings name. The error wraps
// kafka.UnknownTopicOrPartition if there is no such topic.
func (t *Topic) Condition(ctx context.Context, partitions int) (Condition, error) {
	answer, err := t.metadata(ctx)
	if err != nil {
		return Condition{}, err
	}
	settings, err := t.settings(ctx)
	if err != nil {
		return Condition{}, err
	}
	c := Condition{Brokers: len(answer.Brokers), Partitions: len(answer.Topics[0].Partitions)}
	c.InSyncMin, _ = strconv.Atoi(settings["min.insync.replicas"])
	c.partitions(answer.Topics[0].Partitions)
	c.settings(settings)
	c.number(partitions)
	return c, nil
}

// settings reads the topic's settings that matter. A setting that Kafka does not know is missing from the result.
func (t *Topic) settings(ctx context.Context) (map[string]string, error) {
	answer, err := t.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: t.name, ConfigNames: slices.Concat(topicSettings, timestampSettings),
	}}})
	if err != nil {
		return nil, fmt.Errorf("read settings of topic %s: %w", t.name, InWords(err))
	}
	settings := map[string]string{}
	for _, resource := range answer.Resources {
		for _, entry := range resource.ConfigEntries {
			settings[entry.ConfigName] = entry.ConfigValue
		}
	}
	return settings, nil
}

func (c *Condition) fault(word, found, do string) {
	c.Faults = append(c.Faults, telemetry.Fault{Word: word, Found: found, Do: do})
}

func (c *Condition) partitions(partitions []kafka.Partition) {
	leaderless, few := 0, 0
	for i := range partitions {
		p := &partitions[i]
		c.Copies = max(c.Copies, len(p.Replicas))
		switch {
		case p.Error != nil || p.Leader.Host == "":
			leaderless++
		case len(p.Isr) < c.InSyncMin:
			few++
		case len(p.Isr) < len(p.Replicas):
			c.Lagging++
		}
	}
	if leaderless > 0 {
		c.fault("leader", fmt.Sprintf("%d partitions have no leader", leaderless), "start the brokers that have them")
	}
	if few > 0 {
		c.fault("copies", fmt.Sprintf("%d partitions have fewer copies in sync than min.insync.replicas, %d, and take no events", few, c.InSyncMin), "start the brokers that have them")
	}
	switch {
	case c.InSyncMin == 0:
	case c.InSyncMin < inSyncMin(c.Copies):
		c.fault("min_insync", fmt.Sprintf("min.insync.replicas is %d of %d copies, acks=all can mean one disk", c.InSyncMin, c.Copies), fmt.Sprintf("set it to %d", inSyncMin(c.Copies)))
	case c.InSyncMin >= c.Copies && c.Copies > 1:
		c.fault("min_insync", fmt.Sprintf("min.insync.replicas is %d of %d copies, one broker less stops publishing", c.InSyncMin, c.Copies), fmt.Sprintf("set it to %d", inSyncMin(c.Copies)))
	}
}

// number compares the topic's number of partitions with the number in the settings. If they differ, running processes
// go on with their old number, and no further process starts.
func (c *Condition) number(want int) {
	do := fmt.Sprintf("set --kafka-partitions to %d for edges, persisters and commands, and restart them one by one", c.Partitions)
	switch {
	case c.Partitions > want:
		c.fault("partitions", fmt.Sprintf("the topic has %d partitions, not %d: the others stay empty, and no persister starts any more", c.Partitions, want), do)
	case c.Partitions < want:
		c.fault("partitions", fmt.Sprintf("the topic has %d partitions, not %d: events of the missing ones stay in Redis, and no persister starts any more", c.Partitions, want),
			fmt.Sprintf("have Kafka give it %d partitions again; or %s", want, do))
	}
}

func (c *Condition) settings(settings map[string]string) {
	number := func(name string) int64 {
		n, err := strconv.ParseInt(settings[name], 10, 64)
		if err != nil {
			return -1 // missing, or without a bound
		}
		return n
	}
	if ms := number("retention.ms"); ms >= 0 && ms < retentionMin.Milliseconds() {
		c.fault("retention", fmt.Sprintf("retention.ms is %d, events that wait for persisters are gone after that", ms), fmt.Sprintf("set it to %d or more", retentionMin.Milliseconds()))
	}
	if n := number("retention.bytes"); n >= 0 && n < retentionBytesMin {
		c.fault("retention", fmt.Sprintf("retention.bytes is %d, events that wait for persisters are gone beyond that", n), "set it to -1")
	}
	if policy := settings["cleanup.policy"]; strings.Contains(policy, "compact") {
		c.fault("cleanup", fmt.Sprintf("cleanup.policy is %s, of a partition's events only the last is kept", policy), "set it to delete")
	}
	if n := number("max.message.bytes"); n >= 0 && n < messageBytesMin {
		c.fault("message_bytes", fmt.Sprintf("max.message.bytes is %d, a large vector's events stay in Redis", n), fmt.Sprintf("set it to %d or more", messageBytesMin))
	}
	for _, name := range timestampSettings {
		if ms := number(name); ms >= 0 && ms < timestampMin.Milliseconds() {
			c.fault("timestamps", fmt.Sprintf("%s is %d, Kafka refuses the events of a machine whose clock differs by that", name, ms), fmt.Sprintf("set it to %d or more", timestampMin.Milliseconds()))
		}
	}
}
