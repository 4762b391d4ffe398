package stock

import "time"

// Bounds. Those of a cell follow from the widths of the packed values.
const (
	UnitsMax    = int64(1)<<40 - 1 // units of one counter of a cell
	QuantityMax = int64(1_000_000) // units of one reservation; also the highest limit per user
	HoldMax     = 30 * 24 * time.Hour
	TimeMaxMS   = int64(1)<<48 - 1
	SeqMax      = uint64(1)<<48 - 1
	KeyBytesMax = 128 // bytes of an Idempotency-Key
	ReasonMax   = 200 // bytes of an adjustment's reason
	VectorMax   = 128 // requests of one vector
)

// Defaults of settings. The tags of core/config, core/redis and cli/command repeat them for the command line, and a test
// there holds each tag to its constant.
const (
	PartitionsDefault     = 64
	HoldDefault           = 15 * time.Minute // of a cell that did not choose one
	RetentionDefault      = 24 * time.Hour
	OutboxEntriesDefault  = 50_000
	CallTimeoutDefault    = 300 * time.Millisecond
	ReplicaTimeoutDefault = 100 * time.Millisecond
)

// EntryLifeMin is the shortest time for which an outbox entry stays after MySQL has its events. Persisters keep to it, and
// edges rely on it: an edge that reads an outbox more often misses no entry.
const EntryLifeMin = 250 * time.Millisecond

// ExpiryPostponed is by how much an expiry is put off that a shut cell does not allow. The deadline of the reservation
// stays as it is.
const ExpiryPostponed = time.Second

// HoldFits reports whether a cell can have a hold time: whole milliseconds, 1 to HoldMax.
func HoldFits(hold time.Duration) bool {
	return hold >= time.Millisecond && hold <= HoldMax && hold%time.Millisecond == 0
}
