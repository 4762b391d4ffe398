// Package follow reads a topic of the shop as it grows. Each process reads all of it, and keeps no offsets: it begins with the
// messages of the last minutes, so its reader takes a message that it has taken before without harm.
package follow

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/segmentio/kafka-go"
	"golang.org/x/time/rate"

	"sluice/core/lifecycle"
	"sluice/core/outbox"
)

const (
	fetchBytes = 1 << 20
	fetchWait  = time.Second
	pause      = time.Second // after a failure
	watchEvery = time.Second
	// behindAfter is how long a partition may go unread before that is logged: more than a fetch that waits.
	behindAfter = 3 * fetchWait
)

// errBehind means that events come faster than they are read.
var errBehind = errors.New("its end is further away than can be read in time")

// Config says what to read, and who takes it.
type Config struct {
	Brokers []string
	Topic   string
	Since   time.Duration // how old the messages are that a reader begins with
	// Take takes a message. Messages of one partition come in their order, those of several at once. A message with an error is
	// counted, told of and passed over.
	Take func(message []byte) error
	// Lost, unless it is nil, is called when Kafka no longer has messages that nobody here has read, and when reading begins again so late
	// that it leaves some out.
	Lost func()

	Metric  func(thing string) string // the name of the metric of a thing: unread_seconds, unreadable_messages_total, lost_messages_total
	Goal    string                    // what cannot be done meanwhile, for people: read which sessions have ended
	Until   string                    // what holds until then
	Metrics *metrics.Set
	Log     *slog.Logger
}

// Follower reads a topic.
type Follower struct {
	cfg              Config
	topic            *outbox.Topic
	unreadable, lost *metrics.Counter
	complaints       rate.Sometimes
	trouble          *lifecycle.Trouble

	mu     sync.Mutex
	ends   []time.Time // when each partition was last read to its end
	faults []error     // of each partition's last read
	whole  time.Time   // when all were read to their ends; zero: nobody follows
	caught bool        // all have been read to their ends since Run began
}

// New makes a follower and its metrics, and connects to nothing.
func New(cfg Config) *Follower {
	f := &Follower{
		cfg: cfg, topic: outbox.NewTopic(cfg.Brokers, cfg.Topic),
		unreadable: cfg.Metrics.NewCounter(cfg.Metric("unreadable_messages_total")), lost: cfg.Metrics.NewCounter(cfg.Metric("lost_messages_total")),
		complaints: rate.Sometimes{First: 3, Interval: time.Minute},
		trouble:    lifecycle.NewTrouble(cfg.Log, cfg.Goal),
	}
	cfg.Metrics.NewGauge(cfg.Metric("unread_seconds"), func() float64 { return f.Unread().Seconds() })
	return f
}

// Run reads until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	defer f.topic.Close()
	f.mu.Lock()
	f.whole = time.Now()
	f.mu.Unlock()
	for ctx.Err() == nil {
		f.follow(ctx)
		lifecycle.Pause(ctx, pause)
	}
}

// Unread is how long ago all partitions were read to their ends, 0 if nobody follows.
func (f *Follower) Unread() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.whole.IsZero() {
		return 0
	}
	return time.Since(f.whole)
}

// Knows reports whether all partitions were read to their ends within the last seconds: what the topic told before is known.
func (f *Follower) Knows() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.caught && time.Since(f.whole) <= behindAfter
}

// follow reads all partitions, until there are others or Kafka does not have what comes next.
func (f *Follower) follow(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin, err := f.topic.AllSince(ctx, time.Now().Add(-f.cfg.Since))
	if err != nil {
		f.say(ctx, err)
		return
	}
	f.mu.Lock()
	gap := f.caught && time.Since(f.whole) > f.cfg.Since
	f.ends, f.faults = make([]time.Time, len(begin)), make([]error, len(begin))
	f.mu.Unlock()
	if gap && f.cfg.Lost != nil {
		f.cfg.Lost()
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	for p := range begin {
		reading.Go(func() {
			defer cancel()
			f.read(ctx, p, begin[p].First)
		})
	}
	f.watch(ctx, len(begin))
	cancel()
}

// watch tells of trouble, until ctx ends or the topic has another number of partitions.
func (f *Follower) watch(ctx context.Context, partitions int) {
	for lifecycle.Pause(ctx, watchEvery) {
		have, err := f.topic.Partitions(ctx)
		if err == nil && have != partitions {
			return
		}
		if err == nil && f.Unread() > behindAfter {
			f.mu.Lock()
			for _, err = range f.faults {
				if err != nil {
					break
				}
			}
			f.mu.Unlock()
			if err == nil {
				err = errBehind
			}
		}
		f.say(ctx, err)
	}
}

func (f *Follower) say(ctx context.Context, err error) {
	if ctx.Err() == nil {
		f.trouble.Saw(err, "until_then", f.cfg.Until)
	}
}

// read reads a partition, until Kafka does not have what comes next.
func (f *Follower) read(ctx context.Context, partition int, offset int64) {
	for ctx.Err() == nil {
		got, err := f.topic.Read(ctx, partition, offset, fetchBytes, fetchWait)
		if errors.Is(err, kafka.OffsetOutOfRange) {
			f.miss(partition, offset, 1)
			return
		}
		f.mu.Lock()
		f.faults[partition] = err
		f.mu.Unlock()
		if err != nil {
			lifecycle.Pause(ctx, pause)
			continue
		}
		if got.Missing > 0 {
			f.miss(partition, offset, int(got.Missing))
		}
		for i := range got.Messages {
			f.take(partition, &got.Messages[i])
		}
		if offset = got.Next; offset >= got.End {
			f.atEnd(partition)
		}
	}
}

// miss tells of messages that Kafka does not have any more.
func (f *Follower) miss(partition int, offset int64, messages int) {
	f.lost.Add(messages)
	f.complaints.Do(func() {
		f.cfg.Log.Error("kafka has lost messages that were not read", "topic", f.cfg.Topic, "partition", partition, "offset", offset, "until_then", f.cfg.Until)
	})
	if f.cfg.Lost != nil {
		f.cfg.Lost()
	}
}

func (f *Follower) take(partition int, m *outbox.Message) {
	if err := f.cfg.Take(m.Value); err != nil {
		f.unreadable.Inc()
		f.complaints.Do(func() {
			f.cfg.Log.Warn("a message cannot be read, and is passed over", "topic", f.cfg.Topic, "partition", partition, "offset", m.Offset, "error", err)
		})
	}
}

// atEnd notes that a partition was just read to its end.
func (f *Follower) atEnd(partition int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ends[partition] = time.Now()
	oldest := f.ends[partition]
	for _, end := range f.ends {
		if end.Before(oldest) {
			oldest = end
		}
	}
	if !oldest.IsZero() {
		f.caught = true
	}
	if oldest.After(f.whole) {
		f.whole = oldest
	}
}
