package screen

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/registry"
	"sluice/core/stock/redisstock"
)

// roll has the users of one sale, as Redis and MySQL have them.
type roll struct {
	mu    sync.Mutex
	users map[int64]bool
	down  bool
	hangs bool // a count gets no answer
	cut   bool // a scan ends with an error in its middle
	scans int

	slow    time.Duration // from the count of users to the answer
	counted int           // counts whose answer is slow
	over    bool          // Redis has forgotten them

	registered int64 // users in MySQL
	silent     bool  // MySQL gives no answer
	half       bool  // a scan misses every second user, and reads the others twice
}

// rollOf returns a roll with so many users in Redis.
func rollOf(users int64) *roll {
	l := &roll{users: map[int64]bool{}}
	l.add(1, users)
	return l
}

var errRoll = errors.New("no answer")

func (l *roll) add(from, to int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for user := from; user <= to; user++ {
		l.users[user] = true
	}
}

func (l *roll) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *roll) CountUsers(ctx context.Context, sets []redisstock.UserSet) ([]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hangs {
		l.mu.Unlock()
		<-ctx.Done()
		l.mu.Lock()
		return []int64{-1}, ctx.Err()
	}
	if l.down {
		return []int64{-1}, errRoll
	}
	n := len(l.users)
	if l.slow > 0 {
		l.counted++
		l.mu.Unlock()
		time.Sleep(l.slow)
		l.mu.Lock()
	}
	return []int64{int64(n)}, nil
}

func (l *roll) scanned() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.scans
}

// slowly is the number of counts with a slow answer.
func (l *roll) slowly() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counted
}

func (l *roll) ScanUsers(_ context.Context, _ redisstock.UserSet, yield func(int64) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.scans++
	for user := range l.users {
		if l.cut && user > 1 {
			return errRoll
		}
		if l.half && user%2 == 0 {
			continue
		}
		for range 2 { // SSCAN may yield a user more than once
			if err := yield(user); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *roll) sales(context.Context) ([]registry.Sale, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.silent {
		return nil, errRoll
	}
	if l.over {
		return nil, nil
	}
	return []registry.Sale{{ID: 6}, {ID: 7, Registered: l.registered, Sets: []redisstock.UserSet{{Partition: 3, Sale: 7}}}}, nil
}

func newRegistered(l *roll) *Registered {
	return NewRegistered(l, l.sales, slog.New(slog.DiscardHandler), metrics.NewSet())
}

// withRegistered runs a test with a screen that follows a roll, in a bubble. wait lets time pass and the screen come to rest.
func withRegistered(t *testing.T, l *roll, test func(t *testing.T, r *Registered, wait func(time.Duration))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRegistered(l)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
		test(t, r, func(d time.Duration) { time.Sleep(d); synctest.Wait() })
	})
}

// Once it knows all users, a screen refuses others; who is registered passes from the moment that a registration ends.
func TestRegisteredRefusesStrangers(t *testing.T) {
	t.Parallel()
	l := rollOf(1000)
	if !newRegistered(l).May(7, 5000) {
		t.Error("refused a user before it knew any")
	}
	withRegistered(t, l, func(t *testing.T, r *Registered, wait func(time.Duration)) {
		wait(registry.Spread)
		refused := 0
		for user := int64(2000); user < 3000; user++ {
			if !r.May(7, user) {
				refused++
			} else {
				r.Missed(7, user)
			}
		}
		if rate := r.falsePositives(); refused < 980 || rate > 0.02 || r.completeness() != 1 || r.users() != 1000 {
			t.Errorf("refused %d of 1000 strangers, rate %v, complete %v, %v users", refused, rate, r.completeness(), r.users())
		}
		for added := int64(1001); added < 1100; added++ { // single additions, while people ask
			l.add(added, added)
			wait(registry.Spread)
			for user := int64(1); user <= added; user++ {
				if !r.May(7, user) {
					t.Fatalf("refused user %d after %d was added", user, added)
				}
			}
		}
		if !r.May(8, 1) {
			t.Error("refused a user of another sale")
		}
	})
}

// A screen that cannot count lets everybody pass, and so does one whose sale is over.
func TestRegisteredInDoubt(t *testing.T) {
	t.Parallel()
	l := rollOf(10)
	withRegistered(t, l, func(t *testing.T, r *Registered, wait func(time.Duration)) {
		wait(time.Second)
		if r.May(7, 99) {
			t.Fatal("a stranger passed")
		}
		l.set(func() { l.down = true })
		wait(registry.Spread)
		if !r.May(7, 99) {
			t.Error("refused by a count that is old")
		}
		if refused, unsure := r.refused.Get(), r.unsure.Get(); refused != 1 || unsure != 1 {
			t.Errorf("%d look-ups are counted as refused and %d as unsure, want one each", refused, unsure)
		}
		l.set(func() { l.down = false })
		wait(time.Second)
		if r.May(7, 99) {
			t.Error("the screen does not recover")
		}
		l.set(func() { l.over = true })
		wait(2 * time.Second)
		if !r.May(7, 99) {
			t.Error("refused for a sale that Redis has forgotten")
		}
	})
}

// A screen that could not read all users, or gets no new count of them, refuses nobody who may be among them.
func TestRegisteredBehind(t *testing.T) {
	t.Parallel()
	l := rollOf(10)
	withRegistered(t, l, func(t *testing.T, r *Registered, wait func(time.Duration)) {
		wait(5 * time.Second)
		r.Missed(7, 99) // it passed a filter that was not complete
		if scans := l.scanned(); r.May(7, 99) || scans != 1 || r.missed.Get() != 0 {
			t.Fatalf("after %d scans of users who stay the same; false positives %d", scans, r.missed.Get())
		}
		if !r.May(6, 99) {
			t.Error("refused in a sale without stock")
		}
		l.set(func() { l.cut = true })
		l.add(11, 20)
		wait(registry.Spread)
		for user := int64(1); user <= 20; user++ {
			if !r.May(7, user) {
				t.Errorf("refused user %d, who is counted and was not read", user)
			}
		}
		l.set(func() { l.cut = false })
		wait(registry.Spread)
		if r.May(7, 99) {
			t.Error("the screen does not recover")
		}
		l.set(func() { l.hangs = true })
		l.add(21, 21)
		wait(registry.Spread - time.Millisecond)
		wait(pollRegisteredEvery)
		if !r.May(7, 21) {
			t.Error("refused by a count without a successor")
		}
		l.set(func() { l.hangs, l.slow = false, registry.Spread*4/5 })
		wait(2 * registry.Spread)
		for seen := l.slowly(); l.slowly() == seen; {
			wait(time.Millisecond)
		}
		l.add(22, 22) // after the count, and before its answer
		wait(registry.Spread)
		if !r.May(7, 22) {
			t.Error("refused by a count that was asked for before the user was there")
		}
	})
}

// If Redis has lost users, a screen refuses nobody, whether it has seen the users in Redis or only MySQL has them.
func TestRegisteredOfLostUsers(t *testing.T) {
	t.Parallel()
	for name, registered := range map[string]int64{"seen before": 0, "in MySQL": 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := rollOf(10 - registered)
			l.registered = registered
			withRegistered(t, l, func(t *testing.T, r *Registered, wait func(time.Duration)) {
				wait(5 * time.Second)
				l.set(func() { l.silent = registered == 0 })
				for _, left := range []int64{0, 5} { // and while they are brought back
					l.set(func() { clear(l.users) })
					l.add(1, left)
					wait(5 * time.Second)
					for user := int64(1); user <= 10; user++ {
						if !r.May(7, user) {
							t.Fatalf("refused user %d while Redis has %d of 10", user, left)
						}
					}
				}
				l.add(6, 10)
				wait(5 * time.Second)
				if r.May(7, 99) || !r.May(7, 10) {
					t.Error("the screen does not recover")
				}
			})
		})
	}
}

// If both Redis and MySQL have fewer users, because somebody has removed them, a screen refuses strangers as before.
func TestRegisteredOfRemovedUsers(t *testing.T) {
	t.Parallel()
	l := rollOf(10)
	l.registered = 10
	withRegistered(t, l, func(t *testing.T, r *Registered, wait func(time.Duration)) {
		wait(5 * time.Second)
		l.set(func() { delete(l.users, 10) })
		wait(5 * time.Second)
		if !r.May(7, 10) || !r.May(7, 99) {
			t.Error("refused while Redis lacks a user")
		}
		l.set(func() { l.registered = 9 })
		wait(5 * time.Second)
		if r.May(7, 99) || !r.May(7, 9) {
			t.Error("the screen does not recover")
		}
	})
}

// A scan that misses users makes no filter that is complete.
func TestRegisteredAfterAScanInPart(t *testing.T) {
	t.Parallel()
	l := rollOf(10)
	l.half = true
	withRegistered(t, l, func(t *testing.T, r *Registered, wait func(time.Duration)) {
		wait(time.Second)
		for user := int64(1); user <= 10; user++ {
			if !r.May(7, user) {
				t.Errorf("refused user %d, whom the scan missed", user)
			}
		}
		l.set(func() { l.half = false })
		wait(time.Second)
		if r.May(7, 99) || !r.May(7, 2) {
			t.Error("the screen does not recover")
		}
	})
}
