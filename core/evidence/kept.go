package evidence

import (
	"context"

	"sluice/core/config"
	"sluice/core/event"
	"sluice/core/outbox"
)

// Kept yields all batches that Kafka keeps of the topic's partition that has a partition of the stock, persisted or not, each with
// its message. It leaves out messages that are no batch of events, or of a version that this program does not know.
func (e *Evidence) Kept(ctx context.Context, stockPartition int, yield func(*outbox.Message, *event.Batch) error) error {
	topic := outbox.NewTopic(e.tail.Brokers, e.tail.Topic)
	defer topic.Close()
	ranges, err := topic.Ranges(ctx)
	if err != nil {
		return &config.ServerError{Server: "Kafka", Err: err}
	}
	partition := stockPartition % len(ranges)
	return e.messages(ctx, topic, partition, ranges[partition], func(m *outbox.Message) error {
		b, err := event.Decode(m.Value)
		if err != nil || !m.FromOutbox() {
			return nil //nolint:nilerr // a dead letter
		}
		return yield(m, &b)
	})
}
