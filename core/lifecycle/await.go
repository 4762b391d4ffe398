package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// awaitPause is the time between two tries to reach a server that is not up yet.
const awaitPause = 250 * time.Millisecond

// Await tries to reach a server until it works, the error is one of never, or ctx ends. It then returns why it did
// not work. A try that ctx cut short says less than the one before it.
func Await(ctx context.Context, log *slog.Logger, server string, try func() error, never ...error) error {
	var why error
	for told := false; ; told = true {
		err := try()
		if err == nil {
			return nil
		}
		for _, n := range never {
			if errors.Is(err, n) {
				return err
			}
		}
		if why == nil || ctx.Err() == nil {
			why = err
		}
		if !told {
			log.Info("waiting for a server", "server", server, "error", err)
		}
		if !Pause(ctx, awaitPause) {
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err() // somebody wants it to end: no failure
			}
			return why
		}
	}
}

// AwaitReady polls a role until ready tells that it is of use, ctx ends, or what is missing is hopeless. The error
// names the role and says what is missing.
func AwaitReady(ctx context.Context, role string, poll time.Duration, hopeless func(error) bool, ready func(context.Context) error) error {
	var last error
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil { // else it only says that time is up
			last = err
		}
		if hopeless(err) || !Pause(ctx, poll) {
			return fmt.Errorf("%s is not ready: %w", role, cmp.Or(last, err))
		}
	}
}
