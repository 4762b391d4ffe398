package persister

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/stock"
)

// fakeOutbox remembers what was deleted, and when.
type fakeOutbox struct {
	mu      sync.Mutex
	start   time.Time
	down    bool
	refuses string // an id
	deleted []string
	calls   int
}

func (f *fakeOutbox) Partitions() int { return 4 }

func (f *fakeOutbox) OutboxDelete(_ context.Context, partition int, ids []string) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return 0, errors.New("down")
	}
	f.calls++
	if f.refuses != "" && slices.Contains(ids, f.refuses) {
		return 0, fmt.Errorf("%w: ERR Invalid stream ID", stock.ErrProtocol)
	}
	for _, id := range ids {
		f.deleted = append(f.deleted, strconv.Itoa(partition)+"/"+id+"@"+time.Since(f.start).String())
	}
	return int64(len(ids)), nil
}

func (f *fakeOutbox) set(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *fakeOutbox) want(t *testing.T, when string, deleted ...string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.deleted)
	if diff := cmp.Diff(deleted, f.deleted); diff != "" {
		t.Errorf("%s:\n%s", when, diff)
	}
	f.deleted = nil
}

func TestCleaner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		outbox := &fakeOutbox{start: time.Now()}
		c := newCleaner(outbox, newTestMeters(), slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.run(ctx)
		}()
		time.Sleep(240 * time.Millisecond)
		c.add(map[int][]string{0: {"1-0"}, 3: {"2-0"}, 4: {"3-0"}}) // there is no partition 4
		time.Sleep(220 * time.Millisecond)
		outbox.want(t, "one tick later")
		time.Sleep(100 * time.Millisecond)
		outbox.want(t, "two ticks later", "0/1-0@500ms", "3/2-0@500ms")

		outbox.set(true)
		c.add(map[int][]string{1: {"4-0"}})
		time.Sleep(time.Second)
		outbox.want(t, "down")
		outbox.set(false)
		time.Sleep(300 * time.Millisecond)
		outbox.want(t, "up again", "1/4-0@1.75s")

		c.add(map[int][]string{2: {"5-0"}})
		cancel()
		<-ended
		outbox.want(t, "at the end", "2/5-0@2.25s")
	})
}

func TestCleanerIsBounded(t *testing.T) {
	t.Parallel()
	outbox := &fakeOutbox{}
	c := newCleaner(outbox, newTestMeters(), slog.New(slog.DiscardHandler))
	ids := make([]string, 1500)
	for range 2 * cleanMax / len(ids) {
		c.add(map[int][]string{1: ids})
	}
	if c.waiting > cleanMax || c.meters.cleanDropped.Get() == 0 {
		t.Errorf("%d ids wait, %d were dropped", c.waiting, c.meters.cleanDropped.Get())
	}
	ripe := map[int][]string{}
	c.ripen(ripe)
	if err := c.delete(ripe); err != nil || len(ripe) != 0 || c.waiting != 0 {
		t.Errorf("%v, %d partitions ripe, %d ids waiting", err, len(ripe), c.waiting)
	}
	if outbox.calls < cleanMax/cleanAtOnce-1 {
		t.Errorf("%d calls for all of them", outbox.calls)
	}
}

// TestCleanerDropsWhatRedisRefuses has one id that Redis does not take between many that it does.
func TestCleanerDropsWhatRedisRefuses(t *testing.T) {
	t.Parallel()
	outbox := &fakeOutbox{refuses: "700-0"}
	c := newCleaner(outbox, newTestMeters(), slog.New(slog.DiscardHandler))
	const ids = 2500
	for i := range ids {
		c.add(map[int][]string{1: {fmt.Sprintf("%d-0", i)}})
	}
	ripe := map[int][]string{}
	c.ripen(ripe)
	if err := c.delete(ripe); !errors.Is(err, stock.ErrProtocol) || !strings.Contains(err.Error(), outbox.refuses) {
		t.Errorf("no word about the refused id: %v", err)
	}
	if len(outbox.deleted) != ids-1 || len(ripe) != 0 || c.waiting != 0 || c.meters.cleanDropped.Get() != 1 {
		t.Errorf("%d deleted, %d partitions ripe, %d ids waiting, %d dropped",
			len(outbox.deleted), len(ripe), c.waiting, c.meters.cleanDropped.Get())
	}
	if outbox.calls > 30 {
		t.Errorf("%d calls", outbox.calls)
	}
}
