package outbox

import (
	"strconv"
	"testing"

	"sluice/core/stock"
)

func TestRecentRemembersTheLastOfAll(t *testing.T) {
	t.Parallel()
	var r recent
	entry := func(n int) *stock.Entry { return &stock.Entry{Partition: n % 64, ID: strconv.Itoa(n)} }
	const added = 5 * recentMax
	for n := range added {
		r.add(entry(n))
	}
	for n := added - recentMax; n < added; n++ {
		if !r.has(entry(n)) {
			t.Fatalf("entry %d of %d is forgotten", n, added)
		}
	}
	if known := len(r.young) + len(r.old); known > 2*recentMax {
		t.Errorf("%d entries are remembered, want at most %d", known, 2*recentMax)
	}
	if other := (stock.Entry{Partition: 63, ID: strconv.Itoa(added - 64)}); r.has(&other) {
		t.Error("an entry of another partition is taken for one of the same id")
	}
	r.clear()
	if r.has(entry(added - 1)) {
		t.Error("an entry is remembered after clear")
	}
}
