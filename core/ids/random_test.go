package ids_test

import (
	"testing"

	"sluice/core/ids"
)

// TestRandomIDs: none is 0 or below, and none comes twice.
func TestRandomIDs(t *testing.T) {
	t.Parallel()
	seen := map[ids.Brand]bool{}
	for range 10_000 {
		id := ids.Random[ids.Brand]()
		if id < 1 || seen[id] {
			t.Fatalf("%d", int64(id))
		}
		seen[id] = true
	}
}
