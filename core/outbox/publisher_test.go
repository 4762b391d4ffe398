package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"

	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
)

func newPublisher(t *testing.T, cfg PublisherConfig) (*Publisher, *metrics.Set) {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	set := metrics.NewSet()
	p, err := NewPublisher(cfg, set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // a test that wants more has closed it before
		_ = p.Close(ctx)
	})
	return p, set
}

// within is the context of a step that must not hang.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestPublisherIsClosedOnce(t *testing.T) {
	t.Parallel()
	p, _ := newPublisher(t, PublisherConfig{Brokers: []string{"127.0.0.1:1"}, Topic: "events"})
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err == nil {
		t.Error("closed a second time, and nobody is told")
	}
}

func TestPublisherDelivers(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
		t.Helper()
		topic := newTopic(t, brokers, 2)
		p, _ := newPublisher(t, PublisherConfig{Brokers: brokers, Topic: topic.name, Partitions: 2, DeliveryTimeout: time.Minute})
		const entries = 5000
		for i := range entries {
			e := stock.Entry{Partition: i % 5, ID: fmt.Sprintf("%d-0", i), Data: []byte(strconv.Itoa(i))}
			if !p.Publish(e) {
				t.Fatal("dropped")
			}
		}
		if err := p.Flush(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		seen := map[string]string{}
		for partition := range 2 {
			for offset := int64(0); ; {
				read, err := topic.Read(t.Context(), partition, offset, 1<<20, time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range read.Messages {
					seen[m.Entry] = string(m.Value)
					if i, _ := strconv.Atoi(string(m.Value)); i%5%2 != partition {
						t.Fatalf("entry of partition %d is in Kafka partition %d", i%5, partition)
					}
				}
				if offset = read.Next; offset == read.End {
					break
				}
			}
		}
		want := map[string]string{}
		for i := range entries {
			want[fmt.Sprintf("%d-0", i)] = strconv.Itoa(i)
		}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPublishWaitTellsOnceKafkaHasIt(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
		t.Helper()
		topic := newTopic(t, brokers, 1)
		p, _ := newPublisher(t, PublisherConfig{Brokers: brokers, Topic: topic.name, Partitions: 1, DeliveryTimeout: time.Minute})
		done := make(chan error, 1)
		entry := stock.Entry{ID: "1-0", Data: []byte("x")}
		if p.Delivered(entry) || p.Reached()[0] != 0 {
			t.Error("delivered before it was published")
		}
		if !p.PublishWait(entry, func(err error) { done <- err }) {
			t.Fatal("dropped")
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if !p.Delivered(entry) || p.Reached()[0] != 1 {
			t.Error("not delivered although it is published")
		}
		ranges, err := topic.Ranges(t.Context())
		if diff := cmp.Diff([]Range{{0, 1}}, ranges); diff != "" || err != nil {
			t.Error(err, diff)
		}
	})
}

// TestPublisherDividesWhatIsTooLarge fills a topic that takes fewer bytes at once than the publisher would
// send, with one entry in the middle that is too large alone.
func TestPublisherDividesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
		t.Helper()
		topic := newTopicWith(t, brokers, 1, kafka.ConfigEntry{ConfigName: "max.message.bytes", ConfigValue: "65536"})
		p, set := newPublisher(t, PublisherConfig{Brokers: brokers, Topic: topic.name, Partitions: 1, DeliveryTimeout: time.Minute})
		const entries, large = 100, 37
		results := make([]error, entries)
		for i := range entries {
			e := stock.Entry{ID: fmt.Sprintf("%d-0", 1+i), Data: make([]byte, 5000)}
			if i == large {
				e.Data = make([]byte, 100_000)
			}
			if !p.PublishWait(e, func(err error) { results[i] = err }) {
				t.Fatal("dropped")
			}
		}
		if err := p.Flush(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		for i, err := range results {
			if i == large && !errors.Is(err, ErrTooLarge) || i != large && err != nil {
				t.Errorf("entry %d: %v", i, err)
			}
		}
		if got := set.GetOrCreateCounter("sluice_core_outbox_given_up_entries_total").Get(); got != 1 {
			t.Errorf("%d counted as given up, want 1", got)
		}
	})
}

// TestRequestsAreBounded takes the entries of requests off a queue: Kafka must take each, by the size that it
// takes by default, and one entry that is larger goes alone.
func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	f := func(entries, size int, want ...int) {
		t.Helper()
		q := &queue{wake: make(chan struct{}, 1)}
		for range entries {
			q.push(waiting{Entry: stock.Entry{Data: make([]byte, size)}})
		}
		var got []int
		for batch := q.next(); len(batch) > 0; batch = q.next() {
			got = append(got, len(batch))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("requests of %d entries of %d bytes (-want +got):\n%s", entries, size, diff)
		}
	}
	f(100, 12_000, 43, 43, 14)
	f(3, 600_000, 1, 1, 1)
	f(5000, 1, 2000, 2000, 1000)
}

// freePort is a port that nobody listens on at the moment.
func freePort(t *testing.T) int {
	t.Helper()
	port, err := local.FreePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func startBroker(t *testing.T, port int) *local.Broker {
	t.Helper()
	b, err := local.StartBroker(t.Context(), "", port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b
}

func TestPublisherOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	log := make(lines, 100)
	p, _ := newPublisher(t, PublisherConfig{
		Brokers: []string{addr}, Topic: "events", Partitions: 1, DeliveryTimeout: time.Minute, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	done := make(chan error, 2)
	send := func(id string) {
		if !p.PublishWait(stock.Entry{ID: id, Data: []byte("x")}, func(err error) { done <- err }) {
			t.Fatal("dropped")
		}
	}
	const failing, again = `"cannot publish events yet"`, `"works again: publish events"`
	send("1-0") // before there is a Kafka
	log.await(t, failing)
	for range 2 {
		broker := startBroker(t, port) // the second is empty again
		if err := CreateTopic(t.Context(), broker.Addrs, "events", 1, 1); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		log.await(t, again)
		broker.Stop()
		send("2-0") // while there is none
		log.await(t, failing)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = p.Close(ctx)
}

// TestPublisherWorksAgain gives up entries of two partitions during an outage. After it only one of them has entries.
func TestPublisherWorksAgain(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	log := make(lines, 100)
	p, _ := newPublisher(t, PublisherConfig{
		Brokers: []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}, Topic: "events", Partitions: 2,
		DeliveryTimeout: 50 * time.Millisecond, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	send := func(partition int) error {
		done := make(chan error, 1)
		if !p.PublishWait(stock.Entry{Partition: partition, ID: "1-0", Data: []byte("x")}, func(err error) { done <- err }) {
			t.Fatal("dropped")
		}
		return <-done
	}
	for partition := range 2 {
		if err := send(partition); !errors.Is(err, ErrGivenUp) {
			t.Fatal(err)
		}
	}
	broker := startBroker(t, port)
	if err := CreateTopic(t.Context(), broker.Addrs, "events", 2, 1); err != nil {
		t.Fatal(err)
	}
	ctx := within(t, time.Minute)
	for send(0) != nil { // connecting may take longer than an entry waits
		if ctx.Err() != nil {
			t.Fatal("nothing is sent any more")
		}
	}
	log.await(t, "works again: publish events")
}

// lines takes what is logged.
type lines chan string

// await waits for a line with a text.
func (l lines) await(t *testing.T, text string) {
	t.Helper()
	for ctx := within(t, time.Minute); ; {
		select {
		case line := <-l:
			if strings.Contains(line, text) {
				return
			}
		case <-ctx.Done():
			t.Fatalf("nobody says %s", text)
		}
	}
}

func (l lines) Write(line []byte) (int, error) {
	select {
	case l <- string(line):
	default: // nobody reads any more
	}
	return len(line), nil
}

func TestPublisherBoundsItsBuffer(t *testing.T) {
	t.Parallel()
	nobody := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	p, set := newPublisher(t, PublisherConfig{
		Brokers: []string{nobody}, Topic: "events", Partitions: 2,
		BufferBytes: 10 * (1000 + entryOverhead), DeliveryTimeout: 2 * time.Second,
	})
	e := stock.Entry{ID: "1-0", Data: make([]byte, 1000)}
	given := make(chan error, 10)
	for range 10 {
		if !p.PublishWait(e, func(err error) { given <- err }) {
			t.Fatal("dropped although there is room")
		}
	}
	for range 11 {
		if p.Publish(e) {
			t.Error("taken although the buffer is full")
		}
	}
	for range 10 {
		if err := <-given; !errors.Is(err, ErrGivenUp) {
			t.Errorf("without Kafka: %v", err)
		}
	}
	if err := p.Flush(within(t, 5*time.Second)); err != nil {
		t.Error(err)
	}
	if !p.Publish(e) {
		t.Error("dropped although what was given up made room, and what was dropped took none")
	}
	for what, want := range map[string]uint64{"dropped": 11, "given_up": 10} {
		if got := set.GetOrCreateCounter("sluice_core_outbox_" + what + "_entries_total").Get(); got != want {
			t.Errorf("%d counted as %s, want %d", got, what, want)
		}
	}
}

// The age of what waits is that of the oldest entry, in whichever partition it is, under way or not.
func TestOldestOfAllPartitions(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_700_000_000_000)
	ago := func(seconds ...int) (entries []waiting) {
		for _, s := range seconds {
			entries = append(entries, waiting{since: now.Add(-time.Duration(s) * time.Second)})
		}
		return entries
	}
	f := func(want int, queues ...*queue) {
		t.Helper()
		p := Publisher{queues: queues, now: func() time.Time { return now }}
		if got := p.oldest(); got != time.Duration(want)*time.Second {
			t.Errorf("the oldest entry is %v old, want %d s", got, want)
		}
	}
	f(0, &queue{}, &queue{})
	f(9, &queue{queued: ago(9, 1)}, &queue{queued: ago(3)}, &queue{})
	f(9, &queue{queued: ago(3)}, &queue{inFlight: ago(9), queued: ago(2)})
}

func TestPublisherCloses(t *testing.T) {
	t.Parallel()
	nobody := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	p, _ := newPublisher(t, PublisherConfig{Brokers: []string{nobody}, Topic: "events"})
	left := make(chan error, 1)
	p.PublishWait(stock.Entry{ID: "1-0", Data: []byte("x")}, func(err error) { left <- err })
	if err := p.Close(within(t, 50*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("closed without its entry delivered: %v", err)
	}
	if err := <-left; !errors.Is(err, ErrGivenUp) {
		t.Errorf("left over: %v", err)
	}
	if p.Publish(stock.Entry{ID: "2-0"}) {
		t.Error("taken after the end")
	}
}

func BenchmarkPublisher(b *testing.B) {
	for _, size := range []int{100, 77 * 64} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			broker, err := local.StartBroker(b.Context(), "", 0)
			if err != nil {
				b.Fatal(err)
			}
			defer broker.Stop()
			if err := CreateTopic(b.Context(), broker.Addrs, "events", 8, 1); err != nil {
				b.Fatal(err)
			}
			p, err := NewPublisher(PublisherConfig{Brokers: broker.Addrs, Topic: "events"}, metrics.NewSet())
			if err != nil {
				b.Fatal(err)
			}
			e := stock.Entry{ID: "1234567890123-0", Data: make([]byte, size)}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				e.Partition = i % 64
				for !p.Publish(e) {
					if err := p.Flush(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			}
			if err := p.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
