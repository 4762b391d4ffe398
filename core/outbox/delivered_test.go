package outbox

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"sluice/core/stock"
)

func TestDeliveredRemembersTheLastOfAll(t *testing.T) {
	t.Parallel()
	d := delivered{ends: make([]int64, 2)}
	entry := func(n int) stock.Entry { return stock.Entry{Partition: n % 64, ID: fmt.Sprintf("17000000%d-0", n)} }
	const added = 5 * deliveredMax
	for n := range added {
		d.remember(n%2, int64(n/2), []waiting{{Entry: entry(n)}})
	}
	for n := added - deliveredMax; n < added; n++ {
		if !d.Delivered(entry(n)) {
			t.Fatalf("entry %d of %d is forgotten", n, added)
		}
	}
	if known := len(d.young) + len(d.old); known > 2*deliveredMax {
		t.Errorf("%d entries are remembered, want at most %d", known, 2*deliveredMax)
	}
	other := entry(added - 1)
	if other.Partition--; d.Delivered(other) {
		t.Error("an entry of another partition is taken for one of the same id")
	}
	if got, want := d.Reached(), []int64{added / 2, added / 2}; !slices.Equal(got, want) {
		t.Errorf("Kafka has reached %d, want %d", got, want)
	}
	d.Forget()
	if d.Delivered(entry(added-1)) || d.Losses() != 0 {
		t.Error("something is remembered after forget, or it counts as a loss")
	}
}

// TestDeliveredBeforeWhatKafkaHadReached is a Kafka that lost something and goes on.
func TestDeliveredBeforeWhatKafkaHadReached(t *testing.T) {
	t.Parallel()
	d := delivered{ends: make([]int64, 2)}
	entry := func(n int) waiting {
		return waiting{Entry: stock.Entry{ID: strconv.Itoa(n) + "-0"}}
	}
	if d.remember(0, 5, []waiting{entry(1), entry(2)}) || d.remember(1, 9, []waiting{entry(3)}) || d.remember(0, 100, []waiting{entry(4)}) {
		t.Error("an end that others have moved on is taken for a loss")
	}
	if !d.remember(0, 99, []waiting{entry(5)}) || d.Losses() != 1 {
		t.Error("the loss is not noticed")
	}
	for n, want := range []bool{1: false, 2: false, 3: false, 4: false, 5: true} {
		if d.Delivered(entry(n).Entry) != want {
			t.Errorf("entry %d counts as delivered: %v", n, !want)
		}
	}
	if got, want := d.Reached(), []int64{100, 0}; !slices.Equal(got, want) {
		t.Errorf("Kafka has reached %d, want %d", got, want)
	}
}
