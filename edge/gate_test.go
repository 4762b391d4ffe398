package edge

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/stock/redisstock"
)

// TestGate drives the gate through a shut Redis, one that does not pass, and one that restarts.
func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var shut atomic.Bool
		var looks, flushes, opens int
		var obstacle error
		shut.Store(true)
		g := newGate(metrics.NewSet(), slog.New(slog.DiscardHandler))
		g.shut = func(context.Context) (bool, error) { looks++; return shut.Load(), nil }
		g.flush = func(context.Context) error { flushes++; return nil }
		g.open = func(context.Context) (redisstock.OpenReport, error) {
			opens++
			if obstacle == nil {
				shut.Store(false)
			}
			return redisstock.OpenReport{}, obstacle
		}
		obstacle = errors.New("not yet")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		worked := make(chan struct{})
		go g.run(ctx)
		go g.whenOpen(ctx, func(context.Context) { close(worked) })

		synctest.Wait()
		if opens != 1 || flushes != 1 {
			t.Fatalf("at the start: %d openings, %d flushes", opens, flushes)
		}
		for range 1000 { // refused requests come in by the thousand
			g.suspect()
			synctest.Wait()
		}
		if opens > 2 {
			t.Errorf("%d openings because of knocking", opens)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if opens < 8 || opens > 25 {
			t.Errorf("%d openings in a minute of failures", opens)
		}
		select {
		case <-worked:
			t.Error("work began before Redis was open")
		default:
		}

		obstacle = nil
		time.Sleep(gateRetryMax)
		synctest.Wait()
		<-worked
		before, beforeLooks := opens, looks
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if opens != before || looks < beforeLooks+9 {
			t.Errorf("open: %d more openings, %d more looks in 10 s", opens-before, looks-beforeLooks)
		}

		shut.Store(true) // restarted
		g.suspect()
		synctest.Wait()
		if opens != before+1 || shut.Load() {
			t.Errorf("knocking at a restarted Redis: %d openings", opens-before)
		}
	})
}
