// Package sessions follows which sessions of shoppers have ended, so that their tokens are refused within seconds. The shop
// tells of each by an event. Without Kafka the tokens of such a session are taken until they expire, ten minutes at most.
package sessions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/segmentio/kafka-go"
	"golang.org/x/time/rate"

	"sluice/core/auth"
	"sluice/core/ids"
	"sluice/core/lifecycle"
	"sluice/core/outbox"
)

const (
	// Topic has the events of the shop's users.
	Topic = "sluice.users.v1"
	// TypeEnded is the type of events that tell of sessions. A reader ignores all others.
	TypeEnded = "sessions_ended"
)

// Ended is what such an event has as its data.
type Ended struct {
	Sessions []ids.Session `json:"session_ids"`
}

const (
	// sinceBefore is how old the events are that a reader begins with. The clocks of shop, database and reader may differ.
	sinceBefore = auth.EndedFor + auth.Skew
	fetchBytes  = 1 << 20
	fetchWait   = time.Second
	pause       = time.Second // after a failure
	watchEvery  = time.Second
	// behindAfter is how long a partition may go unread before that is logged: more than a fetch that waits.
	behindAfter = 3 * fetchWait
)

// errBehind means that events come faster than they are read.
var errBehind = errors.New("its end is further away than can be read in time")

// Config says where the events are, and who remembers the sessions.
type Config struct {
	Brokers []string
	Ended   *auth.Ended
	Service string // which has the metrics: edge or catalog
	Metrics *metrics.Set
	Log     *slog.Logger
}

// Follower reads the events. Each process reads all of them, and keeps no offsets: it begins with those of the last minutes.
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
}

// New makes a follower and its metrics, and connects to nothing.
func New(cfg Config) *Follower {
	of := "sluice_" + cfg.Service + "_sessions_"
	f := &Follower{
		cfg: cfg, topic: outbox.NewTopic(cfg.Brokers, Topic),
		unreadable: cfg.Metrics.NewCounter(of + "unreadable_messages_total"), lost: cfg.Metrics.NewCounter(of + "lost_messages_total"),
		complaints: rate.Sometimes{First: 3, Interval: time.Minute},
		trouble:    lifecycle.NewTrouble(cfg.Log, "read which sessions of shoppers have ended"),
	}
	cfg.Metrics.NewGauge(of+"unread_seconds", func() float64 { return f.unread().Seconds() })
	cfg.Metrics.NewGauge(of+"ended_sessions", func() float64 { return float64(cfg.Ended.Len()) })
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

// follow reads all partitions, until there are others or Kafka does not have what comes next.
func (f *Follower) follow(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin, err := f.topic.AllSince(ctx, time.Now().Add(-sinceBefore))
	if err != nil {
		f.say(ctx, err)
		return
	}
	f.mu.Lock()
	f.ends, f.faults = make([]time.Time, len(begin)), make([]error, len(begin))
	f.mu.Unlock()
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
		if err == nil && f.unread() > behindAfter {
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
		f.trouble.Saw(err, "until_then", fmt.Sprintf("their tokens are taken until they expire, %v at most", auth.ShopperLifetime))
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
		f.cfg.Log.Error("kafka has lost events of users: the tokens of sessions that ended may be taken until they expire",
			"partition", partition, "offset", offset, "lifetime", auth.ShopperLifetime)
	})
}

// take remembers the sessions that a message tells of. One that cannot be read is passed over.
func (f *Follower) take(partition int, m *outbox.Message) {
	ended, err := parse(m.Value)
	if err != nil {
		f.unreadable.Inc()
		f.complaints.Do(func() {
			f.cfg.Log.Warn("a message of the topic of users cannot be read, and is passed over", "partition", partition, "offset", m.Offset, "error", err)
		})
		return
	}
	for _, session := range ended {
		f.cfg.Ended.Add(session, time.Now())
	}
}

// parse returns the sessions that an event tells of, none if it is of another type.
func parse(message []byte) ([]ids.Session, error) {
	var event struct {
		Type string         `json:"type"`
		Data jsontext.Value `json:"data"`
	}
	if err := json.Unmarshal(message, &event); err != nil {
		return nil, errForm
	}
	switch event.Type {
	case "":
		return nil, errForm
	case TypeEnded:
		var data Ended
		if err := json.Unmarshal(event.Data, &data); err != nil || data.Sessions == nil {
			return nil, errForm
		}
		return data.Sessions, nil
	}
	return nil, nil
}

// errForm quotes nothing of a message, which may be anybody's.
var errForm = errors.New("it is no event of a known form")

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
	if oldest.After(f.whole) {
		f.whole = oldest
	}
}

// unread is how long ago all partitions were read to their ends, 0 if nobody follows.
func (f *Follower) unread() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.whole.IsZero() {
		return 0
	}
	return time.Since(f.whole)
}
