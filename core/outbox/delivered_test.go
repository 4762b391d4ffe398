package outbox

import (
	"fmt"
	"slices"
	"testing"

	"sluice/core/stock"
)

func TestDeliveredRemembersTheLastOfAll(t *testing.T) {
	t.Parallel()
	d := delivered{ends: make([]int64, 2)}
	entry := func(n int) stock.Entry { return stock.Entry{Partition: n % 64, ID: fmt.Sprintf("17000000%d-0", n)} }
	has := func(e stock.Entry) bool { return d.has(keyOf(e.Partition, e.ID)) }
	const added = 5 * deliveredMax
	for n := range added {
		d.add(n%2, int64(n), []waiting{{Entry: entry(n)}})
	}
	for n := added - deliveredMax; n < added; n++ {
		if !has(entry(n)) {
			t.Fatalf("entry %d of %d is forgotten", n, added)
		}
	}
	if known := len(d.young) + len(d.old); known > 2*deliveredMax {
		t.Errorf("%d entries are remembered, want at most %d", known, 2*deliveredMax)
	}
	other := entry(added - 1)
	if other.Partition--; has(other) {
		t.Error("an entry of another partition is taken for one of the same id")
	}
	d.add(1, 5, nil) // an answer that was late
	if got, want := d.reached(), []int64{added - 2, added - 1}; !slices.Equal(got, want) {
		t.Errorf("Kafka has reached %d, want %d", got, want)
	}
	d.forget()
	if has(entry(added-1)) || !slices.Equal(d.reached(), []int64{0, 0}) {
		t.Error("something is remembered after forget")
	}
}
