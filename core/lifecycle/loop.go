package lifecycle

import (
	"context"
	"log/slog"
	"time"
)

// Trouble tells of work that is repeated: once when it begins to fail, and once when it works again. One goroutine
// uses it at a time.
type Trouble struct {
	log     *slog.Logger
	what    string
	failing bool
}

// NewTrouble tells of the work that what names, as in "cannot <what> yet".
func NewTrouble(log *slog.Logger, what string) *Trouble { return &Trouble{log: log, what: what} }

// Saw takes the outcome of one try.
func (t *Trouble) Saw(err error) {
	switch {
	case err != nil && !t.failing:
		t.log.Warn("cannot "+t.what+" yet", "error", err)
	case err == nil && t.failing:
		t.log.Info("works again: " + t.what)
	}
	t.failing = err != nil
}

// Repeat does work again and again until ctx ends, with a pause after each time, and tells of trouble under the
// name what.
func Repeat(ctx context.Context, log *slog.Logger, what string, pause time.Duration, work func(context.Context) error) {
	trouble := NewTrouble(log, what)
	for {
		err := work(ctx)
		if ctx.Err() != nil {
			return
		}
		trouble.Saw(err)
		if !Pause(ctx, pause) {
			return
		}
	}
}

// Pause waits, and reports false if ctx ends first.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
