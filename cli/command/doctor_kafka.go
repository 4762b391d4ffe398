package command

import (
	"context"
	"errors"

	"github.com/segmentio/kafka-go"

	"sluice/core/examine"
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
	faults, safe := examine.Copies(&c)
	for _, f := range faults {
		e.warn(about, f.Found, f.Do)
	}
	if safe {
		e.ok(about, "%d of %d copies must have an event before it counts", c.InSyncMin, c.Copies)
	}
}
