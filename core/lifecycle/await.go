package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// awaitPause is the time between two tries to reach a server that is not up yet.
const awaitPause = 250 * time.Millisecond

// Await tries to reach a server until it works, the error is one of never, or ctx ends. It then returns why it did
// not work: nothing but ctx's own error if somebody cancelled it.
func Await(ctx context.Context, log *slog.Logger, server string, try func() error, never ...error) error {
	told := false
	wrong := func(err error) bool {
		return slices.ContainsFunc(never, func(n error) bool { return errors.Is(err, n) })
	}
	err := Poll(ctx, awaitPause, try, func(err error) bool {
		if !told && !wrong(err) {
			told = true
			log.Info("waiting for a server", "server", server, "error", err)
		}
		return wrong(err)
	})
	if err != nil && !wrong(err) && errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return err
}

// AwaitReady polls a role until ready reports that it works, ctx ends, or waiting cannot help. The error names the role
// and says what is missing.
func AwaitReady(ctx context.Context, role string, pause time.Duration, hopeless func(error) bool, ready func(context.Context) error) error {
	if err := Poll(ctx, pause, func() error { return ready(ctx) }, hopeless); err != nil {
		return fmt.Errorf("%s is not ready: %w", role, err)
	}
	return nil
}

// Poll tries until it works, the failure is hopeless, or ctx ends, and returns why it did not work. A try that ctx cut
// short says less than the one before it.
func Poll(ctx context.Context, pause time.Duration, try func() error, hopeless func(error) bool) error {
	var why error
	for {
		err := try()
		if err == nil {
			return nil
		}
		if hopeless(err) {
			return err
		}
		if why == nil || ctx.Err() == nil {
			why = err
		}
		if !Pause(ctx, pause) {
			return why
		}
	}
}
