package redisstock

import (
	"testing"
)

func TestRecent(t *testing.T) {
	t.Parallel()
	f := func(version string, want bool) {
		t.Helper()
		if got := recent(version); got != want {
			t.Errorf("%q is recent: %v", version, got)
		}
	}
	f("7.0.15", true)
	f("8.2", true)
	f("10.0.0", true)
	f("6.2.14", false)
	f("", false)
	f("seven", false)
}
