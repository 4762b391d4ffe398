package reconcile

import (
	"testing"

	"sluice/core/stock"
)

// One call reads about as much of many outboxes as of one, however large their entries are.
func TestOneCallReadsSoManyBytes(t *testing.T) {
	t.Parallel()
	for _, bytes := range []int{10, 300, 10_000, 75_000, 10_000_000} {
		for outboxes := 1; outboxes <= outboxesAtOnce; outboxes++ {
			o := outbox{}
			if first := o.limit(outboxes); first < 4 || first > 16 || first*outboxes > 64 {
				t.Errorf("%d entries of each of %d outboxes at first", first, outboxes)
			}
			o.last = []stock.Entry{{ID: "1-1", Data: make([]byte, 10)}, {ID: "1-2", Data: make([]byte, bytes)}}
			next := o.limit(outboxes)
			if most := max(1<<20, outboxes*bytes); next < 1 || next*outboxes*bytes > most {
				t.Errorf("%d entries of %d bytes of each of %d outboxes", next, bytes, outboxes)
			}
			if want := 1000; bytes == 10 && next != want {
				t.Errorf("%d small entries of each of %d outboxes, want %d", next, outboxes, want)
			}
			if after := o.after(); after != "1-2" {
				t.Errorf("goes on after %s", after)
			}
		}
	}
}
