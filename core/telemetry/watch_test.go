package telemetry_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/telemetry"
)

// TestWatch makes a server faulty, silent, and well again.
func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		set, log := metrics.NewSet(), new(strings.Builder)
		var now atomic.Pointer[func() ([]telemetry.Fault, error)]
		say := func(faults []telemetry.Fault, err error) {
			f := func() ([]telemetry.Fault, error) { return faults, err }
			now.Store(&f)
		}
		say(nil, nil)
		w := telemetry.NewWatch(set, "redis", []string{"full"}, func(context.Context) ([]telemetry.Fault, error) {
			return (*now.Load())()
		}, slog.New(slog.NewTextHandler(log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.Run(ctx)
		}()
		check := w.Check()
		sees := func(full, unknown float64, want string) {
			t.Helper()
			time.Sleep(11 * time.Second)
			synctest.Wait()
			for word, n := range map[string]float64{"full": full, "unknown": unknown} {
				if got := set.GetOrCreateGauge(`sluice_core_server_faults{server="redis",fault="`+word+`"}`, nil).Get(); got != n {
					t.Errorf("%s is %v, want %v", word, got, n)
				}
			}
			err := check.Probe(ctx)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("the check says %v, want %q", err, want)
			}
		}
		sees(0, 0, "")
		say([]telemetry.Fault{{Word: "full", Found: "no room", Do: "make some"}}, nil)
		sees(1, 0, "no room: make some")
		say(nil, errors.New("no route"))
		sees(0, 1, "no route")
		say([]telemetry.Fault{{Word: "full", Found: "no room", Do: "make some"}}, errors.New("no route"))
		sees(1, 1, "no room: make some")
		say(nil, nil)
		sees(0, 0, "")
		cancel()
		<-done
		if told := strings.Count(log.String(), "\n"); told != 3 || !check.Degrades {
			t.Errorf("each fault is told once when it comes:\n%s", log)
		}
	})
}

// TestWatchOfAServerThatHangs: a server that does not answer is told of, and the end of the process is not.
func TestWatchOfAServerThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		set, log := metrics.NewSet(), new(strings.Builder)
		w := telemetry.NewWatch(set, "mysql", nil, func(ctx context.Context) ([]telemetry.Fault, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, slog.New(slog.NewTextHandler(log, nil)))
		run := func(d time.Duration) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				w.Run(ctx)
			}()
			time.Sleep(d)
			cancel()
			<-done
		}
		run(time.Second)
		if err := w.Check().Probe(t.Context()); err != nil || log.Len() > 0 {
			t.Errorf("ended while it looked: %v\n%s", err, log)
		}
		run(10 * time.Second)
		if err := w.Check().Probe(t.Context()); err == nil || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("hangs: %v\n%s", err, log)
		}
	})
}
