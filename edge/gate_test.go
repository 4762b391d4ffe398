package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// TestGate drives the gate through a shut Redis, one that does not pass, and one that restarts.
func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var shut, vetted atomic.Bool
		var looks, flushes, opens atomic.Int64
		var obstacle atomic.Pointer[error]
		shut.Store(true)
		set := metrics.NewSet()
		g := newGate(set, slog.New(slog.DiscardHandler))
		state := func(want string) {
			t.Helper()
			for _, word := range redisStates {
				figure := set.GetOrCreateGauge(fmt.Sprintf("sluice_edge_redis_state_info{state=%q}", word), nil).Get()
				if (figure == 1) != (word == want) {
					t.Errorf("state %s is %v, want %s", word, figure, want)
				}
			}
		}
		var away atomic.Pointer[error]
		g.ask = func(context.Context) (redisState, error) {
			looks.Add(1)
			switch err := away.Load(); {
			case err != nil:
				return redisUnknown, *err
			case shut.Load():
				return redisShut, nil
			}
			return redisOpen, nil
		}
		g.vetted = vetted.Load
		g.flush = func(context.Context) error { flushes.Add(1); return nil }
		g.adopt = func(context.Context) error { return errors.New("nobody else has vetted it") }
		g.vet = func(context.Context) error {
			opens.Add(1)
			if err := obstacle.Load(); err != nil {
				return *err
			}
			shut.Store(false)
			vetted.Store(true)
			return nil
		}
		notYet := errors.New("not yet")
		obstacle.Store(&notYet)
		state("unknown")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		worked := make(chan struct{})
		go g.run(ctx)
		go g.whenOpen(ctx, func(context.Context) { close(worked) })

		synctest.Wait()
		if opens.Load() != 1 || flushes.Load() != 1 {
			t.Fatalf("at the start: %d openings, %d flushes", opens.Load(), flushes.Load())
		}
		for range 1000 { // refused requests come in by the thousand
			g.suspect()
			synctest.Wait()
		}
		if opens.Load() > 2 {
			t.Errorf("%d openings because of knocking", opens.Load())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := opens.Load(); n < 8 || n > 25 {
			t.Errorf("%d openings in a minute of failures", n)
		}
		select {
		case <-worked:
			t.Error("work began before Redis was open")
		default:
		}

		state("shut")
		obstacle.Store(nil)
		time.Sleep(gateRetryMax)
		synctest.Wait()
		state("open")
		away.Store(&notYet)
		time.Sleep(gateEvery)
		synctest.Wait()
		state("unknown")
		away.Store(nil)
		time.Sleep(gateRetryMax)
		synctest.Wait()
		state("open")
		<-worked
		before, beforeLooks := opens.Load(), looks.Load()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if opens.Load() != before || looks.Load() < beforeLooks+9 {
			t.Errorf("open: %d more openings, %d more looks in 10 s", opens.Load()-before, looks.Load()-beforeLooks)
		}

		shut.Store(true) // restarted
		g.suspect()
		synctest.Wait()
		if opens.Load() != before+1 || shut.Load() {
			t.Errorf("knocking at a restarted Redis: %d openings", opens.Load()-before)
		}
	})
}
