package stockfeed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/stock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// world is a topic of three partitions, and what readers have handled of it.
type world struct {
	*testing.T
	brokers []string
	topic   *outbox.Topic

	mu      sync.Mutex
	handled []string // values, in their order by partition
	fail    int      // how many more calls fail
	more    chan struct{}
}

const topicName = "sluice.events.v1"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, brokers: servicetest.Broker(t), more: make(chan struct{}, 1)}
	w.topic = outbox.NewTopic(w.brokers, topicName)
	t.Cleanup(w.topic.Close)
	return w
}

func (w *world) create() {
	w.Helper()
	if err := w.topic.Create(w.Context(), 3, 1); err != nil {
		w.Fatal(err)
	}
}

// write writes a message for each number, to partitions in turn.
func (w *world) write(first, last int) {
	w.Helper()
	for i := first; i <= last; i++ {
		entry := stock.Entry{Partition: i % 3, ID: fmt.Sprintf("%d-0", i), Data: fmt.Appendf(nil, "%d", i)}
		if err := w.topic.Deliver(w.Context(), []stock.Entry{entry}); err != nil {
			w.Fatal(err)
		}
	}
}

// read runs a reader of a group, until the test or stop ends.
func (w *world) read(group string) (stop func()) {
	w.Helper()
	f := New(Config{
		Brokers: w.brokers, Topic: topicName, Group: group, Reader: "test", Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
		Handle: func(_ context.Context, _ int, messages []Message) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.fail > 0 {
				w.fail--
				return errors.New("not now")
			}
			for _, m := range messages {
				w.handled = append(w.handled, string(m.Value))
			}
			select {
			case w.more <- struct{}{}:
			default:
			}
			return nil
		},
	})
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.Run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	w.Cleanup(stop)
	return stop
}

// await waits until so many different values were handled.
func (w *world) await(count int) {
	w.Helper()
	end := time.After(time.Minute)
	for {
		w.mu.Lock()
		values := slices.Clone(w.handled)
		w.mu.Unlock()
		slices.Sort(values)
		if len(slices.Compact(values)) == count {
			return
		}
		select {
		case <-w.more:
		case <-end:
			w.Fatalf("%d values were handled, want %d: %s", len(values), count, strings.Join(values, " "))
		}
	}
}

// TestEveryMessageIsHandled reads what was there before and comes later, fails now and then, and goes on where another process
// has ended.
func TestEveryMessageIsHandled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create()
	w.write(1, 30)
	w.fail = 2
	stop := w.read("one")
	w.await(30)
	w.write(31, 40)
	w.await(40)
	stop()
	w.write(41, 50)
	before := len(w.handled)
	w.read("one")
	w.await(50)
	w.mu.Lock()
	again := w.handled[before:]
	w.mu.Unlock()
	if len(again) > 20 { // what was committed does not come again
		t.Errorf("after a restart %d messages came, want about 10", len(again))
	}
}

// TestReadersShare has two processes of one group, and another group that gets all for itself.
func TestReadersShare(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create()
	w.read("one")
	w.read("one")
	w.write(1, 60)
	w.await(60)
	other := newWorld(t)
	other.brokers = w.brokers
	other.read("two")
	other.await(60)
}

// TestTopicThatComesLater: the shop may start before anybody has made the topic.
func TestTopicThatComesLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.read("one")
	time.Sleep(2 * time.Second) // so that it has joined; if it has not, the test shows less
	w.create()
	w.write(1, 9)
	w.await(9)
}
