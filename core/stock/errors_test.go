package stock_test

import (
	"errors"
	"testing"

	"sluice/core/stock"
)

func TestPartitionErrorsSaysEqualThingsOnce(t *testing.T) {
	t.Parallel()
	var e stock.PartitionErrors
	if err := e.Err(); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
	away, odd := errors.New("away"), errors.New("odd")
	for _, p := range []int{62, 63, 0, 1, 2} { // from anywhere on, and around
		e.Add(p, away)
	}
	e.Add(3, odd)
	e.Add(5, errors.New("away"))
	err := e.Err()
	if want := "partitions 0-2, 5, 62-63: away\npartition 3: odd"; err == nil || err.Error() != want {
		t.Errorf("it says %q, want %q", err, want)
	}
	if got := stock.PartitionRanges([]int{7, 1, 0}); got != "0-1, 7" {
		t.Errorf("in a list that says already of what: %q", got)
	}
	if !errors.Is(err, away) || !errors.Is(err, odd) {
		t.Error("the causes are gone")
	}
}
