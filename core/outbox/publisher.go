package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/segmentio/kafka-go"

	"sluice/core/lifecycle"
	"sluice/core/stock"
	"sluice/core/telemetry"
)

// ErrGivenUp means that Kafka did not acknowledge an entry in time. Kafka may have the entry nevertheless.
var ErrGivenUp = errors.New("kafka did not acknowledge in time")

// ErrTooLarge means that Kafka refuses an entry for its size. Trying again cannot help until somebody raises the
// topic's max.message.bytes.
var ErrTooLarge = errors.New("kafka refuses the entry's size")

// PublisherConfig configures a Publisher.
type PublisherConfig struct {
	Brokers []string
	Topic   string
	// Partitions is how many partitions the topic has. Defaults to 8.
	Partitions int
	// BufferBytes bounds the memory of entries that wait for Kafka. Defaults to BufferBytesDefault. A larger buffer
	// holds the entries of a longer outage. The publisher leaves entries that do not fit to the relay.
	BufferBytes int64
	// DeliveryTimeout is how long the publisher tries to deliver an entry before it leaves it to the relay. Defaults
	// to 10 s.
	DeliveryTimeout time.Duration
	Log             *slog.Logger // Defaults to slog.Default.
}

// BufferBytesDefault is the memory that may wait for Kafka.
const BufferBytesDefault = 64 << 20

const (
	deliveryTimeoutDefault = 10 * time.Second
	partitionsDefault      = 8

	writeEntriesMax = 2000      // of one request
	writeBytesMax   = 512 << 10 // of one request, half of what Kafka takes by default
	entryOverhead   = 160       // bytes an entry costs beside its data, in memory and on the way
	retryFirst      = 20 * time.Millisecond
	retryMax        = time.Second

	// linger is how long entries gather if nobody waits for them. At a thousand vectors a second, about fifty of them
	// share a request, which costs Kafka far more than they do. It is well below stock.AckLate: so long a vetting
	// waits for what other processes have still to publish.
	linger = 50 * time.Millisecond
)

// Publisher sends outbox entries to Kafka from memory, so that normally nobody has to read them from Redis. It may drop
// an entry or give it up, because a relay finds it in the outbox. Kafka gets each entry at least once, and the entries
// of a partition in any order.
type Publisher struct {
	cfg    PublisherConfig
	topic  *Topic
	queues []*queue
	now    func() time.Time

	delivered // the relay asks about these
	trouble   *lifecycle.Troubles

	buffered atomic.Int64 // bytes, entryOverhead included
	closed   atomic.Bool
	stop     context.CancelFunc
	running  sync.WaitGroup

	published, dropped, givenUp, failures *metrics.Counter
	seconds                               *metrics.PrometheusHistogram
}

// NewPublisher starts a publisher; it connects when there is something to send. The caller closes it.
func NewPublisher(cfg PublisherConfig, set *metrics.Set) (*Publisher, error) {
	cfg.Partitions = cmp.Or(cfg.Partitions, partitionsDefault)
	cfg.BufferBytes = cmp.Or(cfg.BufferBytes, BufferBytesDefault)
	cfg.DeliveryTimeout = cmp.Or(cfg.DeliveryTimeout, deliveryTimeoutDefault)
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	if len(cfg.Brokers) == 0 || cfg.Topic == "" || cfg.Partitions < 0 || cfg.BufferBytes < 0 || cfg.DeliveryTimeout < 0 {
		return nil, fmt.Errorf("new publisher: brokers %v, topic %q, partitions %d, buffer %d bytes, delivery timeout %v",
			strings.Join(cfg.Brokers, ","), cfg.Topic, cfg.Partitions, cfg.BufferBytes, cfg.DeliveryTimeout)
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Publisher{
		cfg:   cfg,
		topic: NewTopic(cfg.Brokers, cfg.Topic),
		now:   time.Now,
		stop:  stop,

		delivered: delivered{ends: make([]int64, cfg.Partitions)},
		trouble:   lifecycle.NewTroubles(cfg.Log, "publish events", "partition", cfg.Partitions),

		published: set.NewCounter("sluice_core_outbox_published_entries_total"),
		dropped:   set.NewCounter("sluice_core_outbox_dropped_entries_total"),
		givenUp:   set.NewCounter("sluice_core_outbox_given_up_entries_total"),
		failures:  set.NewCounter("sluice_core_outbox_publish_failures_total"),
		seconds:   telemetry.Seconds(set, "sluice_core_outbox_publish_seconds"),
	}
	set.NewGauge("sluice_core_outbox_buffer_bytes", func() float64 { return float64(p.buffered.Load()) })
	set.NewGauge("sluice_core_outbox_buffer_oldest_seconds", func() float64 { return p.oldest().Seconds() })
	for i := range cfg.Partitions {
		q := &queue{partition: i, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1)}
		p.queues = append(p.queues, q)
		p.running.Go(func() { p.run(ctx, q) })
	}
	return p, nil
}

// Publish takes an entry, whose data must not change any more, and returns at once. False means that it
// was dropped because the buffer is full or closed.
func (p *Publisher) Publish(e stock.Entry) bool { return p.PublishWait(e, nil) }

// PublishWait is Publish that also reports whether Kafka has the entry. It calls done once, from another goroutine. A
// nil error means that all in-sync replicas of Kafka have the entry. After ErrTooLarge they do not have it, after any
// other error they may. If PublishWait returns false, it does not call done.
func (p *Publisher) PublishWait(e stock.Entry, done func(error)) bool {
	w := waiting{Entry: e, since: p.now(), done: done}
	if p.buffered.Add(w.bytes()) > p.cfg.BufferBytes || !p.queues[e.Partition%len(p.queues)].push(w) {
		p.buffered.Add(-w.bytes())
		p.dropped.Inc()
		return false
	}
	return true
}

// Flush waits until every entry accepted so far is in Kafka or given up, or until ctx ends.
func (p *Publisher) Flush(ctx context.Context) error {
	for _, q := range p.queues {
		select {
		case <-q.flushed():
		case <-ctx.Done():
			return fmt.Errorf("flush to kafka: %w", ctx.Err())
		}
	}
	return nil
}

// Close accepts no more entries, flushes until ctx ends, gives up the rest, and ends the publisher. Call it once.
func (p *Publisher) Close(ctx context.Context) error {
	if p.closed.Swap(true) {
		return errors.New("close publisher: it is closed already")
	}
	for _, q := range p.queues {
		q.close()
	}
	err := p.Flush(ctx)
	p.stop()
	p.running.Wait()
	p.topic.Close()
	return err
}

func (p *Publisher) oldest() time.Duration {
	var oldest time.Duration
	for _, q := range p.queues {
		if since, ok := q.oldest(); ok {
			oldest = max(oldest, p.now().Sub(since))
		}
	}
	return oldest
}

func (p *Publisher) run(ctx context.Context, q *queue) {
	for {
		for batch := q.next(); len(batch) > 0; batch = q.next() {
			p.deliver(ctx, q.partition, batch)
			q.finish()
			q.gather(ctx)
		}
		select {
		case <-q.wake:
			q.gather(ctx)
		case <-ctx.Done():
			if q.empty() {
				return
			}
		}
	}
}

// deliver tries until Kafka has the batch, or every entry of it is given up.
func (p *Publisher) deliver(ctx context.Context, partition int, batch []waiting) {
	for pause := retryFirst; ; pause = min(2*pause, retryMax) {
		batch = p.giveUpOld(ctx, batch)
		if len(batch) == 0 {
			return
		}
		base, err := p.write(ctx, partition, batch)
		if err == nil {
			p.published.Add(len(batch))
			p.works(partition)
			if p.remember(partition, base, batch) {
				p.cfg.Log.Warn("kafka has lost events that it had acknowledged: the relay publishes again the entries that are still in the outbox", "partition", partition)
			}
			p.answer(batch, nil)
			return
		}
		p.failures.Inc()
		if errors.Is(err, kafka.MessageSizeTooLarge) || errors.Is(err, kafka.RecordListTooLarge) {
			p.divide(ctx, partition, batch, err)
			return
		}
		p.trouble.Saw(partition, err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// works notes that Kafka took a request. Partitions whose entries were all given up have nothing left that could show that
// they work again, so they stop counting as failing.
func (p *Publisher) works(partition int) {
	p.trouble.Saw(partition, nil)
	if !p.trouble.Any() {
		return
	}
	for _, q := range p.queues {
		if _, waits := q.oldest(); !waits {
			p.trouble.Saw(q.partition, nil)
		}
	}
}

// divide delivers the halves of a batch whose size Kafka refuses, and gives up an entry that is alone.
func (p *Publisher) divide(ctx context.Context, partition int, batch []waiting, refusal error) {
	if half := len(batch) / 2; half > 0 {
		p.deliver(ctx, partition, batch[:half])
		p.deliver(ctx, partition, batch[half:])
		return
	}
	p.cfg.Log.Error("kafka refuses the size of an outbox entry, which stays in redis: raise the topic's max.message.bytes",
		"partition", batch[0].Partition, "entry", batch[0].ID, "bytes", len(batch[0].Data), "error", refusal)
	p.giveUp(batch, fmt.Errorf("%w: %w", ErrTooLarge, refusal))
}

func (p *Publisher) write(ctx context.Context, partition int, batch []waiting) (base int64, err error) {
	entries := make([]stock.Entry, len(batch))
	for i := range batch {
		entries[i] = batch[i].Entry
	}
	return p.topic.write(ctx, partition, entries)
}

// giveUpOld gives up the entries that have waited too long, and returns the others. Once the publisher ends, it gives
// up all of them.
func (p *Publisher) giveUpOld(ctx context.Context, batch []waiting) []waiting {
	limit := p.now().Add(-p.cfg.DeliveryTimeout)
	old := 0
	for old < len(batch) && (ctx.Err() != nil || batch[old].since.Before(limit)) {
		old++
	}
	p.giveUp(batch[:old], ErrGivenUp)
	return batch[old:]
}

func (p *Publisher) giveUp(batch []waiting, err error) {
	p.givenUp.Add(len(batch))
	p.answer(batch, err)
}

// answer tells those who wait what became of their entries.
func (p *Publisher) answer(batch []waiting, err error) {
	now := p.now()
	for i := range batch {
		if err == nil {
			p.seconds.Update(now.Sub(batch[i].since).Seconds())
		}
		if batch[i].done != nil {
			batch[i].done(err)
		}
		p.buffered.Add(-batch[i].bytes())
	}
}
