package lifecycle

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// Trouble logs about work that is repeated: once when it begins to fail, and once when it works again. One goroutine
// uses it at a time.
type Trouble struct {
	log     *slog.Logger
	what    string
	failing bool

	every time.Duration    // how long it fails before that is logged again; 0: it is not
	now   func() time.Time // of every
	told  time.Time
}

// NewTrouble makes a Trouble. It logs "cannot <what> yet".
func NewTrouble(log *slog.Logger, what string) *Trouble {
	return &Trouble{log: log, what: what, now: time.Now}
}

// Again makes the Trouble log again, now and then, while the work goes on to fail.
func (t *Trouble) Again(every time.Duration, now func() time.Time) *Trouble {
	t.every, t.now = every, now
	return t
}

// Saw takes the outcome of one try. The attributes say more about an error.
func (t *Trouble) Saw(err error, attributes ...any) {
	switch {
	case err != nil && (!t.failing || t.every > 0 && t.now().Sub(t.told) >= t.every):
		t.told = t.now()
		t.log.Warn("cannot "+t.what+" yet", append([]any{"error", err}, attributes...)...)
	case err == nil && t.failing:
		t.log.Info("works again: " + t.what)
	}
	t.failing = err != nil
}

// Troubles logs about work that has many parts, each repeated: once when the first part begins to fail, and once when
// the last one works again.
type Troubles struct {
	log     *slog.Logger
	what    string
	part    string
	parts   []atomic.Bool // true for a part whose last try failed
	failing atomic.Int64  // how many
}

// NewTroubles makes a Troubles for so many parts, such as partitions. It logs "cannot <what> yet".
func NewTroubles(log *slog.Logger, what, part string, parts int) *Troubles {
	return &Troubles{log: log, what: what, part: part, parts: make([]atomic.Bool, parts)}
}

// Saw notes the outcome of one try of a part.
func (t *Troubles) Saw(part int, err error) {
	if failing := err != nil; t.parts[part].CompareAndSwap(!failing, failing) {
		switch {
		case failing && t.failing.Add(1) == 1:
			t.log.Warn("cannot "+t.what+" yet", t.part, part, "error", err)
		case !failing && t.failing.Add(-1) == 0:
			t.log.Info("works again: " + t.what)
		}
	}
}

// Any reports whether the last try of any part failed.
func (t *Troubles) Any() bool { return t.failing.Load() > 0 }

// Failing reports whether the last try of a part failed.
func (t *Troubles) Failing(part int) bool { return t.parts[part].Load() }

// Repeat does work again and again until ctx ends, with a pause after each time. It logs trouble under the name what.
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
