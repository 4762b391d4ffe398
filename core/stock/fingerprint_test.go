package stock

import (
	"testing"
	"time"
)

// TestFingerprintsNeverChange has literal values, because they are stored.
func TestFingerprintsNeverChange(t *testing.T) {
	t.Parallel()
	f := func(name string, got, want uint32) {
		t.Helper()
		if got != want {
			t.Errorf("fingerprint of %s is %#x, want %#x", name, got, want)
		}
	}
	f("one unit", FingerprintOf(1), 0x9ae16fd2)
	f("two units", FingerprintOf(2), 0x99e16e3f)
	f("many units", FingerprintOf(QuantityMax), 0x79001a52)
	f("half of a transfer", FingerprintOf(int64(AdjustTransferOut), -5), 0xb30b5fa4)
	f("an adjustment", (&Adjustment{Kind: AdjustPlain, Create: true, Delta: 500, Reason: "load", Settings: Settings{
		Limit: 2, OpensAtMS: 3, ClosesAtMS: 4, Hold: time.Minute, Ack: AckLog, ShopperDeducts: true,
	}}).Fingerprint(), 0x4df57850)
}

func TestEveryPartOfAnAdjustmentCounts(t *testing.T) {
	t.Parallel()
	seen := map[uint32]string{}
	f := func(name string, a Adjustment) {
		t.Helper()
		if other, taken := seen[a.Fingerprint()]; taken {
			t.Errorf("%s has the fingerprint of %s", name, other)
		}
		seen[a.Fingerprint()] = name
	}
	f("nothing", Adjustment{})
	f("kind", Adjustment{Kind: AdjustTransferIn})
	f("create", Adjustment{Create: true})
	f("delta", Adjustment{Delta: 1})
	f("another delta", Adjustment{Delta: -1})
	f("fields", Adjustment{Fields: FieldAck})
	f("reason", Adjustment{Reason: "a"})
	f("another reason", Adjustment{Reason: "b"})
	for name, s := range map[string]Settings{
		"limit": {Limit: 1}, "opening": {OpensAtMS: 1}, "closing": {ClosesAtMS: 1}, "hold time": {Hold: time.Minute},
		"level": {Ack: AckLog}, "deductions": {ShopperDeducts: true}, "freeze": {Frozen: true},
	} {
		f(name, Adjustment{Settings: s})
	}
}
