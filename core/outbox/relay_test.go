package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"

	"sluice/core/stock"
)

// fakeRedis is the outbox of one partition, with its own clock.
type fakeRedis struct {
	now        time.Time
	entries    []stock.Entry
	mark       string
	leaseOwner string
	leaseEnds  time.Time
}

func (f *fakeRedis) add(n int) {
	for range n {
		id := fmt.Sprintf("%d-%d", f.now.UnixMilli(), len(f.entries))
		f.entries = append(f.entries, stock.Entry{ID: id, Data: []byte(id)})
	}
}

func (f *fakeRedis) Partitions() int { return 1 }

func (f *fakeRedis) OutboxEnds(context.Context) []stock.OutboxEnds {
	if len(f.entries) == 0 {
		return []stock.OutboxEnds{{Last: "0-0"}}
	}
	return []stock.OutboxEnds{{First: f.entries[0].ID, Last: f.entries[len(f.entries)-1].ID}}
}

func (f *fakeRedis) OutboxAfter(_ context.Context, _ int, after string, limit int) ([]stock.Entry, error) {
	var found []stock.Entry
	for _, e := range f.entries {
		if entryLess(after, e.ID) && len(found) < limit {
			found = append(found, e)
		}
	}
	return found, nil
}

func (f *fakeRedis) RelayLease(_ context.Context, _ int, owner string, ttl time.Duration) (bool, error) {
	if f.now.Before(f.leaseEnds) {
		return false, nil
	}
	f.leaseOwner, f.leaseEnds = owner, f.now.Add(ttl)
	return true, nil
}

func (f *fakeRedis) RelayMark(context.Context, int) (string, error) { return f.mark, nil }

func (f *fakeRedis) SetRelayMark(_ context.Context, _ int, id string) error {
	f.mark = id
	return nil
}

// fakeKafka counts what was published, and refuses while it is down.
type fakeKafka struct {
	published map[string]int
	delivered map[string]bool // by this process's edge
	reached   int64           // by deliveries to this process
	down      bool
	refuses   string // this entry alone
}

var errDown = errors.New("down")

func (f *fakeKafka) PublishWait(e stock.Entry, done func(error)) bool {
	if f.down || e.ID == f.refuses {
		done(errDown)
		return true
	}
	f.published[e.ID]++
	done(nil)
	return true
}

func (f *fakeKafka) Delivered(e stock.Entry) bool { return f.delivered[e.ID] }

func (f *fakeKafka) Reached() []int64 { return []int64{f.reached} }

func (f *fakeKafka) Forget() { f.delivered, f.reached = nil, 0 }

// world is one partition, one Kafka and some relays, all on one clock.
type world struct {
	redis  *fakeRedis
	kafka  *fakeKafka
	unread []Range
	relays []*Relay
}

func newWorld(relays int) *world {
	w := &world{
		redis:  &fakeRedis{now: time.UnixMilli(1_700_000_000_000)},
		kafka:  &fakeKafka{published: map[string]int{}},
		unread: []Range{{0, 0}},
	}
	for range relays {
		r := NewRelay(RelayConfig{
			Store: w.redis, Publisher: w.kafka,
			Unread:  func(context.Context) ([]Range, error) { return w.unread, nil },
			Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
		})
		r.now = func() time.Time { return w.redis.now }
		w.relays = append(w.relays, r)
	}
	return w
}

// pass lets time pass, with a look of every relay each second.
func (w *world) pass(t *testing.T, d time.Duration) (err error) {
	t.Helper()
	for ; d > 0; d -= time.Second {
		w.redis.now = w.redis.now.Add(time.Second)
		for _, r := range w.relays {
			err = errors.Join(err, r.look(t.Context()))
		}
	}
	return err
}

// times tells how often each number of publications occurred.
func (w *world) times() map[int]int {
	times := map[int]int{}
	for _, e := range w.redis.entries {
		times[w.kafka.published[e.ID]]++
	}
	return times
}

func (w *world) want(t *testing.T, when string, times map[int]int) {
	t.Helper()
	if diff := cmp.Diff(times, w.times()); diff != "" {
		t.Errorf("%s: entries by how often they were published:\n%s", when, diff)
	}
}

func TestRelayPublishesWhatNobodyDid(t *testing.T) {
	t.Parallel()
	w := newWorld(3)
	w.redis.add(1200)
	if err := w.pass(t, 3*time.Second); err != nil {
		t.Fatal(err)
	}
	w.want(t, "young", map[int]int{0: 1200})
	if err := w.pass(t, 2*time.Second); err != nil {
		t.Fatal(err)
	}
	w.want(t, "old", map[int]int{1: 1200})
	w.redis.add(1)
	if err := w.pass(t, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	w.want(t, "one more", map[int]int{1: 1201})
}

func TestRelayLeavesYoungEntriesToTheirEdge(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	for range 100 { // under load, where the outbox is never empty
		w.redis.entries = nil
		w.redis.add(10)
		if err := w.pass(t, 2*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.kafka.published); n != 0 {
		t.Errorf("%d entries relayed, none of which was old", n)
	}
}

func TestRelayDoesNotRepeatItselfWhileMySQLIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(2)
	w.redis.add(700)
	w.unread = []Range{{0, 700}}
	if err := w.pass(t, time.Hour); err != nil {
		t.Fatal(err)
	}
	w.want(t, "after an hour", map[int]int{1: 700})
}

func TestRelayLeavesOutWhatItsOwnEdgePublished(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	w.redis.add(600)
	w.kafka.delivered, w.kafka.reached = map[string]bool{}, 400
	for i, e := range w.redis.entries {
		w.kafka.delivered[e.ID] = i%3 > 0
	}
	w.unread = []Range{{0, 400}}
	if err := w.pass(t, time.Minute); err != nil {
		t.Fatal(err)
	}
	w.want(t, "MySQL is down", map[int]int{0: 400, 1: 200})
	if last := w.redis.entries[599].ID; w.redis.mark != last {
		t.Errorf("the mark is %s, want %s", w.redis.mark, last)
	}
	w.unread = []Range{{0, 399}}                     // one of them is no longer there, nor has it been read
	if err := w.pass(t, 4*time.Second); err != nil { // for the lease
		t.Fatal(err)
	}
	w.want(t, "Kafka lost some", map[int]int{1: 400, 2: 200})
	w.unread = []Range{{0, 999}}
	if err := w.pass(t, time.Hour); err != nil {
		t.Fatal(err)
	}
	w.want(t, "made good once", map[int]int{1: 400, 2: 200})
}

// TestRelayOfALossThatCostNothing looks at what happens after Kafka lost only what MySQL has.
func TestRelayOfALossThatCostNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	w.redis.add(1)
	w.kafka.reached = 1
	if err := w.pass(t, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	w.redis.entries = nil
	if err := w.pass(t, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	w.redis.add(10)
	w.unread = []Range{{0, 10}}
	if err := w.pass(t, time.Hour); err != nil {
		t.Fatal(err)
	}
	w.want(t, "after the loss", map[int]int{1: 10})
}

func TestRelayPublishesAgainWhatKafkaLost(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	w.redis.add(300)
	w.unread = []Range{{0, 300}}
	if err := w.pass(t, time.Minute); err != nil {
		t.Fatal(err)
	}
	w.unread = []Range{{0, 0}} // Kafka is empty again
	if err := w.pass(t, 28*time.Second); err != nil {
		t.Fatal(err)
	}
	w.want(t, "too early to tell", map[int]int{1: 300})
	if err := w.pass(t, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	w.want(t, "lost", map[int]int{2: 300})
	if err := w.pass(t, time.Hour); err != nil {
		t.Fatal(err)
	}
	if n := w.kafka.published[w.redis.entries[0].ID]; n < 4 || n > 15 {
		t.Errorf("published %d times in an hour in which nobody deletes it", n)
	}
}

func TestRelayGoesOnWithTrafficBesideAStuckEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	w.redis.add(1)
	stuck := w.redis.entries[0]
	for range 60 {
		if err := w.pass(t, time.Second); err != nil {
			t.Fatal(err)
		}
		w.redis.entries = []stock.Entry{stuck}
		w.redis.add(3)
	}
	if n := w.kafka.published[stuck.ID]; n != 2 || len(w.kafka.published) != 1 {
		t.Errorf("published %d times, want 2, and %d others, want none", n, len(w.kafka.published)-1)
	}
}

func TestRelayMarkStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	w.redis.add(10)
	w.kafka.refuses = w.redis.entries[4].ID
	if err := w.pass(t, 5*time.Second); !errors.Is(err, errDown) {
		t.Fatalf("want the failure, got %v", err)
	}
	if w.redis.mark != w.redis.entries[3].ID {
		t.Errorf("mark %q, want that of the fourth entry", w.redis.mark)
	}
	w.kafka.refuses = ""
	if err := w.pass(t, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if times := w.times(); times[0] != 0 || w.redis.mark != w.redis.entries[9].ID {
		t.Errorf("after the failure: %v, mark %q", times, w.redis.mark)
	}
}
