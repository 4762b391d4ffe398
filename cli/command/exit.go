package command

import (
	"context"
	"errors"

	"sluice/core/stock"
)

// The exit codes. They are part of the command line's contract. Those from 10 on, of load runs, are in package report.
const (
	ExitDone        = 0
	ExitFailed      = 1   // it could not be done, or only in part; for doctor, a check failed
	ExitUsage       = 2   // the command line or a setting is wrong; nothing was done
	ExitNotFound    = 3   // the thing to show or change does not exist
	ExitRefused     = 4   // the rules of stock forbid it; nothing was changed
	ExitUnknown     = 5   // it may or may not have been done: repeat the command as its message says
	ExitDrift       = 6   // reconcile found differences
	ExitUnverified  = 7   // reconcile found none, and could not read everything; bench could not judge stock
	ExitInterrupted = 130 // SIGINT, SIGTERM or SIGHUP ended it early; what was done until then stays
)

// codedError is an error with an exit code of its own.
type codedError struct {
	error
	code int
}

// Unwrap gives the error itself.
func (e codedError) Unwrap() error { return e.error }

// ExitCode implements kong.ExitCoder.
func (e codedError) ExitCode() int { return e.code }

func usage(err error) error { return codedError{err, ExitUsage} }

// Usage makes an error one of the command line: nothing was done.
func Usage(err error) error { return usage(err) }

func notFound(err error) error { return codedError{err, ExitNotFound} }
func refused(err error) error  { return codedError{err, ExitRefused} }
func inPart(err error) error   { return codedError{err, ExitFailed} }

// ExitCode returns the exit code for the error of a command. Ctx is that of the whole program, which ends with a signal. An
// error that comes from the signal makes the command an interrupted one, also where a change was under way, whose outcome is
// then unknown, or was done in part. Whatever else a command has found out stands.
func ExitCode(ctx context.Context, err error) int {
	interrupted := ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, stock.ErrUnknown))
	var coded interface{ ExitCode() int }
	switch {
	case err == nil:
		return ExitDone
	case interrupted:
		return ExitInterrupted
	case errors.As(err, &coded):
		return coded.ExitCode()
	case errors.Is(err, stock.ErrUnknown):
		return ExitUnknown
	}
	return ExitFailed
}
