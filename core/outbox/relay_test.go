package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
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
	resets     int64
	leaseOwner string
	leaseEnds  time.Time
	resetFails error
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

func (f *fakeRedis) RelayAfter(_ context.Context, _ int, after string, limit int) ([]stock.Entry, error) {
	var found []stock.Entry
	for _, e := range f.entries {
		if entryLess(after, e.ID) && len(found) < limit {
			found = append(found, e)
		}
	}
	return found, nil
}

func (f *fakeRedis) RelayLease(_ context.Context, _ int, owner string, ttl time.Duration) (bool, error) {
	if f.now.Before(f.leaseEnds) && f.leaseOwner != owner {
		return false, nil
	}
	f.leaseOwner, f.leaseEnds = owner, f.now.Add(ttl)
	return true, nil
}

func (f *fakeRedis) RelayMark(context.Context, int) (string, int64, error) {
	return f.mark, f.resets, nil
}

func (f *fakeRedis) SetRelayMark(_ context.Context, _ int, id string) error {
	f.mark = id
	return nil
}

func (f *fakeRedis) ResetRelayMark(context.Context, int) (int64, error) {
	if f.resetFails != nil {
		return 0, f.resetFails
	}
	f.mark = ""
	f.resets++
	return f.resets, nil
}

// fakeKafka counts what was published, and refuses while it is down.
type fakeKafka struct {
	published map[string]int
	down      bool
	refuses   string // this entry alone
	refusal   error
	full      map[string]bool // no room in the publisher for these
}

var errDown = errors.New("down")

// fakePublisher is one process's way to Kafka, and what it remembers.
type fakePublisher struct {
	*fakeKafka
	delivered map[string]bool
	reached   int64
	losses    int
}

func (f *fakePublisher) PublishWait(e stock.Entry, done func(error)) bool {
	switch {
	case f.full[e.ID]:
		return false
	case f.down:
		done(errDown)
		return true
	case e.ID == f.refuses:
		done(f.refusal)
		return true
	}
	f.published[e.ID]++
	f.delivered[e.ID] = true
	done(nil)
	return true
}

func (f *fakePublisher) Delivered(e stock.Entry) bool { return f.delivered[e.ID] }

func (f *fakePublisher) Forget() { clear(f.delivered) }

func (f *fakePublisher) Reached() []int64 { return []int64{f.reached} }

func (f *fakePublisher) Lose() {
	clear(f.delivered)
	f.reached = 0
	f.losses++
}

func (f *fakePublisher) Losses() int { return f.losses }

// world is one partition, one Kafka and some relays, all on one clock.
type world struct {
	redis  *fakeRedis
	kafka  *fakeKafka
	unread []Range
	relays []*Relay
	pubs   []*fakePublisher // the relays'
}

func newWorld(relays int) *world {
	w := &world{
		redis:  &fakeRedis{now: time.UnixMilli(1_700_000_000_000)},
		kafka:  &fakeKafka{published: map[string]int{}},
		unread: []Range{{0, 0}},
	}
	for range relays {
		pub := &fakePublisher{fakeKafka: w.kafka, delivered: map[string]bool{}}
		w.pubs = append(w.pubs, pub)
		r := NewRelay(RelayConfig{
			Store: w.redis, Publisher: pub,
			Unread:  func(context.Context) ([]Range, error) { return w.unread, nil },
			Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
		})
		r.now = func() time.Time { return w.redis.now }
		w.relays = append(w.relays, r)
	}
	return w
}

// pass lets time pass, in which no look may fail.
func (w *world) pass(t *testing.T, d time.Duration) {
	t.Helper()
	if err := w.tryPass(t, d); err != nil {
		t.Fatal(err)
	}
}

// tryPass lets time pass, with a look of every relay each second.
func (w *world) tryPass(t *testing.T, d time.Duration) (err error) {
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
	w.pass(t, 3*time.Second)
	w.want(t, "young", map[int]int{0: 1200})
	w.pass(t, 2*time.Second)
	w.want(t, "old", map[int]int{1: 1200})
	w.redis.add(1)
	w.pass(t, 10*time.Second)
	w.want(t, "one more", map[int]int{1: 1201})
}

func TestRelayLeavesYoungEntriesToTheirEdge(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	for range 100 { // under load, where the outbox is never empty
		w.redis.entries = nil
		w.redis.add(10)
		w.pass(t, 2*time.Second)
	}
	if n := len(w.kafka.published); n != 0 {
		t.Errorf("%d entries relayed, none of which was old", n)
	}
}

// lastOf is a store whose last partition has the outbox; the others are empty.
type lastOf struct {
	*fakeRedis
	partitions int
}

func (f lastOf) Partitions() int { return f.partitions }

func (f lastOf) OutboxEnds(ctx context.Context) []stock.OutboxEnds {
	ends := slices.Repeat([]stock.OutboxEnds{{Last: "0-0"}}, f.partitions-1)
	return append(ends, f.fakeRedis.OutboxEnds(ctx)...)
}

// The topic was given a third and a fourth partition. Processes that still know two write entries of partition 3 to the second.
// That the persisters have read all of the fourth says nothing about them.
func TestRelayKnowsWhereEntriesWentBeforeTheTopicGrew(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	r := NewRelay(RelayConfig{
		Store: lastOf{w.redis, 4}, Publisher: w.pubs[0],
		Unread:  func(context.Context) ([]Range, error) { return w.unread, nil },
		Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
	})
	r.now = w.relays[0].now
	w.relays[0] = r
	w.redis.add(5)
	w.unread = []Range{{0, 0}, {0, 5}, {0, 0}, {0, 0}}
	w.pass(t, time.Hour)
	w.want(t, "while the persisters have not read them", map[int]int{1: 5})
	w.unread[1].First = 5
	w.pass(t, time.Minute)
	w.want(t, "long after the persisters have read past them", map[int]int{2: 5})
}

func TestRelayDoesNotRepeatItselfWhileMySQLIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(2)
	w.redis.add(700)
	w.unread = []Range{{0, 700}}
	w.pass(t, time.Hour)
	w.want(t, "after an hour", map[int]int{1: 700})
}

// deliver has the process of a relay publish entries from memory.
func (w *world) deliver(relay int, entries []stock.Entry) {
	for _, e := range entries {
		w.pubs[relay].PublishWait(e, func(error) {})
	}
	w.pubs[relay].reached += int64(len(entries))
	w.unread[0].End += int64(len(entries))
}

func TestRelayLeavesOutWhatItsOwnProcessDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	w.redis.add(600)
	w.deliver(0, w.redis.entries[100:500])
	w.pass(t, time.Hour)
	w.want(t, "MySQL is down", map[int]int{1: 600})
	if last := w.redis.entries[599].ID; w.redis.mark != last {
		t.Errorf("the mark is %s, want %s", w.redis.mark, last)
	}
	w.unread[0].End = 399 // one of them is no longer there, nor has it been read
	w.pass(t, time.Second)
	w.want(t, "Kafka lost some", map[int]int{2: 600})
	w.unread[0].End = 999
	w.pass(t, time.Hour)
	w.want(t, "made good once", map[int]int{2: 600})
}

// TestRelayHearsOfALossFromOthers lets one process notice a loss while another has the lease, and relays
// newer entries without end.
func TestRelayHearsOfALossFromOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(2)
	w.redis.add(300)
	w.deliver(0, w.redis.entries[:100])
	w.deliver(1, w.redis.entries[100:])
	busy := func(seconds int) {
		t.Helper()
		for range seconds {
			w.redis.add(1)
			w.pass(t, time.Second)
		}
	}
	busy(10)
	if w.redis.leaseOwner != w.relays[0].owner {
		t.Fatal("the first relay has no lease: the test tests nothing")
	}
	lost := w.redis.entries[:300]
	w.pubs[1].Lose()
	busy(10)
	for _, e := range lost {
		if n := w.kafka.published[e.ID]; n < 2 || n > 4 {
			t.Fatalf("an entry that Kafka lost was published %d times, want it again, and hardly more", n)
		}
	}
}

// TestRelayOfALossThatCostNothing looks at what happens after Kafka lost only what MySQL has.
func TestRelayOfALossThatCostNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	w.redis.add(1)
	w.deliver(0, w.redis.entries)
	w.redis.entries = nil
	w.pass(t, 5*time.Second)
	w.pubs[0].Lose()
	w.pass(t, 5*time.Second)
	w.redis.add(10)
	w.unread[0].End += 10
	w.pass(t, time.Hour)
	w.want(t, "after the loss", map[int]int{1: 10})
}

// TestRelayResumesALookThatWasBrokenOff lets one partition fail for so long that a look ends with it.
func TestRelayResumesALookThatWasBrokenOff(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	r := w.relays[0]
	many := &manyOutboxes{fakeRedis: w.redis}
	r.cfg.Store, r.outlooks, r.stands = many, make([]outlook, many.Partitions()), make([]atomic.Uint32, many.Partitions())
	for range 4 { // the first sees them, and knows nothing of their age
		_ = r.look(t.Context())
	}
	if diff := cmp.Diff([]int{0, 1, 2}, many.visited); diff != "" {
		t.Errorf("partitions visited, one a look:\n%s", diff)
	}
}

// manyOutboxes are partitions. Each takes long to tell its mark, and then fails.
type manyOutboxes struct {
	*fakeRedis
	visited []int
}

func (m *manyOutboxes) Partitions() int { return 3 }

func (m *manyOutboxes) OutboxEnds(context.Context) []stock.OutboxEnds {
	m.now = m.now.Add(time.Hour) // so that all is old
	ends := stock.OutboxEnds{First: "1-0", Last: "1-0"}
	return []stock.OutboxEnds{ends, ends, ends}
}

func (m *manyOutboxes) RelayMark(_ context.Context, partition int) (string, int64, error) {
	m.visited = append(m.visited, partition)
	m.now = m.now.Add(2 * lookMax)
	return "", 0, errDown
}

func TestRelayPublishesAgainWhatKafkaLost(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	w.redis.add(300)
	w.unread = []Range{{0, 300}}
	w.pass(t, time.Minute)
	w.unread = []Range{{0, 0}} // Kafka is empty again
	w.pass(t, 28*time.Second)
	w.want(t, "too early to tell", map[int]int{1: 300})
	w.pass(t, 5*time.Second)
	w.want(t, "lost", map[int]int{2: 300})
	w.pass(t, time.Hour)
	if n := w.kafka.published[w.redis.entries[0].ID]; n < 4 || n > 15 {
		t.Errorf("published %d times in an hour in which nobody deletes it", n)
	}
}

// TestRelayFindsALossUnderTraffic lets Kafka lose acknowledged messages while others are always unread, and the
// persisters read on.
func TestRelayFindsALossUnderTraffic(t *testing.T) {
	t.Parallel()
	w := newWorld(2)
	w.redis.add(100)
	lost := slices.Clone(w.redis.entries)
	w.deliver(0, lost)
	w.deliver(1, lost)
	busy := func(seconds int) {
		t.Helper()
		for range seconds {
			w.unread = []Range{{w.unread[0].End + 4_900, w.unread[0].End + 5_000}}
			w.redis.entries = slices.Clone(lost)
			w.redis.add(3)
			w.pass(t, time.Second)
		}
	}
	busy(30)
	if n := w.kafka.published[lost[0].ID]; n != 2 {
		t.Errorf("published %d times, want only what the two edges did: it is too early to tell", n)
	}
	busy(15)
	if n := w.kafka.published[lost[0].ID]; n < 3 || n > 4 {
		t.Errorf("published %d times, want it again", n)
	}
	busy(3600)
	if n := w.kafka.published[lost[0].ID]; n < 6 || n > 30 {
		t.Errorf("published %d times in an hour in which nobody deletes it", n)
	}
}

func TestRelayGoesOnWithTrafficBesideAStuckEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	w.redis.add(1)
	stuck := w.redis.entries[0]
	for range 60 {
		w.pass(t, time.Second)
		w.redis.entries = []stock.Entry{stuck}
		w.redis.add(3)
	}
	if n := w.kafka.published[stuck.ID]; n != 2 || len(w.kafka.published) != 1 {
		t.Errorf("published %d times, want 2, and %d others, want none", n, len(w.kafka.published)-1)
	}
}

// awayRedis has many partitions and is away.
type awayRedis struct{ *fakeRedis }

func (awayRedis) Partitions() int { return 64 }

func (awayRedis) OutboxEnds(context.Context) []stock.OutboxEnds {
	return slices.Repeat([]stock.OutboxEnds{{Err: errDown}}, 64)
}

func TestRelaySaysOnceThatRedisIsAway(t *testing.T) {
	t.Parallel()
	r := NewRelay(RelayConfig{Store: awayRedis{}, Metrics: metrics.NewSet()})
	if err := r.look(t.Context()); !errors.Is(err, errDown) || err.Error() != "partitions 0-63: down" {
		t.Errorf("it says %q", err)
	}
}

func TestRelayMarkStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	f := func(name string, want error, fail func(k *fakeKafka, entries []stock.Entry)) {
		t.Helper()
		w := newWorld(1)
		w.redis.add(10)
		fail(w.kafka, w.redis.entries)
		if err := w.tryPass(t, 5*time.Second); !errors.Is(err, want) {
			t.Fatalf("%s: want %v, got %v", name, want, err)
		}
		if w.redis.mark != w.redis.entries[3].ID {
			t.Errorf("%s: mark %q, want that of the fourth entry", name, w.redis.mark)
		}
		w.kafka.refuses, w.kafka.full = "", nil
		w.pass(t, 5*time.Second)
		if times := w.times(); times[0] != 0 || w.redis.mark != w.redis.entries[9].ID {
			t.Errorf("after %s: %v, mark %q", name, times, w.redis.mark)
		}
	}
	f("a refusal", errDown, func(k *fakeKafka, entries []stock.Entry) { k.refuses, k.refusal = entries[4].ID, errDown })
	f("a full buffer", errBufferFull, func(k *fakeKafka, entries []stock.Entry) {
		k.full = map[string]bool{entries[4].ID: true, entries[7].ID: true}
	})
}

func TestRelayPassesOverWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	w.redis.add(500)
	w.kafka.refuses, w.kafka.refusal = w.redis.entries[4].ID, ErrTooLarge
	w.pass(t, 20*time.Second)
	w.want(t, "one is too large", map[int]int{0: 1, 1: 499})
}
