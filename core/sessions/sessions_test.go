package sessions_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"sluice/core/auth"
	"sluice/core/ids"
	"sluice/core/lifecycle"
	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/sessions"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

const partitions = 3

// world is a topic of users and a process that follows it.
type world struct {
	*testing.T
	brokers []string
	ended   *auth.Ended
	set     *metrics.Set
	log     lines
}

func newWorld(t *testing.T, brokers []string) *world {
	t.Helper()
	return &world{T: t, brokers: brokers, ended: auth.NewEnded(), set: metrics.NewSet()}
}

func (w *world) create() {
	w.Helper()
	if err := outbox.CreateTopic(w.Context(), w.brokers, sessions.Topic, partitions, 1); err != nil {
		w.Fatal(err)
	}
}

// follow starts the process, which ends with the test or by stop.
func (w *world) follow() (stop func()) {
	w.Helper()
	f := sessions.New(sessions.Config{Brokers: w.brokers, Ended: w.ended, Service: "edge", Metrics: w.set, Log: slog.New(slog.NewTextHandler(&w.log, nil))})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	w.Cleanup(stop)
	return stop
}

// write writes messages to a partition, as if at a time.
func (w *world) write(partition int32, at time.Time, texts ...string) {
	w.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		w.Fatal(err)
	}
	defer client.Close()
	for _, text := range texts {
		r := &kgo.Record{Topic: sessions.Topic, Partition: partition, Timestamp: at, Value: []byte(text)}
		if err := client.ProduceSync(w.Context(), r).FirstErr(); err != nil {
			w.Fatal(err)
		}
	}
}

// end is an event of sessions that have ended.
func end(all ...ids.Session) string {
	var texts []string
	for _, id := range all {
		texts = append(texts, strconv.Quote(id.String()))
	}
	return event(sessions.TypeEnded, `{"session_ids":[`+strings.Join(texts, ",")+`]}`)
}

func event(kind, data string) string {
	return fmt.Sprintf(`{"event_id":"evt_0000000000001","type":%q,"at":"2026-11-28T10:00:00Z","aggregate_id":"7","version":1,"data":%s}`, kind, data)
}

// await waits until sessions are known to have ended.
func (w *world) await(all ...ids.Session) {
	w.Helper()
	w.until(fmt.Sprintf("sessions %v have ended", all), func() bool {
		for _, id := range all {
			if !w.ended.Has(id, time.Now()) {
				return false
			}
		}
		return true
	})
}

func (w *world) until(what string, holds func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	err := lifecycle.Poll(ctx, 5*time.Millisecond, func() error {
		if !holds() {
			return errNotYet
		}
		return nil
	}, func(error) bool { return false })
	if err != nil {
		w.Fatalf("it does not hold within a minute: %s\n%s", what, w.log.String())
	}
}

var errNotYet = errors.New("not yet")

// figure is the value of a metric.
func (w *world) figure(name string) float64 {
	w.Helper()
	var page bytes.Buffer
	w.set.WritePrometheus(&page)
	for line := range strings.Lines(page.String()) {
		if text, ok := strings.CutPrefix(line, "sluice_edge_sessions_"+name+" "); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				w.Fatal(err)
			}
			return value
		}
	}
	w.Fatalf("there is no %s in %s", name, page.String())
	return 0
}

// What ended in the last minutes is known soon after the start, what ends later soon after it happens. Messages that are none are
// counted and passed over, and events of other types are left.
func TestSessionsThatEndAreKnown(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
		t.Helper()
		w := newWorld(t, brokers)
		w.create()
		now := time.Now()
		w.write(0, now.Add(-time.Hour), end(1), end(2))
		w.write(0, now.Add(-auth.EndedFor), end(3))
		w.write(1, now, event("user_made", `{"state":"active"}`), event("of_tomorrow", `[1,2]`), "{", "", "null", `{"type":1}`,
			event(sessions.TypeEnded, "{}"), event(sessions.TypeEnded, `{"session_ids":["ses_x"]}`), event(sessions.TypeEnded, `null`), end(4, 5))
		if got := w.ended.Len(); got != 0 {
			t.Fatalf("%d sessions have ended before anybody reads", got)
		}
		stop := w.follow()
		w.await(3, 4, 5)
		if w.ended.Has(1, now) || w.ended.Has(2, now) {
			t.Error("sessions that ended long ago take room")
		}
		w.write(2, now, end(6))
		w.write(0, now, end(7))
		w.await(6, 7)
		if w.figure("unreadable_messages_total") != 7 || w.figure("lost_messages_total") != 0 || w.figure("ended_sessions") != 5 {
			t.Errorf("%v unreadable, %v lost, %v sessions: want 7, 0, 5",
				w.figure("unreadable_messages_total"), w.figure("lost_messages_total"), w.figure("ended_sessions"))
		}
		w.until("it keeps up", func() bool { return w.figure("unread_seconds") < 3 })
		stop()
		w.write(0, now, end(8))
		w.ended, w.set = auth.NewEnded(), metrics.NewSet()
		w.follow() // another process
		w.await(3, 4, 5, 6, 7, 8)
	})
}

// A follower works on without Kafka, says so, and has what ended meanwhile once Kafka is back. It also waits for a topic that
// nobody has made.
func TestKafkaGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), 0
	start := func() *local.Broker {
		b, err := local.StartBroker(t.Context(), dir, port)
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ := net.SplitHostPort(b.Addrs[0])
		if port, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := start()
	w := newWorld(t, b.Addrs)
	w.follow()
	w.until("a missing topic is told of", func() bool { return strings.Contains(w.log.String(), "cannot read which sessions") })
	w.create()
	w.write(1, time.Now(), end(1))
	w.await(1)
	w.until("it works again", func() bool { return strings.Contains(w.log.String(), "works again") })
	b.Stop()
	w.until("Kafka's absence is told of", func() bool {
		return strings.Count(w.log.String(), "cannot read which sessions") >= 2 && w.figure("unread_seconds") > 3
	})
	if !w.ended.Has(1, time.Now()) {
		t.Error("what was known is forgotten without Kafka")
	}
	b = start()
	defer func() { b.Stop() }()
	w.write(2, time.Now(), end(2))
	w.await(2)
	w.until("it works again", func() bool {
		return strings.Count(w.log.String(), "works again") >= 2 && w.figure("unread_seconds") < 3
	})
	if w.figure("lost_messages_total") != 0 {
		t.Errorf("%v messages were lost", w.figure("lost_messages_total"))
	}
}

// lines collects a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
