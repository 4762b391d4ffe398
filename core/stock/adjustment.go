package stock

// AdjustKind distinguishes a plain adjustment from the halves of a transfer.
type AdjustKind uint8

// The kinds of adjustment. The numbers are those of the events.
const (
	AdjustPlain       AdjustKind = 6
	AdjustTransferOut AdjustKind = 7
	AdjustTransferIn  AdjustKind = 8
)

// Fields is a set of settings.
type Fields uint8

// The settings that an adjustment can change.
const (
	FieldLimit Fields = 1 << iota
	FieldOpensAt
	FieldClosesAt
	FieldHold
	FieldAck
	FieldShopperDeducts
	FieldFrozen
	FieldExtendMax
)

// Adjustment changes a cell's stock by a delta, its settings, or both, for a stated reason.
type Adjustment struct {
	Kind AdjustKind
	// Create makes a new cell with all of Settings. If the cell exists, the verdict is VerdictWrongState. Without Create
	// the cell must exist; otherwise the verdict is VerdictNotLoaded.
	Create bool
	// Delta is added to total and avail. If it is negative and avail does not cover it, the verdict is VerdictSoldOut.
	Delta    int64
	Fields   Fields // which of Settings to set
	Settings Settings
	Reason   string // plain text, 1 to ReasonMax bytes
}

// Fingerprint condenses all of the adjustment, as FingerprintOf does.
func (a *Adjustment) Fingerprint() uint32 {
	s := &a.Settings
	numbers := []int64{
		int64(a.Kind), flag(a.Create), a.Delta, int64(a.Fields), s.Limit, s.OpensAtMS, s.ClosesAtMS,
		s.Hold.Milliseconds(), int64(s.Ack), flag(s.ShopperDeducts), flag(s.Frozen),
	}
	if s.ExtendMax != 0 { // adjustments that knew no bound of extensions keep their fingerprints
		numbers = append(numbers, s.ExtendMax.Milliseconds())
	}
	if s.RegisteredOnly { // as above; no other number is negative here but the delta, which has its place
		numbers = append(numbers, -1)
	}
	for _, b := range []byte(a.Reason) {
		numbers = append(numbers, int64(b))
	}
	return FingerprintOf(numbers...)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
