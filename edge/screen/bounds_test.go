package screen

import (
	"testing"

	sales "sluice/core/sale"
	"sluice/core/stock"
)

// TestBoundsHoldEachOther checks bounds of other packages on which the screens rely.
func TestBoundsHoldEachOther(t *testing.T) {
	t.Parallel()
	if ageMax >= stock.EntryLifeMin {
		t.Errorf("an edge may be %v old, and an outbox entry lives %v: a reservation may be unseen", ageMax, stock.EntryLifeMin)
	}
	if pollTimeoutDefault >= ageMax {
		t.Errorf("a poll may take %v, and what it tells counts for %v", pollTimeoutDefault, ageMax)
	}
	if 2*pollKnownEvery > sales.LeadTime {
		t.Errorf("an edge asks for new SKUs every %v, and a sale opens after %v: one missed question and it is unknown", pollKnownEvery, sales.LeadTime)
	}
}
