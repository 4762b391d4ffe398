package stock

import "time"

// Defaults of settings. The tags of core/config and core/redis repeat them for the command line, and a test there holds
// each tag to its constant.
const (
	PartitionsDefault     = 64
	HoldDefault           = 15 * time.Minute // of a cell that did not choose one
	RetentionDefault      = 24 * time.Hour
	OutboxEntriesDefault  = 50_000
	CallTimeoutDefault    = 300 * time.Millisecond
	ReplicaTimeoutDefault = 100 * time.Millisecond
)

// EntryLifeMin is how long an outbox entry stays at least after its events are in MySQL. Persisters keep to it, and
// edges lean on it: one that follows an outbox more often misses no entry.
const EntryLifeMin = 250 * time.Millisecond
