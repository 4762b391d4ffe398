package stock

import "fmt"

// Verdict is a script's decision about one request. Only VerdictOK changes something, except that VerdictFenced and
// VerdictBreached may shut the cell.
type Verdict uint8

// The verdicts. New codes go to the end, and no code ever changes, because scripts, nodes of two versions and stored
// answers share them.
const (
	VerdictOK                 Verdict = 0
	VerdictReplayed           Verdict = 1  // the same request was decided before; its record is the answer
	VerdictSoldOut            Verdict = 2  // avail is less than the quantity
	VerdictLimitReached       Verdict = 3  // the user would hold and own more units than the limit; or the cell allows no extension
	VerdictNotLoaded          Verdict = 4  // no such cell
	VerdictNotOpen            Verdict = 5  // the window has not opened
	VerdictClosed             Verdict = 6  // the window has closed
	VerdictFrozen             Verdict = 7  // selling was stopped by an admin
	VerdictFenced             Verdict = 8  // the cell in Redis lacks acknowledged effects
	VerdictMismatch           Verdict = 9  // the id is taken by another request
	VerdictUnknownReservation Verdict = 10 // no such reservation
	VerdictWrongState         Verdict = 11 // the reservation, the cell to create, or the units to return are in a state that forbids it
	VerdictWrongUser          Verdict = 12 // the reservation is another user's
	VerdictBackpressure       Verdict = 13 // the outbox is over its budget
	VerdictBreached           Verdict = 14 // the cell is shut, because its counters do not add up
	VerdictNotRegistered      Verdict = 15 // the sale demands a registration that the user does not have
	VerdictReplicaMissing     Verdict = 16 // the cell's level is replica, and no replica would have the effect
	VerdictRefused            Verdict = 17 // nothing speaks against this line, but its basket is refused
	VerdictUsersMissing       Verdict = 18 // the sale demands a registration, and Redis may have lost that of the user
)

var verdictNames = [...]string{
	"ok", "replayed", "sold_out", "limit_reached", "not_loaded", "not_open", "closed", "frozen", "fenced",
	"mismatch", "unknown_reservation", "wrong_state", "wrong_user", "backpressure",
	"breached", "not_registered", "replica_missing", "refused", "users_missing",
}

// Verdicts is the number of verdicts.
const Verdicts = len(verdictNames)

// String is the verdict's word, the same in Lua, JSON and metrics.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}
