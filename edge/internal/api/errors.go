package api

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/ledger"
	"sluice/core/problem"
	"sluice/core/stock"
	"sluice/edge/batch"
	"sluice/edge/cells"
	"sluice/edge/screen"
)

// Refusals without further members. Requests share them, because nothing ever changes them.
var (
	errSoldOut            = &problem.Problem{Kind: problem.SoldOut}
	errLimitReached       = &problem.Problem{Kind: problem.LimitReached, Detail: "the user would have more units than the limit"}
	errNotRegistered      = &problem.Problem{Kind: problem.NotRegistered}
	errNotLoaded          = &problem.Problem{Kind: problem.NotLoaded}
	errUnknownReservation = &problem.Problem{Kind: problem.UnknownReservation}
	errNotFound           = &problem.Problem{Kind: problem.NotFound}
	errOverloaded         = &problem.Problem{Kind: problem.Overloaded}
	errForbidden          = &problem.Problem{Kind: problem.Forbidden}
	errNotToRead          = &problem.Problem{Kind: problem.Forbidden, Detail: auth.ScopeStockRead.Lacking()}
	errNotToWrite         = &problem.Problem{Kind: problem.Forbidden, Detail: auth.ScopeStockWrite.Lacking()}
)

// kindOf returns the kind of problem for a verdict, or nil if the verdict is no refusal. The reservation of another user
// and a missing one have the same kind, so that nobody learns of other people's reservations.
func kindOf(v stock.Verdict) *problem.Kind {
	switch v {
	case stock.VerdictOK, stock.VerdictReplayed:
		return nil
	case stock.VerdictSoldOut:
		return problem.SoldOut
	case stock.VerdictLimitReached:
		return problem.LimitReached
	case stock.VerdictNotLoaded:
		return problem.NotLoaded
	case stock.VerdictNotOpen:
		return problem.NotOpen
	case stock.VerdictClosed:
		return problem.Closed
	case stock.VerdictFrozen:
		return problem.Frozen
	case stock.VerdictFenced:
		return problem.Fenced
	case stock.VerdictMismatch:
		return problem.Mismatch
	case stock.VerdictUnknownReservation, stock.VerdictWrongUser:
		return problem.UnknownReservation
	case stock.VerdictWrongState:
		return problem.WrongState
	case stock.VerdictBackpressure:
		return problem.Backpressure
	case stock.VerdictBreached:
		return problem.Breached
	case stock.VerdictNotRegistered:
		return problem.NotRegistered
	case stock.VerdictReplicaMissing:
		return problem.ReplicaMissing
	case stock.VerdictUsersMissing: // an edge brings them back
		return problem.Unavailable
	case stock.VerdictRefused: // another line of the basket is to blame, and named
	}
	return problem.Internal
}

// problemOf returns the problem for an error. An error that it does not know is a bug; then it also returns true.
func problemOf(err error) (p *problem.Problem, bug bool) {
	if p, ok := err.(*problem.Problem); ok { //nolint:errorlint // never wrapped, and errors.As would allocate
		return p, false
	}
	switch {
	case errors.Is(err, stock.ErrInTransit):
		return &problem.Problem{Kind: problem.InTransit}, false
	case errors.Is(err, stock.ErrUnknown):
		return &problem.Problem{Kind: problem.OutcomeUnknown}, false
	case errors.Is(err, stock.ErrTransferMismatch):
		return &problem.Problem{Kind: problem.Mismatch}, false
	case errors.Is(err, stock.ErrTransferRefused):
		return &problem.Problem{Kind: problem.TransferRefused, Detail: err.Error()}, false
	case errors.Is(err, batch.ErrFull), errors.Is(err, cells.ErrFull), errors.Is(err, screen.ErrBusy):
		return errOverloaded, false
	case errors.Is(err, stock.ErrNotApplied), errors.Is(err, stock.ErrShut),
		errors.Is(err, batch.ErrDraining), errors.Is(err, cells.ErrClosed):
		return &problem.Problem{Kind: problem.Unavailable, Detail: unreached(err)}, false
	case errors.Is(err, ledger.ErrMayBeLetter):
		return &problem.Problem{Kind: problem.Unavailable, Detail: err.Error()}, false
	case errors.Is(err, ledger.ErrCursor), errors.Is(err, ledger.ErrFilter):
		return &problem.Problem{Kind: problem.Malformed, Detail: err.Error()}, false
	case errors.Is(err, ledger.ErrNoLetter):
		return &problem.Problem{Kind: problem.UnknownLetter}, false
	case errors.Is(err, ledger.ErrNeverReplay):
		return &problem.Problem{Kind: problem.WrongState, Detail: err.Error()}, false
	}
	return &problem.Problem{Kind: problem.Internal}, true
}

// problemOfRead is problemOf for a call that only reads: whatever happened, nothing was changed.
func problemOfRead(err error) error {
	if errors.Is(err, stock.ErrUnknown) || errors.Is(err, context.DeadlineExceeded) {
		return &problem.Problem{Kind: problem.Unavailable, Detail: unreached(err)}
	}
	return err
}

// unreached names the server of an error, unless it is the Redis of the stock, as usual. It also tells if that Redis is
// full.
func unreached(err error) string {
	server := new(config.ServerError)
	switch {
	case errors.Is(err, stock.ErrFull):
		return "The memory of Redis is full. Redis takes more once MySQL has the events that wait."
	case errors.Is(err, stock.ErrShut):
		return "This stock is shut: its data in Redis are not those that were vetted."
	case errors.As(err, &server):
		return server.Server + " cannot be reached."
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, mysql.ErrInvalidConn):
		return "MySQL cannot be reached."
	}
	return ""
}

func malformed(pointer, format string, values ...any) *problem.Problem {
	return &problem.Problem{Kind: problem.Malformed, Pointer: pointer, Detail: fmt.Sprintf(format, values...)}
}

// unframed is the problem of a request that two readers could end in two places.
func unframed(detail string) *problem.Problem {
	return &problem.Problem{Kind: problem.Malformed, Detail: detail, Close: true}
}
