package limit

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestTokensNearTheLimitAreTold takes tokens of a bucket of 40, one by one.
func TestTokensNearTheLimitAreTold(t *testing.T) {
	t.Parallel()
	l := New("user", Config{Rate: 20, Burst: 40, KeysMax: 100}, UserID)
	f := func(what string, tokens int, want ...Taken) {
		t.Helper()
		for range tokens {
			l.Allow(7, noon)
		}
		if told, untold := l.Tell(nil, 10); !cmp.Equal(told, want) || untold != 0 {
			t.Errorf("%s: told %v and not %d, want %v", what, told, untold, want)
		}
	}
	f("alone", 3)
	l.Among(8)
	f("the first among others", 1)
	f("the second soon after", 1, Taken{ID: 7, Tokens: 2})
	f("one of a bucket that is more than half full", 1)
	f("many", 17, Taken{ID: 7, Tokens: 18})
	f("one of a bucket that is less than half full", 1, Taken{ID: 7, Tokens: 1})
	f("refused ones", 100, Taken{ID: 7, Tokens: 16})
	l.Among(1)
	f("alone again", 1)
}

// TestRareRequestsAreNeverTold has a user ask once in three seconds, which is far below its limit.
func TestRareRequestsAreNeverTold(t *testing.T) {
	t.Parallel()
	l := New("user", Config{Rate: 20, Burst: 40, KeysMax: 100}, UserID)
	l.Among(2)
	for i := range 100 {
		l.Allow(7, noon.Add(time.Duration(3*i)*time.Second))
		if told, _ := l.Tell(nil, 10); told != nil {
			t.Fatalf("request %d: told %v", i+1, told)
		}
	}
}

// TestKeysThatWaitToBeToldAreBounded has more users of one stripe near their limit than may wait. The others are told, with all that they
// took, at their next request.
func TestKeysThatWaitToBeToldAreBounded(t *testing.T) {
	t.Parallel()
	l := New("user", Config{Rate: 20, Burst: 40, KeysMax: 1_000_000}, UserID)
	l.Among(2)
	users := neighbours(l, 0, dueMax+50)
	take := func() []Taken {
		for _, user := range users {
			l.Allow(user, noon)
			l.Allow(user, noon)
		}
		told, untold := l.Tell(nil, len(users))
		if untold != 0 {
			t.Errorf("%d tokens are untold", untold)
		}
		return told
	}
	first, second := take(), take()
	if len(first) != dueMax {
		t.Errorf("%d users waited, want %d", len(first), dueMax)
	}
	tokens := int64(0)
	for _, told := range append(first, second...) {
		tokens += told.Tokens
	}
	if len(second) != dueMax || tokens != 2*2*dueMax {
		t.Errorf("then %d users waited, and %d tokens were told of all, want %d and %d", len(second), tokens, dueMax, 2*2*dueMax)
	}
	for _, user := range users[dueMax:] {
		l.Allow(user, noon)
	}
	late, _ := l.Tell(nil, len(users))
	for _, told := range late {
		if told.Tokens != 5 {
			t.Errorf("user %d took 5 tokens, and %d were told", told.ID, told.Tokens)
		}
	}
	if len(late) != len(users)-dueMax {
		t.Errorf("%d users were told at last, want the other %d", len(late), len(users)-dueMax)
	}
}

// TestOlderBucketsAreTold turns the generations while a user waits to be told.
func TestOlderBucketsAreTold(t *testing.T) {
	t.Parallel()
	l := New("user", Config{Rate: 20, Burst: 40, KeysMax: 1}, UserID) // a bucket in each generation of a stripe
	l.Among(2)
	for range 3 {
		l.Allow(7, noon)
	}
	others := neighbours(l, 7, 3)
	l.Allow(others[0], noon)
	if told, _ := l.Tell(nil, 10); !cmp.Equal(told, []Taken{{ID: 7, Tokens: 3}}) {
		t.Errorf("told %v", told)
	}
	for range 3 {
		l.Allow(7, noon)
	}
	l.Allow(others[1], noon)
	l.Allow(others[2], noon)
	if told, _ := l.Tell(nil, 10); told != nil {
		t.Errorf("of a bucket that is forgotten: %v", told)
	}
}

// TestWhatOthersTookMakesOneTell lets others take a bucket almost empty of which this edge took one token.
func TestWhatOthersTookMakesOneTell(t *testing.T) {
	t.Parallel()
	wake := make(chan struct{}, 1)
	l := New("user", Config{Rate: 20, Burst: 40, KeysMax: 100, Wake: wake}, UserID)
	l.Among(2)
	l.Allow(7, noon)
	if len(wake) != 0 {
		t.Error("one token of 40 is worth telling")
	}
	l.Learn(Taken{ID: 7, Tokens: 30}, noon)
	if told, _ := l.Tell(nil, 10); !cmp.Equal(told, []Taken{{ID: 7, Tokens: 1}}) || len(wake) != 1 {
		t.Errorf("told %v, %d woken", told, len(wake))
	}
}

// TestSpareTokensPayForLateNewsOnce has others take what a full bucket could not hold, which is a tenth of a second of its rate.
func TestSpareTokensPayForLateNewsOnce(t *testing.T) {
	t.Parallel()
	f := func(what string, want int, learned ...int64) {
		t.Helper()
		l := New("user", Config{Rate: 20, Burst: 40, KeysMax: 100}, UserID)
		l.Among(2)
		l.Allow(7, noon)
		now := noon.Add(time.Minute)
		for _, tokens := range learned {
			l.Learn(Taken{ID: 7, Tokens: tokens}, now)
		}
		passed := 0
		for l.Allow(7, now).OK {
			passed++
		}
		if passed != want {
			t.Errorf("%s: %d requests passed, want %d", what, passed, want)
		}
	}
	f("nothing", 40)
	f("what is spare", 40, 2)
	f("more", 37, 5)
	f("more, in two notices", 37, 2, 3)
	f("all", 0, 42)
}
