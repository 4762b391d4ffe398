package stock

import (
	"context"
	"errors"
	"fmt"
)

// Op is what a vector of requests asks for.
type Op uint8

// The operations. The numbers are part of reservation ids.
const (
	OpReserve Op = 1 // avail -> held
	OpConfirm Op = 2 // held -> sold
	OpRelease Op = 3 // held -> avail
	OpDeduct  Op = 5 // avail -> sold
	OpAdjust  Op = 6 // a change of total and avail, or of settings
)

// String is the operation's word, which is also its script's name.
func (o Op) String() string {
	switch o {
	case OpReserve:
		return "reserve"
	case OpConfirm:
		return "confirm"
	case OpRelease:
		return "release"
	case OpDeduct:
		return "deduct"
	case OpAdjust:
		return "adjust"
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// Request is one request of a vector.
type Request struct {
	ID ReservationID
	// Cell is the stock to take from or to adjust. A release needs the cell of its reservation too,
	// from Reservations; confirm ignores it.
	Cell Cell
	// User is who asks. Confirm and release refuse other people's reservations with
	// VerdictWrongUser; 0 is a service, which may settle anyone's.
	User        int64
	Quantity    int64 // reserve and deduct: 1 to QuantityMax
	Fingerprint uint32
	// Fence is, for reserve and deduct, the highest position of the cell that the caller has seen. The highest
	// one of a vector counts for all of its requests.
	Fence      Position
	Adjustment *Adjustment // adjust only
}

// AdjustKind tells a plain adjustment from the halves of a transfer.
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
)

// Adjustment changes a cell's stock by a delta, its settings, or both, for a stated reason.
type Adjustment struct {
	Kind AdjustKind
	// Create makes a cell that does not exist, with every one of Settings; a cell that exists is
	// refused with VerdictWrongState. Without Create a cell that does not exist is VerdictNotLoaded.
	Create bool
	// Delta is added to total and avail. A negative one that avail does not cover is VerdictSoldOut.
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

// Outcome is what was decided about one request.
type Outcome struct {
	Verdict Verdict
	// Reservation is the record as it now stands, filled for VerdictOK, VerdictReplayed and
	// VerdictWrongState of a reservation.
	Reservation Reservation
}

// Entry is one entry of a partition's outbox: the encoded events of one vector (package event).
type Entry struct {
	Partition int
	ID        string // the stream's entry id; empty if the vector had no effect
	Data      []byte
}

// OutboxEnds is where a partition's outbox begins and ends, or why that cannot be told.
type OutboxEnds struct {
	First string // id of the oldest entry; empty if there is none
	Last  string // id of the entry that was appended last, also if it has been deleted since; "0-0" if none ever was
	Err   error
}

// Vector is the requests that one script call decides, all of one operation and one partition. Each
// request sees the effects of those before it.
type Vector struct {
	Op        Op
	Partition int
	Requests  []Request // 1 to VectorMax
	// Replicate asks Do to wait, for a bounded time, until a replica has the vector's effects too. Without
	// it, and where there is no replica to wait for, cells of the level replica refuse to be taken from
	// with VerdictReplicaMissing.
	Replicate bool

	// What Do fills in. If Err is nil, Outcomes has one outcome per request.
	Outcomes []Outcome
	Cells    []CellState // the cells that the vector looked at, as they are after it, without order
	Entry    Entry
	TimeMS   int64 // Redis time of the decision
	// Replicated tells that a replica has the effects. Only where Replicate was set; false means
	// that it is not known.
	Replicated bool
	// NoReplica tells that there was none to wait for. Only where Replicate was set.
	NoReplica bool
	Err       error
}

// What can go wrong with a call, apart from refusals, which are verdicts. Every error of a Store
// wraps exactly one of them.
var (
	// ErrNotApplied tells that nothing was executed; the call can be repeated.
	ErrNotApplied = errors.New("not executed")
	// ErrFull is an ErrNotApplied: the server's memory is full, and it takes only what frees some.
	ErrFull = fmt.Errorf("%w: the memory of the server is full", ErrNotApplied)
	// ErrShut tells that nothing was executed because the server does not have the data that were
	// vetted, or the caller does not trust them yet: see redisstock.Open.
	ErrShut = errors.New("not executed: the server is shut until it is vetted")
	// ErrUnknown tells that the call may or may not have been executed. Repeating it with the same
	// ids settles it.
	ErrUnknown = errors.New("outcome unknown")
	// ErrProtocol tells of a bug: a malformed call, or an answer that cannot be read. An effect is
	// possible.
	ErrProtocol = errors.New("protocol error")
)

// Sweep is what one call of Expire did.
type Sweep struct {
	Expired int     // reservations that expired
	Entries []Entry // their events
	More    bool    // more were due than the call was allowed to expire
	NextMS  int64   // the earliest deadline still ahead, 0 if there is none
	TimeMS  int64   // Redis time of the sweep
}

// Store keeps the stock of a deployment. It is implemented by the memory model and by Redis, and
// package stocktest holds them to the same behaviour. It is safe for concurrent use.
type Store interface {
	// Do decides the vectors, in one pipeline where the store has one, and fills in each one's
	// results; Vector.Err tells of trouble with that vector.
	Do(ctx context.Context, vectors ...*Vector)
	// Cells reads cells in the order asked for, and the Redis time of the reading.
	Cells(ctx context.Context, cells []Cell) (states []CellState, nowMS int64, err error)
	// Reservations reads reservations in the order asked for, and the Redis time of the reading.
	Reservations(ctx context.Context, ids []ReservationID) (found []Reservation, nowMS int64, err error)
	// Expire gives the units of due reservations of a partition back, at most about limit of them.
	// Any number of processes may call it at once.
	Expire(ctx context.Context, partition, limit int) (Sweep, error)
	// Forget removes the records of a partition's reservations whose retention has ended, at most
	// about limit of them, and tells how many it removed.
	Forget(ctx context.Context, partition, limit int) (int, error)
	// Partitions is the number of partitions of the deployment.
	Partitions() int
}
