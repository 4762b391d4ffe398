package limit

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestBucketRefusesAndRefills(t *testing.T) {
	t.Parallel()
	l := New("user", Config{Rate: 2, Burst: 3, KeysMax: 100}, UserID)
	for i := range 3 {
		if !l.Allow(7, noon).OK {
			t.Fatalf("token %d of 3 refused", i+1)
		}
	}
	refused := l.Allow(7, noon)
	if refused.OK || refused.RetryAfter != 1 {
		t.Fatalf("the fourth of three: %+v", refused)
	}
	if !l.Allow(8, noon).OK {
		t.Error("another key is refused too")
	}
	if l.Allow(7, noon.Add(499*time.Millisecond)).OK {
		t.Error("a token before its time")
	}
	if !l.Allow(7, noon.Add(time.Second)).OK {
		t.Error("no token although its time has come")
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	l := New("user", Config{Rate: 0.1, Burst: 5, KeysMax: 100}, UserID)
	f := func(got Allowance, policy, state string, retryAfter int64) {
		t.Helper()
		if text := string(got.AppendPolicy(nil)); text != policy {
			t.Errorf("policy %q, want %q", text, policy)
		}
		if text := string(got.AppendState(nil)); text != state {
			t.Errorf("state %q, want %q", text, state)
		}
		if got.RetryAfter != retryAfter {
			t.Errorf("RetryAfter = %d, want %d", got.RetryAfter, retryAfter)
		}
	}
	f(l.Allow(1, noon), `"user";q=5;w=50`, `"user";r=4;t=10`, 0)
	for range 4 {
		l.Allow(1, noon)
	}
	f(l.Allow(1, noon), `"user";q=5;w=50`, `"user";r=0;t=50`, 10)
	f(l.Allow(1, noon.Add(9500*time.Millisecond)), `"user";q=5;w=50`, `"user";r=0;t=41`, 1)

	if (*Limiter[int64])(nil).Allow(1, noon).Limited() {
		t.Error("no limiter has something to say")
	}
}

// neighbours returns other users of a user's stripe.
func neighbours(l *Limiter[int64], user int64, n int) (others []int64) {
	for other := user + 1; len(others) < n; other++ {
		if l.stripe(UserID(other)) == l.stripe(UserID(user)) {
			others = append(others, other)
		}
	}
	return others
}

func TestForgettingDoesNotRefill(t *testing.T) {
	t.Parallel()
	l := New("user", Config{Rate: 1, Burst: 10, KeysMax: 1_000_000}, UserID)
	// Another user of the same stripe comes in each second, so the generations turn, and each turn comes
	// between two visits of the first user, whose bucket is not full by then.
	taken := 0
	neighbours := neighbours(l, 1, 118)
	for second := range 118 {
		now := noon.Add(time.Duration(second) * time.Second)
		l.Allow(neighbours[second], now)
		for second%9 == 0 && l.Allow(1, now).OK {
			taken++
		}
	}
	if want := 10 + 117; taken != want {
		t.Errorf("%d tokens, want %d: the burst, and one per second", taken, want)
	}
}

// TestSlowestBucketIsRemembered uses the longest possible time to fill.
func TestSlowestBucketIsRemembered(t *testing.T) {
	t.Parallel()
	l := New("user", Config{Rate: RateMin, Burst: BurstMax, KeysMax: KeysMaxMax}, UserID)
	first := l.Allow(0, noon)
	for _, user := range neighbours(l, 0, 10) {
		l.Allow(user, noon.Add(time.Second))
	}
	if again := l.Allow(0, noon.Add(time.Second)); again.remaining >= first.remaining {
		t.Errorf("%d tokens left, then %d", first.remaining, again.remaining)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	l := New("user", Config{Rate: 1, Burst: 1000, KeysMax: 10_000}, UserID)
	for user := range int64(200_000) {
		l.Allow(user, noon)
	}
	n := 0
	for i := range l.stripes {
		n += len(l.stripes[i].young) + len(l.stripes[i].old)
	}
	if n > 10_000+2*stripes {
		t.Errorf("%d buckets remembered, bound is 10000", n)
	}
}

func TestBucketHoldsUnderConcurrency(t *testing.T) {
	t.Parallel()
	l := New("user", Config{Rate: 1, Burst: 50, KeysMax: 1000}, UserID)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var taken [4]atomic.Int64
	var wait sync.WaitGroup
	for g := range uint64(8) {
		wait.Go(func() {
			r := rand.New(rand.NewPCG(seed, g))
			for range 1000 {
				user := r.Int64N(4)
				if l.Allow(user, noon).OK {
					taken[user].Add(1)
				}
			}
		})
	}
	wait.Wait()
	for user := range taken {
		if n := taken[user].Load(); n != 50 {
			t.Errorf("user %d took %d of 50 tokens", user, n)
		}
	}
}
