package stock

import "fmt"

// Op is the operation of a vector of requests.
type Op uint8

// The operations. The numbers are part of reservation ids.
const (
	OpReserve Op = 1  // avail -> held
	OpConfirm Op = 2  // held -> sold
	OpRelease Op = 3  // held -> avail
	OpDeduct  Op = 5  // avail -> sold
	OpAdjust  Op = 6  // a change of total and avail, or of settings
	OpReturn  Op = 11 // sold -> avail
	OpExtend  Op = 12 // the deadline of a hold moves
	OpGather  Op = 13 // avail -> held: the lines of a basket in a partition, all or none
	OpDecide  Op = 14 // the record of a basket moves
	OpVoid    Op = 15 // held -> avail, and nothing -> spent: the lines of a refused basket
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
	case OpReturn:
		return "return"
	case OpExtend:
		return "extend"
	case OpGather:
		return "gather"
	case OpDecide:
		return "decide"
	case OpVoid:
		return "void"
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// Request is one request of a vector.
type Request struct {
	ID ReservationID
	// Cell is the stock to take from, to adjust or to return to. A release needs the cell of its reservation too,
	// from Reservations; confirm and extend ignore it.
	Cell Cell
	// User is the user who asks; of a return, the user who gives the units back. Confirm, release and extend refuse
	// other users' reservations with VerdictWrongUser. 0 is a service, which may settle the reservations of all users.
	User        int64
	Quantity    int64 // reserve, deduct and return: 1 to QuantityMax
	Fingerprint uint32
	// Fence, of a reserve or deduct, is the highest position of the cell that the caller has seen. The highest fence
	// for a cell in a vector counts.
	Fence      Position
	Adjustment *Adjustment // adjust only
	DeadlineMS int64       // extend only: the deadline asked for, in Redis time
	Reason     string      // return only: plain text, 1 to ReasonMax bytes
	Part       *Part       // of a basket: gather, decide and void only. Decide has one request for the basket, with its id
}

// Outcome is the decision about one request.
type Outcome struct {
	Verdict Verdict
	// Reservation is the record after the decision. It is filled in for VerdictOK, VerdictReplayed, and the
	// VerdictWrongState of a reservation.
	Reservation Reservation
	// Basket is the record of a basket after the decision: of a decide, and of the first request of a part at its home.
	Basket BasketRecord
}

// Vector has the requests that one script call decides. All have one operation and one partition. Each request sees the
// effects of those before it.
type Vector struct {
	Op        Op
	Partition int
	Requests  []Request // 1 to VectorMax
	// Replicate asks Do to wait, for a limited time, until a replica has the vector's effects too. Without Replicate, or
	// without a replica, reserves and deducts from cells of the level replica get VerdictReplicaMissing.
	Replicate bool

	// Do fills in the rest. If Err is nil, Outcomes has one outcome per request.
	Outcomes []Outcome
	Cells    []CellState // the cells that the vector looked at, as they are after it, in any order
	Entry    Entry
	TimeMS   int64 // Redis time of the decision
	// Replicated means that a replica has the effects. False means that nobody knows. Only with Replicate.
	Replicated bool
	// NoReplica means that there was no replica to wait for. Only with Replicate.
	NoReplica bool
	// Mark is the mark of the partition as the vector left it. The model of a store has none.
	Mark Mark
	Err  error
}
