package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"

	"sluice/core/outbox"
)

// kafka checks the topic.
func (d *Doctor) kafka(ctx context.Context, e *examination) {
	topic := outbox.NewTopic(d.Kafka.Brokers, d.Kafka.Topic)
	defer topic.Close()
	about := "Kafka topic " + d.Kafka.Topic
	c, err := topic.Condition(ctx, d.Kafka.Partitions)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		e.fail(about, "there is no such topic", "run sluice migrate")
		return
	}
	if err != nil {
		e.fail("Kafka", err.Error(), adviceOn("Kafka", err))
		return
	}
	e.ok("Kafka", "%d brokers", c.Brokers)
	if c.Partitions == d.Kafka.Partitions { // otherwise it is among the faults
		e.ok(about, "%d partitions", c.Partitions)
	}
	e.faults(about, c.Faults)
	if c.Lagging > 0 {
		e.warn(about, fmt.Sprintf("%d partitions have copies that lag", c.Lagging), "see whether all brokers run")
	}
	const more = "on three brokers or more, run it with 3 copies (--kafka-replication)"
	switch {
	case c.InSyncMin == 0:
		e.warn(about, "cannot tell min.insync.replicas", "let the user describe the topic")
	case len(c.Faults) > 0:
	case c.Copies < 2:
		e.warn(about, "one copy only: a lost disk loses what MySQL does not have yet", more)
	case c.InSyncMin < 2:
		e.warn(about, fmt.Sprintf("one of %d copies is enough for an event to count: while the other lags, a lost disk loses what MySQL does not have yet", c.Copies), more)
	default:
		e.ok(about, "%d of %d copies must have an event before it counts", c.InSyncMin, c.Copies)
	}
}
