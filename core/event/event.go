// Package event owns the binary form of events. A script appends these bytes to the outbox, Kafka carries them, and the
// persister reads them. docs/events.md describes the form, lua/lib/outbox.lua writes it, and golden files hold both sides
// to it.
package event

import (
	"fmt"

	"sluice/core/stock"
)

// Kind says what an event did.
type Kind uint8

// The kinds. New ones go to the end, and no number ever changes.
const (
	KindReserve     Kind = 1 // avail -> held
	KindConfirm     Kind = 2 // held -> sold
	KindRelease     Kind = 3 // held -> avail, by request
	KindExpire      Kind = 4 // held -> avail, by deadline
	KindDeduct      Kind = 5 // avail -> sold
	KindAdjust      Kind = 6 // total and avail by a delta, settings
	KindTransferOut Kind = 7 // units leave for another cell
	KindTransferIn  Kind = 8 // units arrive from another cell

	KindRebase Kind = 9  // the cell begins a new epoch, with the balances that the event states
	KindRevoke Kind = 10 // held -> avail, by a declared loss
	KindReturn Kind = 11 // sold -> avail: goods came back
	KindExtend Kind = 12 // a hold's deadline moves
)

var kindNames = [...]string{
	"none", "reserve", "confirm", "release", "expire", "deduct", "adjust", "transfer_out", "transfer_in",
	"rebase", "revoke", "return", "extend",
}

// String is the kind's word.
func (k Kind) String() string {
	if k.known() {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

func (k Kind) known() bool { return k >= KindReserve && k <= KindExtend }

// Adjusts reports whether events of the kind are about the cell alone: they carry a Change, and no quantity.
func (k Kind) Adjusts() bool { return k >= KindAdjust && k <= KindRebase }

// HasReason reports whether events of the kind carry at least the reason of a Change: those that adjust, and returns.
func (k Kind) HasReason() bool { return k.Adjusts() || k == KindReturn }

// version is the oldest format version that has the kind.
func (k Kind) version() byte {
	if k >= KindRebase {
		return 2
	}
	return 1
}

// State is the state of a reservation after an event of the kind.
func (k Kind) State() stock.State {
	switch k {
	case KindReserve, KindExtend:
		return stock.StateHeld
	case KindConfirm, KindDeduct:
		return stock.StateConfirmed
	case KindRelease:
		return stock.StateReleased
	case KindExpire:
		return stock.StateExpired
	case KindAdjust, KindTransferOut, KindTransferIn, KindRebase:
		return stock.StateAdjusted
	case KindRevoke:
		return stock.StateRevoked
	case KindReturn:
		return stock.StateReturned
	}
	return stock.StateNone
}

// Event says what one effect did to one cell, with everything needed to repeat it.
type Event struct {
	Kind        Kind
	Reservation stock.ReservationID
	User        int64
	Quantity    int64 // 0 for the kinds that adjust
	Fingerprint uint32
	Cell        stock.Cell
	stock.Position
	Avail, Held, Sold int64 // the cell's balances after the event
	DeadlineMS        int64 // of the reservation; 0 if it never was held
	Change            Change
}

// Total is the cell's total after the event.
func (e *Event) Total() int64 { return e.Avail + e.Held + e.Sold }

// Change says what an adjustment did. A return has only a reason. Other kinds have the zero value.
type Change struct {
	From     stock.Position // of a rebase only: the last event that the cell goes on from, in the epoch before
	Delta    int64
	Fields   stock.Fields   // which settings were set
	Settings stock.Settings // all settings after the event
	Reason   string
}

// Batch has the events of one vector: one outbox entry, one Kafka message.
type Batch struct {
	Partition int
	TimeMS    int64 // Redis time of the vector
	Events    []Event
}
