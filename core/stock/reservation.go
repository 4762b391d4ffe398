package stock

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
)

// ReservationBytes is the length of a reservation id.
const ReservationBytes = 16

// ErrReservationID means that a text is no reservation id.
var ErrReservationID = errors.New("a reservation id is 32 lower-case hexadecimal digits")

// ReservationID has the partition of a reservation (2 bytes, big-endian) and a hash (14 bytes) of its Identity: who asked,
// for what, under which Idempotency-Key. So the same request always finds the same record. Adjustments and the halves of
// a transfer have ids of the same form.
type ReservationID [ReservationBytes]byte

// Compare orders ids as the keys of MySQL's tables do.
func (id ReservationID) Compare(other ReservationID) int { return bytes.Compare(id[:], other[:]) }

// Scope says who made an Idempotency-Key, and for what. The same text in two scopes is two keys. So a person's key
// never equals one that the program makes, or one for another part of the program.
type Scope uint8

// The scopes. The numbers are part of reservation ids, 0 to 15.
const (
	ScopeShop     Scope = 0 // a shopper's or service's, for a reserve or deduct
	ScopeLoad     Scope = 1 // an admin's, for making a SKU
	ScopeSettings Scope = 2 // an admin's, for settings
	ScopeAdjust   Scope = 3 // an admin's, for an adjustment
	ScopeTransfer Scope = 4 // an admin's, for a transfer
	ScopeCommand  Scope = 5 // an operator's, for a command that changes a cell
	ScopeFile     Scope = 6 // nobody's: a file loads a SKU once
	ScopeSale     Scope = 7 // the program's, for a change of all cells of a sale
	ScopeSaleMove Scope = 8 // the program's, for a transfer to a sale or back
)

// Identity identifies a request: two requests with the same identity are one.
type Identity struct {
	User  int64
	Route Op     // the operation: a reserve and a deduct under one key are two requests
	Cell  Cell   // its bucket is not part of the identity, but decides the partition
	Scope Scope  // of the key
	Key   string // the Idempotency-Key, without quotes
}

// ID is the reservation id of the identity in a deployment of so many partitions.
func (i Identity) ID(partitions int) ReservationID {
	var buf [64 + KeyBytesMax]byte
	b := binary.BigEndian.AppendUint64(buf[:0], uint64(i.User))
	b = append(b, byte(i.Scope)<<4|byte(i.Route))
	b = binary.BigEndian.AppendUint64(b, uint64(i.Cell.SKU))
	b = binary.BigEndian.AppendUint32(b, i.Cell.Pool)
	b = append(b, i.Key...) // last and of free length: every other part has a fixed one
	sum := sha256.Sum256(b)

	var id ReservationID
	binary.BigEndian.PutUint16(id[:], uint16(i.Cell.Partition(partitions)))
	copy(id[2:], sum[:])
	return id
}

// Partition is where the reservation lives.
func (id ReservationID) Partition() int { return int(binary.BigEndian.Uint16(id[:])) }

// String is the id as 32 lower-case hexadecimal digits.
func (id ReservationID) String() string { return hex.EncodeToString(id[:]) }

// ParseReservationID reads the output of String only. It refuses upper-case digits, so that a reservation has one name.
func ParseReservationID(text string) (ReservationID, error) {
	var id ReservationID
	if len(text) != 2*ReservationBytes {
		return id, ErrReservationID
	}
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return id, ErrReservationID
		}
	}
	if _, err := hex.Decode(id[:], []byte(text)); err != nil {
		return id, fmt.Errorf("%w: %w", ErrReservationID, err)
	}
	return id, nil
}

// FingerprintOf condenses the parts of a request that its id does not cover, such as the quantity of a reserve or deduct.
// The same id with another fingerprint is a mismatch. Redis stores fingerprints, so the function must never change.
func FingerprintOf(numbers ...int64) uint32 {
	h := fnv.New32a()
	for _, n := range numbers {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(n))
		_, _ = h.Write(b[:]) // a hash's Write never fails
	}
	return h.Sum32()
}

// ReturnFingerprint condenses the parts of a return that are not in its identity.
func ReturnFingerprint(quantity int64, reason string) uint32 {
	numbers := make([]int64, 1, 1+len(reason))
	numbers[0] = quantity
	for _, b := range []byte(reason) {
		numbers = append(numbers, int64(b))
	}
	return FingerprintOf(numbers...)
}

// State is the state of a reservation. Held is the only state that is not final.
type State uint8

// The states, as Redis stores them. The numbers are part of the stored format.
const (
	StateNone      State = 0 // no such reservation
	StateHeld      State = 1
	StateConfirmed State = 2 // by confirm, or from the start by deduct
	StateReleased  State = 3
	StateExpired   State = 4
	StateAdjusted  State = 5 // the record of an adjustment or of one half of a transfer
	StateRevoked   State = 6 // a declared loss took the hold away
	StateReturned  State = 7 // the record of a return, which has an id of its own
)

var stateNames = [...]string{"none", "held", "confirmed", "released", "expired", "adjusted", "revoked", "returned"}

// String is the state's word.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// ParseState reads the output of String, and returns StateNone for any other word.
func ParseState(word string) State { return State(max(0, slices.Index(stateNames[:], word))) }

// Reservation is the record of one reservation, deduction or adjustment.
type Reservation struct {
	ID          ReservationID
	State       State // StateNone: no such reservation, and no other member means anything
	Counted     bool  // counts against its user's limit
	Cell        Cell
	User        int64
	Quantity    int64
	Fingerprint uint32
	Seq         uint64 // of the last event about it
	DeadlineMS  int64  // Redis time at which a held reservation expires; 0 if it never was held
	ExtendedMS  int64  // by how much the deadline of a held one was moved, all in all; 0 once it has ended
}

// StateAt returns the state at a Redis time. A held reservation is expired from its deadline on, even before the sweep has
// given its units back.
func (r Reservation) StateAt(nowMS int64) State {
	if r.State == StateHeld && nowMS >= r.DeadlineMS {
		return StateExpired
	}
	return r.State
}

// BuyerCount has the units that count against a user's limit in a cell.
type BuyerCount struct {
	Cell  Cell
	User  int64
	Units int64
}
