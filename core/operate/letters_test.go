package operate_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/ledger"
	"sluice/core/operate"
)

func TestForeseeReplay(t *testing.T) {
	t.Parallel()
	letter := func(replays bool, unread string, faults ...string) *ledger.LetterContent {
		l := &ledger.LetterContent{Unread: unread}
		l.Replays = replays
		for _, fault := range faults {
			l.Events = append(l.Events, ledger.LetterEvent{Fault: fault})
		}
		return l
	}
	if _, err := operate.ForeseeReplay(letter(false, "")); !errors.Is(err, ledger.ErrNeverReplay) {
		t.Errorf("one that is never applied again: %v", err)
	}
	for _, c := range []struct {
		l    *ledger.LetterContent
		want operate.Replay
	}{
		{letter(true, "version 9"), operate.Replay{Unread: "version 9"}},
		{letter(true, "", "", ""), operate.Replay{Events: 2}},
		{letter(true, "", "", "negative"), operate.Replay{Events: 2, Faults: []string{"negative"}}},
	} {
		got, err := operate.ForeseeReplay(c.l)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%v, %s", err, diff)
		}
	}
}

// desk resolves a letter at a time.
type desk struct {
	resolves time.Time
	looks    int
	err      error
}

func (d *desk) Letter(context.Context, ledger.LetterID) (l ledger.LetterContent, err error) {
	if d.looks++; time.Now().Before(d.resolves) {
		l.ReplayAskedAt = 1
	}
	return l, d.err
}

func TestAwaitReplay(t *testing.T) {
	t.Parallel()
	asked := ledger.Letter{ReplayAskedAt: 1}
	for _, c := range []struct {
		name           string
		resolves, wait time.Duration
		done           bool
		took           time.Duration
	}{
		{"in time", time.Second, 15 * time.Second, true, time.Second},
		{"not in time", time.Hour, time.Second, false, time.Second},
		{"no wait", 0, 0, false, 0},
		{"a wait shorter than a pause", time.Hour, time.Millisecond, false, time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			d := &desk{resolves: start.Add(c.resolves)}
			l, err := operate.AwaitReplay(t.Context(), d, asked, c.wait)
			if err != nil || (l.ReplayAskedAt == 0) != c.done || time.Since(start) != c.took {
				t.Errorf("%s: %+v after %v, %v", c.name, l, time.Since(start), err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		d := &desk{resolves: time.Now().Add(time.Hour), err: errors.New("away")}
		if _, err := operate.AwaitReplay(t.Context(), d, asked, time.Minute); !errors.Is(err, d.err) || d.looks != 1 {
			t.Errorf("MySQL is away: %v after %d looks", err, d.looks)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d.err = nil
		if _, err := operate.AwaitReplay(ctx, d, asked, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cut off: %v", err)
		}
		if _, err := operate.AwaitReplay(t.Context(), nil, ledger.Letter{}, time.Minute); err != nil {
			t.Errorf("one that nobody asked for: %v", err)
		}
	})
}
