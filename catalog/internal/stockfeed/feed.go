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

	"sluice/core/lifecycle"
	"sluice/core/outbox"
)

const (
	fetchBytes = 1 << 20
	fetchWait  = time.Second
	pause      = time.Second // after a failure
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
	cfg     Config
	topic   *outbox.Topic
	joining part
	parts   sync.Map // partition -> *part
	lost    *metrics.Counter
}

// part says where the reading of a partition stands.
type part struct {
	behind  atomic.Int64 // messages
	failing atomic.Int64 // since when nothing succeeds, in nanoseconds; 0: it does
}

func (p *part) saw(err error) {
	if err == nil {
		p.failing.Store(0)
	} else {
		p.failing.CompareAndSwap(0, time.Now().UnixNano())
	}
}

func (p *part) stuck() time.Duration {
	if since := p.failing.Load(); since != 0 {
		return time.Since(time.Unix(0, since))
	}
	return 0
}

// New makes a reader and its metrics, and connects to nothing.
func New(cfg Config) *Feed {
	f := &Feed{cfg: cfg, topic: outbox.NewTopic(cfg.Brokers, cfg.Topic)}
	label := fmt.Sprintf("{reader=%q}", cfg.Reader)
	f.lost = cfg.Metrics.NewCounter("sluice_catalog_stock_feed_lost_messages_total" + label)
	cfg.Metrics.NewGauge("sluice_catalog_stock_feed_behind_messages"+label, func() (sum float64) {
		f.each(func(p *part) { sum += float64(p.behind.Load()) })
		return sum
	})
	cfg.Metrics.NewGauge("sluice_catalog_stock_feed_stuck_seconds"+label, func() float64 {
		stuck := f.joining.stuck()
		f.each(func(p *part) { stuck = max(stuck, p.stuck()) })
		return stuck.Seconds()
	})
	return f
}

func (f *Feed) each(do func(*part)) {
	f.parts.Range(func(_, p any) bool {
		do(p.(*part))
		return true
	})
}

// Run reads until ctx ends.
func (f *Feed) Run(ctx context.Context) {
	defer f.topic.Close()
	group := outbox.Group{Brokers: f.cfg.Brokers, Topic: f.cfg.Topic, ID: f.cfg.Group}
	finding := lifecycle.NewTrouble(f.cfg.Log, "find the events of stock for "+f.cfg.Reader)
	joined := func(err error) {
		if err == nil { // a generation without a topic ends at once, and says nothing
			_, err = f.topic.Partitions(ctx)
			finding.Saw(err)
		}
		f.joining.saw(err)
	}
	if err := group.Run(ctx, f.cfg.Log, f.consume, joined); err != nil {
		f.cfg.Log.Error("the events of stock are not read: "+f.cfg.Reader, "error", err) // a mistake in the settings, which were checked
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
	f.parts.Clear()
}

// read reads a partition, until the generation ends or Kafka does not take how far it is.
func (f *Feed) read(ctx context.Context, generation *kafka.Generation, partition int, offset int64) {
	at := new(part)
	f.parts.Store(partition, at)
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
		at.saw(err)
		if err != nil {
			lifecycle.Pause(ctx, pause)
			continue
		}
		if got.Missing > 0 {
			f.cfg.Log.Error("kafka has lost events of stock: what they tell is missing", "reader", f.cfg.Reader, "partition", partition, "from", offset, "missing", got.Missing)
			f.lost.Add(int(got.Missing))
		}
		at.behind.Store(got.End - offset)
		for len(got.Messages) > 0 {
			err := f.cfg.Handle(ctx, partition, got.Messages)
			if ctx.Err() != nil {
				return
			}
			handling.Saw(err)
			at.saw(err)
			if err == nil {
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
		at.behind.Store(got.End - offset)
	}
}
