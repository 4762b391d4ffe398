package redisstock

import (
	"testing"

	"github.com/google/go-cmp/cmp"
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

func TestSlotsOfMyself(t *testing.T) {
	t.Parallel()
	f := func(line string, want ...[2]int) {
		t.Helper()
		list := "07c3 10.0.0.2:6379@16379,host master - 0 1426238317239 2 connected 5461-10922\n" + line + "\n"
		if diff := cmp.Diff(want, slotsOfMyself(list)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", line, diff)
		}
	}
	f("e7d1 10.0.0.1:6379@16379 myself,master - 0 0 1 connected 0-5460 6000 16383-16383",
		[2]int{0, 5460}, [2]int{6000, 6000}, [2]int{16383, 16383})
	f("e7d1 10.0.0.1:6379@16379 myself,master - 0 0 1 connected 0-5460 [77->-07c3] [93-<-07c3]", [2]int{0, 5460})
	f("e7d1 10.0.0.1:6379@16379 myself,master - 0 0 1 connected")
	f("e7d1 10.0.0.1:6379@16379 myself,slave 07c3 0 0 1 connected")
}
