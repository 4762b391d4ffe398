// Package stockfeed reads the events of stock from Kafka for a package of the shop. Each reader is a group of its own, and
// gets every message at least once. It decides nothing about stock.
package stockfeed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/segmentio/kafka-go"

	guarded "sluice/core/kafka"
	"sluice/core/lifecycle"
	"sluice/core/outbox"
)

const (
	heartbeatInterval = time.Second
	sessionTimeout    = 10 * time.Second // after which the group replaces a process that was killed
	rebalanceTimeout  = 10 * time.Second
	dialTimeout       = 3 * time.Second
	joinBackoff       = 300 * time.Millisecond
	generationEvery   = time.Second // at most: one that ends at once is followed by another
	watchEvery        = 5 * time.Second
	fetchBytes        = 1 << 20
	fetchWait         = time.Second
	pause             = time.Second // after a failure
)

// Message is one of the topic.
type Message = outbox.Message

// Handler handles messages of a partition, in their order. After an error it gets them again. So it does nothing twice that it
// has done.
type Handler func(ctx context.Context, partition int, messages []Message) error

// Config says what to read, and for whom.
type Config struct {
	Brokers []string
	Topic   string
	Group   string
	Reader  string // for logs and metrics: a word
	Handle  Handler
	Metrics *metrics.Set
	Log     *slog.Logger
}

// Feed is a reader. Every process runs one, and they share the partitions.
type Feed struct {
	cfg    Config
	topic  *outbox.Topic
	behind sync.Map // partition -> *atomic.Int64
	lost   *metrics.Counter
}

// New makes a reader and its metrics, and connects to nothing.
func New(cfg Config) *Feed {
	f := &Feed{cfg: cfg, topic: outbox.NewTopic(cfg.Brokers, cfg.Topic)}
	label := fmt.Sprintf("{reader=%q}", cfg.Reader)
	f.lost = cfg.Metrics.NewCounter("sluice_catalog_stock_feed_lost_messages_total" + label)
	cfg.Metrics.NewGauge("sluice_catalog_stock_feed_behind_messages"+label, func() float64 {
		sum := int64(0)
		f.behind.Range(func(_, n any) bool {
			sum += n.(*atomic.Int64).Load()
			return true
		})
		return float64(sum)
	})
	return f
}

// Run reads until ctx ends.
func (f *Feed) Run(ctx context.Context) {
	defer f.topic.Close()
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                     f.cfg.Group,
		Brokers:                f.cfg.Brokers,
		Dialer:                 &kafka.Dialer{DialFunc: guarded.Dial, Timeout: dialTimeout},
		Topics:                 []string{f.cfg.Topic},
		StartOffset:            kafka.FirstOffset,
		HeartbeatInterval:      heartbeatInterval,
		SessionTimeout:         sessionTimeout,
		RebalanceTimeout:       rebalanceTimeout,
		JoinGroupBackoff:       joinBackoff,
		WatchPartitionChanges:  true,
		PartitionWatchInterval: watchEvery,
	})
	if err != nil {
		f.cfg.Log.Error("the events of stock are not read: "+f.cfg.Reader, "error", err) // a mistake in the settings, which were checked
		return
	}
	trouble := lifecycle.NewTrouble(f.cfg.Log, "join the consumer group "+f.cfg.Group)
	for {
		generation, err := group.Next(ctx)
		if ctx.Err() != nil {
			_ = group.Close() // it is always nil
			return
		}
		trouble.Saw(outbox.InWords(err))
		if err != nil {
			continue // the group has a pause of its own
		}
		done, least := make(chan struct{}), time.After(generationEvery)
		generation.Start(func(ended context.Context) {
			defer close(done)
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(ended, cancel)()
			f.consume(ctx, generation)
		})
		<-done
		select {
		case <-least:
		case <-ctx.Done():
		}
	}
}

// consume reads the partitions of one generation, until it ends.
func (f *Feed) consume(ctx context.Context, generation *kafka.Generation) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	for _, assigned := range generation.Assignments[f.cfg.Topic] {
		running.Go(func() {
			f.read(ctx, generation, assigned.ID, assigned.Offset)
			cancel() // one that cannot go on lets the group divide the partitions anew
		})
	}
	<-ctx.Done()
	running.Wait()
	f.behind.Clear()
}

// read reads a partition, until the generation ends or Kafka does not take how far it is.
func (f *Feed) read(ctx context.Context, generation *kafka.Generation, partition int, offset int64) {
	behind := new(atomic.Int64)
	f.behind.Store(partition, behind)
	reading := lifecycle.NewTrouble(f.cfg.Log, fmt.Sprintf("read partition %d of topic %s for %s", partition, f.cfg.Topic, f.cfg.Reader))
	handling := lifecycle.NewTrouble(f.cfg.Log, "handle events of stock for "+f.cfg.Reader)
	for ctx.Err() == nil {
		got, err := f.topic.Read(ctx, partition, offset, fetchBytes, fetchWait)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, kafka.OffsetOutOfRange) {
			f.cfg.Log.Error("kafka does not have the next events of stock any more: what they tell is missing", "reader", f.cfg.Reader, "partition", partition, "offset", offset)
			f.lost.Inc()
			offset = kafka.FirstOffset
			continue
		}
		reading.Saw(err)
		if err != nil {
			lifecycle.Pause(ctx, pause)
			continue
		}
		if got.Missing > 0 {
			f.cfg.Log.Error("kafka has lost events of stock: what they tell is missing", "reader", f.cfg.Reader, "partition", partition, "from", offset, "missing", got.Missing)
			f.lost.Add(int(got.Missing))
		}
		behind.Store(got.End - offset)
		for len(got.Messages) > 0 {
			err := f.cfg.Handle(ctx, partition, got.Messages)
			if ctx.Err() != nil {
				return
			}
			if handling.Saw(err); err == nil {
				break
			}
			lifecycle.Pause(ctx, pause)
		}
		if got.Next != offset {
			if err := generation.CommitOffsets(map[string]map[int]int64{f.cfg.Topic: {partition: got.Next}}); err != nil {
				f.cfg.Log.Warn("cannot commit offsets: events of stock are read again, which is harmless", "reader", f.cfg.Reader, "error", outbox.InWords(err))
				return
			}
		}
		offset = got.Next
		behind.Store(got.End - offset)
	}
}
