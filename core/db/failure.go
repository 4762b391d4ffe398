package db

import (
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"

	"sluice/core/config"
)

// Failure says why a statement or a transaction failed. The words are a fixed set, also for metrics.
type Failure string

// The failures.
const (
	FailureDeadlock    Failure = "deadlock" // another transaction was first, and this one is rolled back
	FailureLockTimeout Failure = "lock_timeout"
	FailureBusy        Failure = "busy"        // too many connections, or prepared statements
	FailureInterrupted Failure = "interrupted" // killed, out of time, or the server is shutting down
	FailureReadOnly    Failure = "read_only"   // a replica, or a primary that was demoted
	FailureFull        Failure = "full"        // no space left
	FailureSetup       Failure = "setup"       // schema or privileges are missing
	FailureConnection  Failure = "connection"  // no answer came: the outcome of a commit is unknown
	FailureTooLarge    Failure = "too_large"   // a statement is above max_allowed_packet
	FailureOther       Failure = "other"
	FailureRefused     Failure = "refused" // the data break a constraint: repeating the statement cannot help
)

// Failures lists all of them.
var Failures = []Failure{
	FailureDeadlock, FailureLockTimeout, FailureBusy, FailureInterrupted, FailureReadOnly, FailureFull,
	FailureSetup, FailureConnection, FailureTooLarge, FailureOther, FailureRefused,
}

// FailureOf returns the kind of an error of the database. After every kind but FailureRefused and FailureTooLarge an
// idempotent transaction can be repeated as a whole.
func FailureOf(err error) Failure {
	if errors.Is(err, mysql.ErrPktTooLarge) {
		return FailureTooLarge // the driver has not sent it
	}
	switch Answer(err) {
	case 0:
		return FailureConnection // network, timeout, a driver that gave the connection up
	case AnswerDeadlock, AnswerChanged:
		return FailureDeadlock
	case AnswerLockTimeout, AnswerLocked:
		return FailureLockTimeout
	case AnswerTooManyConnections, AnswerUserConnections, AnswerUserLimit, AnswerPrepared, AnswerNoStatement, AnswerReprepare:
		return FailureBusy
	case AnswerShutdown, AnswerInterrupted, AnswerKilled, AnswerStatementTimeout, AnswerQueryTimeout:
		return FailureInterrupted
	case AnswerOption, AnswerReadOnlySession, AnswerReadOnlyMode:
		return FailureReadOnly
	case AnswerCannotWrite, AnswerNoSpace, AnswerDiskFull, AnswerEngine, AnswerOutOfResources, AnswerTableFull:
		return FailureFull
	case AnswerPacket:
		return FailureTooLarge
	case AnswerUnknown:
		if strings.Contains(err.Error(), "max_allowed_packet") {
			return FailureTooLarge
		}
	case AnswerDatabaseDenied, AnswerAccessDenied, AnswerNoDatabase, AnswerNoColumn, AnswerTableDenied, AnswerColumnDenied,
		AnswerNoTable, AnswerNoPassword:
		return FailureSetup
	case AnswerNull, AnswerOutOfRange, AnswerTruncated, AnswerWrongValue, AnswerWrongFieldValue, AnswerTooLong, AnswerResultRange,
		AnswerReferenced, AnswerNoReference,
		AnswerCheck, AnswerConstraint:
		return FailureRefused
	}
	return FailureOther
}

// Lasts reports whether a repetition fails again until somebody changes the server or the data.
func (f Failure) Lasts() bool {
	return f == FailureRefused || f == FailureTooLarge || f == FailureSetup
}

// ofServer reports whether an error is about the server that was asked, so that another server may answer. The errors of the
// caller's own code are none: FailureOf would take them for a lost connection.
func ofServer(err error) bool {
	if Answer(err) != 0 {
		switch FailureOf(err) {
		case FailureDeadlock, FailureLockTimeout, FailureBusy, FailureInterrupted, FailureFull, FailureSetup:
			return true // a table may be missing only because the replica has not made it yet
		case FailureReadOnly, FailureConnection, FailureTooLarge, FailureOther, FailureRefused:
			return false
		}
	}
	var network net.Error
	var server *config.ServerError
	for _, lost := range []error{driver.ErrBadConn, mysql.ErrInvalidConn, io.EOF, io.ErrUnexpectedEOF, os.ErrDeadlineExceeded} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return errors.As(err, &network) || errors.As(err, &server)
}
