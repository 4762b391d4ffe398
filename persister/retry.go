package persister

import (
	"errors"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// trouble is why a transaction failed: a fixed set of words, also of metrics.
type trouble string

const (
	troubleDeadlock    trouble = "deadlock"
	troubleLockTimeout trouble = "lock_timeout"
	troubleBusy        trouble = "busy"        // too many connections
	troubleInterrupted trouble = "interrupted" // killed, out of time, or the server is shutting down
	troubleReadOnly    trouble = "read_only"   // a replica, or a primary that was demoted
	troubleFull        trouble = "full"        // no space left
	troubleSetup       trouble = "setup"       // schema or privileges are missing
	troubleConnection  trouble = "connection"  // lost; the outcome of a commit is unknown
	troubleTooLarge    trouble = "too_large"   // a statement is above max_allowed_packet
	troubleOther       trouble = "other"
	troubleRefused     trouble = "refused" // what is written breaks a constraint: repeating it cannot help
)

var troubles = []trouble{
	troubleDeadlock, troubleLockTimeout, troubleBusy, troubleInterrupted, troubleReadOnly, troubleFull,
	troubleSetup, troubleConnection, troubleTooLarge, troubleOther, troubleRefused,
}

// troubleOf tells what an error of the database calls for. All but troubleRefused and troubleTooLarge call for the
// whole transaction again: it is idempotent, so that an unknown outcome needs no other treatment.
func troubleOf(err error) trouble {
	var answer *mysql.MySQLError
	if errors.Is(err, mysql.ErrPktTooLarge) {
		return troubleTooLarge // the driver has not sent it
	}
	if !errors.As(err, &answer) {
		return troubleConnection // no answer: network, timeout, a driver that gave the connection up
	}
	switch answer.Number {
	case 1213:
		return troubleDeadlock
	case 1205:
		return troubleLockTimeout
	case 1040, 1203, 1226:
		return troubleBusy
	case 1053, 1317, 1927, 1969, 3024:
		return troubleInterrupted
	case 1290, 1792, 1836:
		return troubleReadOnly
	case 3, 28, 1021, 1030, 1041, 1114:
		return troubleFull
	case 1153:
		return troubleTooLarge
	case 1105: // of unknown kind, but for its words
		if strings.Contains(answer.Message, "max_allowed_packet") {
			return troubleTooLarge
		}
	case 1044, 1045, 1049, 1054, 1142, 1143, 1146, 1698:
		return troubleSetup
	case 1048, 1264, 1265, 1292, 1366, 1406, 1690, 3819, 4025:
		return troubleRefused
	}
	return troubleOther
}

// lasts tells whether repeating the same cannot help until somebody changes the server, or what is written.
func (t trouble) lasts() bool {
	return t == troubleRefused || t == troubleTooLarge || t == troubleSetup
}
