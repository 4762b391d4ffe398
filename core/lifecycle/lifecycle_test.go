package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errAway = errors.New("away")

func TestStackUndoesLastFirst(t *testing.T) {
	t.Parallel()
	var stack Stack
	var undone []string
	step := func(name string, err error) func(context.Context) error {
		return func(context.Context) error {
			stack.Later("undo "+name, func(ctx context.Context) error {
				undone = append(undone, name)
				return ctx.Err()
			})
			return err
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // which is no reason to leave anything behind
	err := stack.Start(ctx, step("a", nil), step("b", nil), step("c", errAway), step("d", nil))
	if !errors.Is(err, errAway) || strings.Contains(err.Error(), "undo") {
		t.Errorf("Start = %v, want only what failed", err)
	}
	if want := []string{"c", "b", "a"}; !slices.Equal(undone, want) {
		t.Errorf("undone %q, want %q", undone, want)
	}
	if err := stack.Stop(t.Context()); err != nil || len(undone) != 3 {
		t.Errorf("a second Stop = %v and undid %q", err, undone)
	}
}

func TestStackGoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	var stack Stack
	closed := false
	stack.Close("close first", func() { closed = true })
	stack.Later("flush", func(context.Context) error { return errAway })
	err := stack.Stop(t.Context())
	if !errors.Is(err, errAway) || !strings.HasPrefix(err.Error(), "flush: ") || !closed {
		t.Errorf("Stop = %v, closed the first: %v", err, closed)
	}
}

func TestGroupStopsAndNamesWhatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		g := NewGroup(slog.New(slog.NewTextHandler(&log, nil)))
		g.Run("good", func(ctx context.Context) { <-ctx.Done() })
		g.Go("broken", func(context.Context) error { return errAway })
		release := make(chan struct{})
		g.Run("deaf", func(context.Context) { <-release })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "still at work: deaf: ") {
			t.Errorf("Stop = %v, want the deaf one named", err)
		}
		close(release)
		if err := g.Stop(t.Context()); err != nil {
			t.Errorf("Stop = %v", err)
		}
		if text := log.String(); !strings.Contains(text, "work=broken error=away") || strings.Contains(text, "work=good") {
			t.Errorf("log: %s", text)
		}
	})
}

func TestSignalLetsWorkBegin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		open, never := NewSignal(), NewSignal()
		g := NewGroup(slog.New(slog.DiscardHandler))
		began := 0
		work := func(ctx context.Context) {
			began++
			<-ctx.Done()
		}
		g.Run("late", open.After(work))
		g.Run("never", never.After(work))
		synctest.Wait()
		if began != 0 || open.Raised() {
			t.Error("work began before the signal")
		}
		open.Raise()
		open.Raise()
		synctest.Wait()
		if began != 1 || !open.Raised() {
			t.Errorf("%d works began after one signal", began)
		}
		if err := g.Stop(t.Context()); err != nil || began != 1 {
			t.Errorf("Stop = %v, %d works began", err, began)
		}
	})
}

func TestRepeatTellsOfTroubleOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		tries := 0
		start := time.Now()
		Repeat(ctx, slog.New(slog.NewTextHandler(&log, nil)), "count", time.Minute, func(context.Context) error {
			switch tries++; tries {
			case 2, 3, 6:
				return errAway
			case 7:
				cancel()
				return errAway // because ctx has ended: nothing to tell
			}
			return nil
		})
		if took := time.Since(start); took != 6*time.Minute {
			t.Errorf("7 tries took %v", took)
		}
		warned, again := strings.Count(log.String(), `"cannot count yet"`), strings.Count(log.String(), `"works again: count"`)
		if warned != 2 || again != 1 {
			t.Errorf("warned %d times, told once more %d times:\n%s", warned, again, log.String())
		}
	})
}

// If many parts fail together, one line tells of it, and one line tells that all of them work again. If a part fails
// for long, a line tells of it again now and then, and names the try.
func TestTroubleIsToldAgain(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	now := time.Unix(1000, 0)
	trouble := NewTrouble(slog.New(slog.NewTextHandler(&log, nil)), "write").Again(time.Minute, func() time.Time { return now })
	for range 4 { // at 0, 40, 80 and 120 s
		trouble.Saw(errAway, "rows", 3)
		now = now.Add(40 * time.Second)
	}
	trouble.Saw(nil)
	trouble.Saw(nil)
	trouble.Saw(errAway)
	said := log.String()
	if strings.Count(said, "cannot write yet") != 3 || strings.Count(said, "works again: write") != 1 || strings.Count(said, "rows=3") != 2 {
		t.Error(said)
	}
}

func TestTroublesAreToldOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	told := func() (lines []string) {
		for line := range strings.Lines(log.String()) {
			_, line, _ = strings.Cut(line, "msg=")
			lines = append(lines, strings.TrimSpace(line))
		}
		log.Reset()
		return lines
	}
	trouble := NewTroubles(slog.New(slog.NewTextHandler(&log, nil)), "publish", "partition", 3)
	for i, step := range []struct {
		part int
		err  error
		want []string
	}{
		{0, nil, nil},
		{1, errAway, []string{`"cannot publish yet" partition=1 error=away`}},
		{1, errAway, nil},
		{2, errAway, nil},
		{1, nil, nil},
		{0, nil, nil},
		{2, nil, []string{`"works again: publish"`}},
		{2, nil, nil},
		{0, errAway, []string{`"cannot publish yet" partition=0 error=away`}},
	} {
		trouble.Saw(step.part, step.err)
		if got := told(); !slices.Equal(got, step.want) || trouble.Failing(step.part) != (step.err != nil) {
			t.Errorf("step %d: told %q, want %q", i, got, step.want)
		}
	}
}

func TestAwait(t *testing.T) {
	t.Parallel()
	errWrong := errors.New("wrong")
	for name, c := range map[string]struct {
		tries []error // the last one goes on
		want  error
		took  time.Duration
	}{
		"at once":         {[]error{nil}, nil, 0},
		"after a while":   {[]error{errAway, errAway, nil}, nil, 2 * awaitPause},
		"never":           {[]error{errAway}, errAway, time.Second},
		"a wrong setting": {[]error{errAway, errWrong}, errWrong, awaitPause},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				var log bytes.Buffer
				start, n := time.Now(), 0
				err := Await(ctx, slog.New(slog.NewTextHandler(&log, nil)), "redis", func() error {
					defer func() { n++ }()
					if ctx.Err() != nil {
						return ctx.Err()
					}
					return c.tries[min(n, len(c.tries)-1)]
				}, errWrong)
				if !errors.Is(err, c.want) || time.Since(start) != c.took {
					t.Errorf("Await = %v after %v, want %v after %v", err, time.Since(start), c.want, c.took)
				}
				if told := strings.Count(log.String(), "waiting for a server"); told != min(1, int(c.took)) {
					t.Errorf("told %d times", told)
				}
			})
		})
	}
}

func TestAwaitEndsQuietlyWhenItIsCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	err := Await(ctx, slog.New(slog.DiscardHandler), "redis", func() error { cancel(); return errAway })
	if !errors.Is(err, context.Canceled) || errors.Is(err, errAway) {
		t.Errorf("Await = %v", err)
	}
}

func TestAwaitReadySaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		hopeful := func(error) bool { return false }
		err := AwaitReady(ctx, "edge", 50*time.Millisecond, hopeful, func(ctx context.Context) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return errAway
		})
		if !errors.Is(err, errAway) || !strings.HasPrefix(err.Error(), "edge is not ready: ") {
			t.Errorf("AwaitReady = %v", err)
		}
		start := time.Now()
		hopeless := func(err error) bool { return errors.Is(err, errAway) }
		err = AwaitReady(t.Context(), "edge", time.Hour, hopeless, func(context.Context) error { return errAway })
		if !errors.Is(err, errAway) || time.Since(start) > 0 {
			t.Errorf("AwaitReady = %v after %v, though nothing is to be hoped for", err, time.Since(start))
		}
	})
}
