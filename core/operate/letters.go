package operate

import (
	"context"
	"fmt"
	"time"

	"sluice/core/ledger"
	"sluice/core/lifecycle"
)

// replayPause is the time between two looks whether a persister has replayed a dead letter.
const replayPause = 200 * time.Millisecond

// Replay is the effect that a replay of a dead letter would have, as far as this program can know.
type Replay struct {
	Unread string   // why this program cannot read it; a newer persister may
	Faults []string // why this program would not apply some of its events
	Events int      // events that a persister would apply, because the ledger lacks them
}

// ForeseeReplay returns the effect that a replay would have. The error is ledger.ErrNeverReplay if a persister never applies
// such a letter again.
func ForeseeReplay(l *ledger.LetterContent) (Replay, error) {
	if !l.Replays {
		return Replay{}, fmt.Errorf("dead letter %v is a %s: %w", l.ID, l.Reason, ledger.ErrNeverReplay)
	}
	r := Replay{Unread: l.Unread, Events: len(l.Events)}
	for _, e := range l.Events {
		if e.Fault != "" {
			r.Faults = append(r.Faults, e.Fault)
		}
	}
	return r, nil
}

// AwaitReplay waits until a persister has replayed a letter, or refused to, or the wait is over.
func AwaitReplay(ctx context.Context, letters interface {
	Letter(ctx context.Context, id ledger.LetterID) (ledger.LetterContent, error)
}, l ledger.Letter, wait time.Duration,
) (ledger.Letter, error) {
	for end := time.Now().Add(wait); l.ReplayAskedAt != 0 && time.Now().Before(end); {
		if !lifecycle.Pause(ctx, min(replayPause, time.Until(end))) {
			return l, ctx.Err() // the caller has ended the wait
		}
		now, err := letters.Letter(ctx, l.ID)
		if err != nil {
			return l, err
		}
		l = now.Letter
	}
	return l, nil
}
