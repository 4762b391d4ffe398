package db_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"

	"sluice/core/db"
	"sluice/core/stock"
)

// TestFailureOf also holds WriteError to it: what has an answer was not executed, and no answer tells nothing.
func TestFailureOf(t *testing.T) {
	t.Parallel()
	says := func(number uint16, message string) error {
		return fmt.Errorf("write ledger: %w", &mysql.MySQLError{Number: number, Message: message})
	}
	answer := func(number uint16) error { return says(number, "said the server") }
	for _, c := range []struct {
		err  error
		want db.Failure
	}{
		{answer(1213), db.FailureDeadlock},
		{answer(1020), db.FailureDeadlock},
		{answer(1205), db.FailureLockTimeout},
		{answer(1040), db.FailureBusy},
		{answer(1461), db.FailureBusy},
		{answer(1243), db.FailureBusy},        // the proxy has lost the statement
		{answer(1615), db.FailureBusy},        // table_definition_cache is too small
		{answer(1053), db.FailureInterrupted}, // shutting down
		{answer(1927), db.FailureInterrupted}, // killed, MariaDB
		{answer(1969), db.FailureInterrupted}, // max_statement_time, MariaDB
		{answer(3024), db.FailureInterrupted}, // max_execution_time, MySQL
		{answer(1290), db.FailureReadOnly},
		{answer(1114), db.FailureFull},
		{answer(1146), db.FailureSetup}, // no such table
		{answer(1142), db.FailureSetup}, // denied
		{answer(1264), db.FailureRefused},
		{answer(3819), db.FailureRefused}, // CHECK, MySQL
		{answer(4025), db.FailureRefused}, // CHECK, MariaDB
		{answer(1064), db.FailureOther},   // a bug of ours must not make dead letters of everything
		{answer(9999), db.FailureOther},
		{answer(1105), db.FailureOther},
		{says(1105, "Parameter of prepared statement which is set through mysql_send_long_data() is longer than 'max_allowed_packet' bytes"), db.FailureTooLarge},
		{answer(1153), db.FailureTooLarge},
		{fmt.Errorf("write ledger: %w", mysql.ErrPktTooLarge), db.FailureTooLarge},
		{mysql.ErrInvalidConn, db.FailureConnection},
		{driver.ErrBadConn, db.FailureConnection},
		{io.ErrUnexpectedEOF, db.FailureConnection},
		{context.DeadlineExceeded, db.FailureConnection},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, db.FailureConnection},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, db.FailureConnection},
	} {
		if got := db.FailureOf(c.err); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
		notApplied := c.want != db.FailureConnection || errors.Is(c.err, driver.ErrBadConn) || strings.HasPrefix(c.err.Error(), "dial")
		if err := db.WriteError("write", c.err); errors.Is(err, stock.ErrNotApplied) != notApplied || errors.Is(err, stock.ErrUnknown) == notApplied {
			t.Errorf("%v is told as: %v", c.err, err)
		}
	}
}
