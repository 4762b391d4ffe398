package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

	guarded "sluice/core/kafka"
	"sluice/core/lifecycle"
)

const (
	heartbeatInterval = time.Second
	sessionTimeout    = 10 * time.Second // after which the group replaces a member that was killed
	rebalanceTimeout  = 10 * time.Second
	dialTimeout       = 3 * time.Second
	joinBackoff       = 300 * time.Millisecond
	watchEvery        = 5 * time.Second
	// GenerationEvery is how often a member begins a generation at most: one that ends at once is followed by another.
	GenerationEvery = time.Second
)

// Group says which partitions of a topic a process reads: its members share them. A group that has committed nothing begins with
// the first message.
type Group struct {
	Brokers   []string
	Topic     string
	ID        string
	Balancers []kafka.GroupBalancer // none: those of the library
}

// Run is a member of the group until ctx ends. It has consume read the partitions of one generation after another: consume returns
// when its context ends, or to have the partitions divided anew. The error is about the settings.
func (g Group) Run(ctx context.Context, log *slog.Logger, consume func(ctx context.Context, generation *kafka.Generation), joined func(error)) error {
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                     g.ID,
		Brokers:                g.Brokers,
		Dialer:                 &kafka.Dialer{DialFunc: guarded.Dial, Timeout: dialTimeout},
		Topics:                 []string{g.Topic},
		GroupBalancers:         g.Balancers,
		StartOffset:            kafka.FirstOffset,
		HeartbeatInterval:      heartbeatInterval,
		SessionTimeout:         sessionTimeout,
		RebalanceTimeout:       rebalanceTimeout,
		JoinGroupBackoff:       joinBackoff,
		WatchPartitionChanges:  true,
		PartitionWatchInterval: watchEvery,
	})
	if err != nil {
		return fmt.Errorf("configure consumer group: %w", err)
	}
	trouble := lifecycle.NewTrouble(log, "join the consumer group "+g.ID)
	for {
		generation, err := group.Next(ctx)
		if ctx.Err() != nil {
			return group.Close() // is always nil
		}
		trouble.Saw(InWords(err))
		joined(err)
		if err != nil {
			continue // the group has a pause of its own
		}
		done, least := make(chan struct{}), time.After(GenerationEvery)
		generation.Start(func(ended context.Context) {
			defer close(done)
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(ended, cancel)()
			consume(ctx, generation)
		})
		<-done
		select {
		case <-least:
		case <-ctx.Done():
		}
	}
}
