package stock

import (
	"testing"
	"time"
)

// TestFingerprintsTellAdjustmentsApart has pairs that a careless way of writing parts down makes equal.
func TestFingerprintsTellAdjustmentsApart(t *testing.T) {
	t.Parallel()
	f := func(name string, a, b Adjustment) {
		t.Helper()
		if FingerprintOf(a) == FingerprintOf(b) {
			t.Errorf("%s: the same fingerprint", name)
		}
		if first, again := FingerprintOf(a), FingerprintOf(a); first != again {
			t.Errorf("%s: not the same fingerprint twice", name)
		}
	}
	f("large deltas", Adjustment{Delta: 2_000_000}, Adjustment{Delta: 3_000_000})
	f("negative deltas", Adjustment{Delta: -1}, Adjustment{Delta: -2})
	f("hold times", Adjustment{Settings: Settings{Hold: time.Hour}}, Adjustment{Settings: Settings{Hold: time.Minute}})
	f("reasons", Adjustment{Reason: `a" "b`}, Adjustment{Reason: "a b"})
}
