package evidence

import (
	"context"
	"time"

	"sluice/core/config"
	"sluice/core/event"
	"sluice/core/outbox"
)

// keptEarlier is how much earlier than a moment of Redis Kept begins to read: who writes messages has a clock of its own.
const keptEarlier = 10 * time.Minute

// Kept yields the batches that Kafka keeps, persisted or not, each with its message, of all partitions of the topic that may have
// those of a partition of the stock, and with them those of others. It reads first where they are written now. In each partition
// it begins with those that were written at about a time of Redis. It leaves out messages that are no batch of events, or of a
// version that this program does not know.
func (e *Evidence) Kept(ctx context.Context, stockPartition int, sinceMS int64, yield func(*outbox.Message, *event.Batch) error) error {
	topic := outbox.NewTopic(e.tail.Brokers, e.tail.Topic)
	defer topic.Close()
	partitions, err := topic.Partitions(ctx)
	if err != nil {
		return &config.ServerError{Server: "Kafka", Err: err}
	}
	for _, partition := range outbox.PartitionsOf(stockPartition, partitions) {
		kept, err := topic.Since(ctx, partition, time.UnixMilli(max(1, sinceMS-keptEarlier.Milliseconds())))
		if err != nil {
			return &config.ServerError{Server: "Kafka", Err: err}
		}
		err = e.messages(ctx, topic, partition, kept, func(m *outbox.Message) error {
			b, err := event.Decode(m.Value)
			if err != nil || !m.FromOutbox() {
				return nil //nolint:nilerr // a dead letter
			}
			return yield(m, &b)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
