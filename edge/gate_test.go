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
		var shut, vetted atomic.Bool
		var looks, flushes, opens atomic.Int64
		var obstacle atomic.Pointer[error]
		shut.Store(true)
		g := newGate(metrics.NewSet(), slog.New(slog.DiscardHandler))
		g.ask = func(context.Context) (redisstock.State, error) {
			looks.Add(1)
			if shut.Load() {
				return redisstock.StateShut, nil
			}
			return redisstock.StateOpen, nil
		}
		g.shut = func() int { return 1 }
		g.vetted = vetted.Load
		g.flush = func(context.Context) error { flushes.Add(1); return nil }
		g.adopt = func(context.Context) error { return errors.New("nobody else has vetted it") }
		g.load = func(context.Context) error { return nil } // restarted: there is nothing to load them beside
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
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go g.run(ctx)

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
		if g.open.Raised() {
			t.Error("work began before Redis was open")
		}

		obstacle.Store(nil)
		time.Sleep(gateRetryMax)
		synctest.Wait()
		if !g.open.Raised() {
			t.Error("work has not begun though Redis is open")
		}
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

// TestGateTrustsOthersOnlyAfterAVetting: what another edge has opened is adopted by an edge that has compared the
// data itself once. Before that it vets, also while events cannot reach Kafka.
func TestGateTrustsOthersOnlyAfterAVetting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var shut atomic.Bool
		var adoptions, vettings atomic.Int64
		open := func(count *atomic.Int64) func(context.Context) error {
			return func(context.Context) error {
				count.Add(1)
				shut.Store(false)
				return nil
			}
		}
		g := newGate(metrics.NewSet(), slog.New(slog.DiscardHandler))
		g.ask = func(context.Context) (redisstock.State, error) {
			if shut.Load() {
				return redisstock.StateShut, nil
			}
			return redisstock.StateOpen, nil
		}
		g.shut = func() int { return 0 }
		g.vetted = func() bool { return vettings.Load() > 0 }
		g.flush = func(context.Context) error { return errors.New("Kafka is away") }
		g.load = func(context.Context) error { return nil }
		g.adopt, g.vet = open(&adoptions), open(&vettings)
		go g.run(t.Context())
		for _, step := range []struct {
			name                string
			vettings, adoptions int64
		}{{"the first look", 1, 0}, {"opened by another edge", 1, 1}} {
			shut.Store(true)
			g.suspect()
			synctest.Wait()
			if vettings.Load() != step.vettings || adoptions.Load() != step.adoptions || shut.Load() {
				t.Errorf("%s: %d vettings, %d adoptions, shut: %v", step.name, vettings.Load(), adoptions.Load(), shut.Load())
			}
		}
	})
}

// TestGateOfDataOfTheLastRun: where Redis is open to an edge that has just started, its work begins at once, and the
// data are compared beside it.
func TestGateOfDataOfTheLastRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var vettings atomic.Int64
		g := newGate(metrics.NewSet(), slog.New(slog.DiscardHandler))
		g.ask = func(context.Context) (redisstock.State, error) { return redisstock.StateOpen, nil }
		g.shut = func() int { return 0 }
		g.vetted = func() bool { return false }
		g.flush = func(context.Context) error { return nil }
		g.vet = func(ctx context.Context) error {
			vettings.Add(1)
			<-ctx.Done() // MySQL hangs
			return ctx.Err()
		}
		go g.run(t.Context())
		synctest.Wait()
		if worked := g.open.Raised(); !worked || vettings.Load() != 1 {
			t.Errorf("worked: %v, %d vettings", worked, vettings.Load())
		}
		time.Sleep(gateTimeout + gateRetryMax)
		synctest.Wait()
		if vettings.Load() != 2 {
			t.Errorf("%d vettings, though the first took longer than it may", vettings.Load())
		}
	})
}

// TestGateBesideAnotherVersion: an edge that was upgraded lacks its scripts only. It loads them, and sells what its last
// run trusted at once, while it compares the data.
func TestGateBesideAnotherVersion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var loaded, vetting atomic.Bool
		g := newGate(metrics.NewSet(), slog.New(slog.DiscardHandler))
		g.ask = func(context.Context) (redisstock.State, error) {
			if loaded.Load() {
				return redisstock.StateOpen, nil
			}
			return redisstock.StateShut, nil
		}
		g.shut = func() int { return 0 }
		g.vetted = func() bool { return false }
		g.flush = func(context.Context) error { return nil }
		g.load = func(context.Context) error { loaded.Store(true); return nil }
		g.vet = func(ctx context.Context) error {
			vetting.Store(true)
			<-ctx.Done()
			return ctx.Err()
		}
		go g.run(t.Context())
		synctest.Wait()
		if worked := g.open.Raised(); !worked || !vetting.Load() {
			t.Errorf("worked: %v, vetted beside that: %v", worked, vetting.Load())
		}
	})
}

// TestGateOpensOthersBesideWhatIsRefused: what needs a person is not compared again at once, and a restart of Redis is
// noticed all the same.
func TestGateOpensOthersBesideWhatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const partitions = 64
		var shut, vettings atomic.Int64
		shut.Store(partitions)
		g := newGate(metrics.NewSet(), slog.New(slog.DiscardHandler))
		g.ask = func(context.Context) (redisstock.State, error) {
			if shut.Load() == partitions {
				return redisstock.StateShut, nil
			}
			return redisstock.StatePartly, nil
		}
		g.shut = func() int { return int(shut.Load()) }
		g.vetted = func() bool { return vettings.Load() > 0 }
		g.flush = func(context.Context) error { return nil }
		g.load = func(context.Context) error { return nil }
		g.adopt = g.load
		g.vet = func(context.Context) error {
			vettings.Add(1)
			shut.Store(1)
			return redisstock.ErrVetting
		}
		go g.run(t.Context())
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		before := vettings.Load()
		if before < 20 || before > 40 {
			t.Errorf("%d vettings in ten minutes of one partition that is refused", before)
		}
		if err := g.why(errPartlyShut); !errors.Is(err, redisstock.ErrVetting) {
			t.Errorf("it does not say why: %v", err)
		}
		for restart := int64(1); restart <= 3; restart++ {
			shut.Store(partitions)
			g.suspect()
			time.Sleep(gateEvery)
			synctest.Wait()
			if shut.Load() != 1 || vettings.Load() > before+2*restart {
				t.Errorf("%v after restart %d: %d partitions are shut, %d vettings", gateEvery, restart, shut.Load(), vettings.Load()-before)
			}
		}
	})
}
