package stock

import (
	"cmp"
	"fmt"
	"time"
)

// Ack is an acknowledge level: it says when an accepted request is acknowledged.
type Ack uint8

// The acknowledge levels. Each survives more faults than the one before.
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

// Or returns the level itself, or the deployment's for AckDefault.
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

// Settings has the settings of a cell. Admins change them.
type Settings struct {
	Limit          int64         // units that one user may hold and own; 0: no limit
	OpensAtMS      int64         // Redis time from which the cell sells; 0: always open
	ClosesAtMS     int64         // Redis time at which it stops selling; 0: never
	Hold           time.Duration // until a reservation expires, in whole ms, 1 ms to HoldMax
	ExtendMax      time.Duration // how far a deadline may be moved beyond the first one, in whole ms, to HoldMax; 0: not at all
	Ack            Ack
	ShopperDeducts bool // shoppers may deduct, not only services
	RegisteredOnly bool // only users who are registered for the sale may take; chosen when the cell is made
	Frozen         bool // sells nothing; confirm, release and expire still work
}

// WithDefaults returns the settings of a new cell. If nobody chose a hold, it has HoldDefault.
func (s Settings) WithDefaults() Settings {
	s.Hold = cmp.Or(s.Hold, HoldDefault)
	return s
}
