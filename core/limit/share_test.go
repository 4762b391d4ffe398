package limit

import (
	"testing"

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
