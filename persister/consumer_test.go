package persister

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/core/event"
	"sluice/core/kafka"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/stock"
)

// noMySQL is a connector to a database that is away. It calls back whenever somebody looks for it.
type noMySQL struct {
	driver.Connector
	asked func()
}

func (n noMySQL) Connect(context.Context) (driver.Conn, error) {
	n.asked()
	return nil, errors.New("away")
}

// TestNothingGoesBeforeTheCommit has a worker with a message for a database that is away. Until the database is back,
// the outbox entry stays and the offset is not committed, even if the worker ends first.
func TestNothingGoesBeforeTheCommit(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	at := newProgress(map[int]int64{3: 100})
	tries := 0
	db := sql.OpenDB(noMySQL{asked: func() {
		if offsets := at.uncommitted(); len(offsets) > 0 {
			t.Errorf("offsets to commit: %v", offsets)
		}
		if tries++; tries == 3 {
			cancel()
		}
	}})
	defer db.Close()
	m := newTestMeters()
	c := &consumer{
		cfg: Config{BatchEvents: 100}, meters: m,
		newWorker: func() *applier { return newApplier(db, m, slog.New(slog.DiscardHandler)) },
		applied:   func(b *batch) { t.Errorf("entries to delete: %v", b.entries) },
	}
	input := make(chan chunk, 1)
	message := outbox.Message{Offset: 100, Entry: "1-0", Value: event.Append(nil, newHistory(1, 1).batch(1))}
	input <- chunk{partition: 3, messages: []outbox.Message{message}, next: 101}
	c.work(ctx, input, at)
	if offsets := at.uncommitted(); len(offsets) > 0 {
		t.Errorf("in the end, offsets to commit: %v", offsets)
	}
}

// TestMissingTopicIsNotJoinedInALoop has a topic that is gone and that Kafka does not let anybody make. The library
// ends a generation as soon as it misses the topic. Without a pause each persister would join its group fifty times a
// second, and log only that it is consuming.
func TestMissingTopicIsNotJoinedInALoop(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const generations = 4
	var asked []time.Time
	cluster.ControlKey(int16(kmsg.CreateTopics), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if asked = append(asked, time.Now()); len(asked) == generations {
			cancel()
		}
		answer := kmsg.NewPtrCreateTopicsResponse()
		answer.SetVersion(request.GetVersion())
		refused := kmsg.NewCreateTopicsResponseTopic()
		refused.Topic, refused.ErrorCode = "events", kerr.InvalidReplicationFactor.Code
		answer.Topics = append(answer.Topics, refused)
		return answer, nil, true
	})
	topic := outbox.NewTopic(cluster.ListenAddrs(), "events")
	defer topic.Close()
	var told diary
	c := &consumer{cfg: Config{Workers: 1, FetchBytes: 1 << 20}, topic: topic, meters: newTestMeters(), log: slog.New(slog.NewTextHandler(&told, nil))}
	c.newWorker = func() *applier { return nil } // nothing is read
	c.cfg.Kafka = kafka.Config{Brokers: cluster.ListenAddrs(), Topic: "events", Group: "persisters", Partitions: 1, Replication: 3}
	if err := c.run(ctx); err != nil {
		t.Fatal(err)
	}
	cluster.Close() // asked is at rest
	if len(asked) < generations {
		t.Fatalf("%d generations before the test's patience was over, want %d", len(asked), generations)
	}
	if took := asked[generations-1].Sub(asked[0]); took < (generations-2)*outbox.GenerationEvery {
		t.Errorf("%d generations within %v", generations, took)
	}
	if n := strings.Count(told.String(), "cannot make sure of topic events"); n != 1 {
		t.Errorf("told %d times of the missing topic, want once:\n%s", n, told.String())
	}
}

// TestUnknownOffsetIsReadFromTheBeginning: a Kafka that was set up anew has other messages than those up to the offset
// that comes next. None of them may be skipped.
func TestUnknownOffsetIsReadFromTheBeginning(t *testing.T) {
	t.Parallel()
	brokers, set := servicetest.Broker(t), metrics.NewSet()
	if err := outbox.CreateTopic(t.Context(), brokers, "events", 1, 1); err != nil {
		t.Fatal(err)
	}
	publisher, err := outbox.NewPublisher(outbox.PublisherConfig{Brokers: brokers, Topic: "events", Partitions: 1}, set)
	if err != nil {
		t.Fatal(err)
	}
	const messages = 3
	for i := range messages {
		publisher.Publish(stock.Entry{ID: fmt.Sprintf("%d-0", i+1), Data: event.Append(nil, newHistory(1, 1).batch(1))})
	}
	if err := publisher.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	topic := outbox.NewTopic(brokers, "events")
	defer topic.Close()
	m := newTestMeters()
	c := &consumer{cfg: Config{FetchBytes: 1 << 20}, topic: topic, meters: m, log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	input, ended := make(chan chunk), make(chan struct{})
	go func() {
		defer close(ended)
		c.read(ctx, 0, 1000, newProgress(map[int]int64{0: 1000}), input)
	}()
	for read := 0; read < messages; {
		select {
		case got := <-input:
			if got.messages[0].Offset != int64(read) {
				t.Fatalf("it goes on with offset %d, want %d", got.messages[0].Offset, read)
			}
			read += len(got.messages)
		case <-ctx.Done():
			t.Fatalf("%d messages read, want %d", read, messages)
		}
	}
	cancel()
	<-ended
	if m.offsetResets.Get() != 1 {
		t.Errorf("%d resets counted", m.offsetResets.Get())
	}
}

// TestOffsetsAlsoMoveBack commits a lower offset than before: Kafka lost messages, and gives their numbers
// to others.
func TestOffsetsAlsoMoveBack(t *testing.T) {
	t.Parallel()
	p := newProgress(map[int]int64{0: 100, 1: 50, 2: -1})
	want := func(when string, offsets map[int]int64) {
		t.Helper()
		if diff := cmp.Diff(offsets, p.uncommitted()); diff != "" {
			t.Errorf("%s:\n%s", when, diff)
		}
	}
	want("at first", map[int]int64{})
	p.applied(0, 7)
	p.applied(1, 60)
	p.applied(2, 0)
	want("behind, ahead, and the first of all", map[int]int64{0: 7, 1: 60, 2: 0})
	p.committed(map[int]int64{0: 7, 1: 55})
	want("not all is committed", map[int]int64{1: 60, 2: 0})
	unread := newProgress(map[int]int64{0: -2}) // of a group that has committed nothing
	if unread.saw(0, 5); unread.unread() != 5 {
		t.Errorf("%d messages are unread, want 5", unread.unread())
	}
}
