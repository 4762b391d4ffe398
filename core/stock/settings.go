package stock

import (
	"fmt"
	"time"
)

// Bounds of what a cell can hold. They follow from the widths of the packed values.
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

// Position is a position in a cell's history: events are ordered by epoch, then seq.
type Position struct {
	Epoch uint32
	Seq   uint64
}

// Less reports whether m is before n.
func (m Position) Less(n Position) bool {
	return m.Epoch < n.Epoch || m.Epoch == n.Epoch && m.Seq < n.Seq
}

// Balances are a cell's counters. Total = Avail + Held + Sold, always.
type Balances struct {
	Avail, Held, Sold, Total int64
}

// Ack is when an accepted request is acknowledged.
type Ack uint8

// The acknowledge levels, in order of what they survive.
const (
	AckDefault Ack = 0 // as the deployment has chosen
	AckRedis   Ack = 1 // after the script: survives the edge, not the loss of Redis' last second
	AckReplica Ack = 2 // after a replica has it: survives the primary's machine
	AckLog     Ack = 3 // after Kafka has it with acks=all: survives Redis whole
)

var ackNames = [...]string{"default", "redis", "replica", "log"}

// String is the level's word.
func (a Ack) String() string {
	if int(a) < len(ackNames) {
		return ackNames[a]
	}
	return fmt.Sprintf("ack(%d)", uint8(a))
}

// Or is the level itself, or what the deployment has chosen.
func (a Ack) Or(deployment Ack) Ack {
	if a == AckDefault {
		return deployment
	}
	return a
}

// ParseAck reads an acknowledge level's word.
func ParseAck(word string) (Ack, error) {
	for i, name := range ackNames {
		if word == name {
			return Ack(i), nil
		}
	}
	return 0, fmt.Errorf("acknowledge level %q: want default, redis, replica or log", word)
}

// Settings are what an admin decides about a cell.
type Settings struct {
	Limit          int64         // units that one user may hold and own; 0: no limit
	OpensAtMS      int64         // Redis time from which the cell sells; 0: always open
	ClosesAtMS     int64         // Redis time from which it no longer sells; 0: never closes
	Hold           time.Duration // until a reservation expires, in whole ms, 1 ms to HoldMax
	Ack            Ack
	ShopperDeducts bool // shoppers may deduct, not only services
	Frozen         bool // sells nothing; confirm, release and expire still work
}

// CellState is all that Redis knows of a cell.
type CellState struct {
	Cell Cell
	Position
	Balances
	Settings
	Loaded   bool // false: no such cell, and no other member but Cell means anything
	Fenced   bool // shut, because Redis lost acknowledged effects of this cell
	Breached bool // shut, because its counters did not add up
}
