package db

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"net"

	"sluice/core/stock"
)

// WriteError returns the error of a statement that failed, in the words of package stock. A statement that the server
// refused, or that the driver did not send, was not executed, and its transaction is rolled back.
func WriteError(what string, err error) error {
	var network *net.OpError
	switch {
	case errors.As(err, &network) && network.Op == "dial": // there was no connection to send it on
		return fmt.Errorf("%s: %w: %w", what, stock.ErrNotApplied, err)
	case errors.Is(err, driver.ErrBadConn): // the driver's word for a server that is read-only, too
		return fmt.Errorf("%s: %w: %w: MySQL takes no writes, or closed the connection: see sluice doctor", what, stock.ErrNotApplied, err)
	case FailureOf(err) != FailureConnection:
		return fmt.Errorf("%s: %w: %w", what, stock.ErrNotApplied, err)
	}
	return fmt.Errorf("%s: %w: %w", what, stock.ErrUnknown, err)
}
