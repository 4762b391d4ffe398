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

// shutRedis is a Redis of some partitions, some of them shut, that keeps count of what a gate does to it.
type shutRedis struct {
	shut     atomic.Int64 // partitions
	of       int64        // partitions that there are; 0: one
	vetted   atomic.Bool
	looks    atomic.Int64
	flushes  atomic.Int64
	vettings atomic.Int64

	adoptions atomic.Int64
	loads     atomic.Int64

	adopt, load, flush, vet func(context.Context) error // nil: each works, and changes nothing
}

func (r *shutRedis) State(context.Context) (redisstock.State, error) {
	r.looks.Add(1)
	switch r.shut.Load() {
	case 0:
		return redisstock.StateOpen, nil
	case max(r.of, 1):
		return redisstock.StateShut, nil
	}
	return redisstock.StatePartly, nil
}

func (r *shutRedis) SeenShut() int { return int(r.shut.Load()) }
func (r *shutRedis) Vetted() bool  { return r.vetted.Load() }

func (r *shutRedis) Adopt(ctx context.Context) error       { return done(ctx, &r.adoptions, r.adopt) }
func (r *shutRedis) LoadScripts(ctx context.Context) error { return done(ctx, &r.loads, r.load) }
func (r *shutRedis) Flush(ctx context.Context) error       { return done(ctx, &r.flushes, r.flush) }
func (r *shutRedis) Vet(ctx context.Context) error         { return done(ctx, &r.vettings, r.vet) }

func done(ctx context.Context, count *atomic.Int64, do func(context.Context) error) error {
	count.Add(1)
	if do == nil {
		return nil
	}
	return do(ctx)
}

// opens has every partition opened, and vetted by this edge.
func (r *shutRedis) opens(context.Context) error {
	r.shut.Store(0)
	r.vetted.Store(true)
	return nil
}

func newTestGate(r *shutRedis) *gate {
	return newGate(r, metrics.NewSet(), slog.New(slog.DiscardHandler))
}

// TestGate drives the gate through a shut Redis, one that does not pass, and one that restarts.
func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var obstacle atomic.Pointer[error]
		var r shutRedis
		r.shut.Store(1)
		r.adopt = func(context.Context) error { return errors.New("nobody else has vetted it") }
		r.vet = func(ctx context.Context) error {
			if err := obstacle.Load(); err != nil {
				return *err
			}
			return r.opens(ctx)
		}
		g := newTestGate(&r)
		notYet := errors.New("not yet")
		obstacle.Store(&notYet)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go g.run(ctx)

		synctest.Wait()
		if r.vettings.Load() != 1 || r.flushes.Load() != 1 {
			t.Fatalf("at the start: %d openings, %d flushes", r.vettings.Load(), r.flushes.Load())
		}
		for range 1000 { // refused requests come in by the thousand
			g.suspect()
			synctest.Wait()
		}
		if r.vettings.Load() > 2 {
			t.Errorf("%d openings because of knocking", r.vettings.Load())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := r.vettings.Load(); n < 8 || n > 25 {
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
		before, beforeLooks := r.vettings.Load(), r.looks.Load()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if r.vettings.Load() != before || r.looks.Load() < beforeLooks+9 {
			t.Errorf("open: %d more openings, %d more looks in 10 s", r.vettings.Load()-before, r.looks.Load()-beforeLooks)
		}

		r.shut.Store(1) // restarted
		g.suspect()
		synctest.Wait()
		if r.vettings.Load() != before+1 || r.shut.Load() != 0 {
			t.Errorf("knocking at a restarted Redis: %d openings", r.vettings.Load()-before)
		}
	})
}

// TestGateTrustsOthersOnlyAfterAVetting: what another edge has opened is adopted by an edge that has compared the
// data itself once. Before that it vets, also while events cannot reach Kafka.
func TestGateTrustsOthersOnlyAfterAVetting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r shutRedis
		r.flush = func(context.Context) error { return errors.New("Kafka is away") }
		r.adopt, r.vet = r.opens, r.opens
		g := newTestGate(&r)
		go g.run(t.Context())
		for _, step := range []struct {
			name                string
			vettings, adoptions int64
		}{{"the first look", 1, 0}, {"opened by another edge", 1, 1}} {
			r.shut.Store(1)
			g.suspect()
			synctest.Wait()
			if r.vettings.Load() != step.vettings || r.adoptions.Load() != step.adoptions || r.shut.Load() != 0 {
				t.Errorf("%s: %d vettings, %d adoptions, shut: %d", step.name, r.vettings.Load(), r.adoptions.Load(), r.shut.Load())
			}
		}
	})
}

// TestGateOfDataOfTheLastRun: where Redis is open to an edge that has just started, its work begins at once, and the
// data are compared beside it.
func TestGateOfDataOfTheLastRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r shutRedis
		r.vet = func(ctx context.Context) error {
			<-ctx.Done() // MySQL hangs
			return ctx.Err()
		}
		g := newTestGate(&r)
		go g.run(t.Context())
		synctest.Wait()
		if worked := g.open.Raised(); !worked || r.vettings.Load() != 1 {
			t.Errorf("worked: %v, %d vettings", worked, r.vettings.Load())
		}
		time.Sleep(gateTimeout + gateRetryMax)
		synctest.Wait()
		if r.vettings.Load() != 2 {
			t.Errorf("%d vettings, though the first took longer than it may", r.vettings.Load())
		}
	})
}

// TestGateBesideAnotherVersion: an edge that was upgraded lacks its scripts only. It loads them, and sells what its last
// run trusted at once, while it compares the data.
func TestGateBesideAnotherVersion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r shutRedis
		r.shut.Store(1)
		r.load = func(context.Context) error { r.shut.Store(0); return nil }
		r.vet = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		g := newTestGate(&r)
		go g.run(t.Context())
		synctest.Wait()
		if worked := g.open.Raised(); !worked || r.loads.Load() != 1 || r.vettings.Load() != 1 {
			t.Errorf("worked: %v, %d vettings beside that", worked, r.vettings.Load())
		}
	})
}

// TestGateOpensOthersBesideWhatIsRefused: what needs a person is not compared again at once, and a restart of Redis is
// noticed all the same.
func TestGateOpensOthersBesideWhatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const partitions = 64
		r := shutRedis{of: partitions}
		r.shut.Store(partitions)
		r.vet = func(context.Context) error {
			r.vetted.Store(true)
			r.shut.Store(1)
			time.Sleep(time.Millisecond) // while it tries to put the last one right
			return redisstock.ErrVetting
		}
		g := newTestGate(&r)
		go g.run(t.Context())
		synctest.Wait()
		if err := g.why(ErrPartlyShut); !errors.Is(err, ErrVettingUnderWay) {
			t.Errorf("it does not say that a vetting is under way: %v", err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		before := r.vettings.Load()
		if before < 20 || before > 40 {
			t.Errorf("%d vettings in ten minutes of one partition that is refused", before)
		}
		if err := g.why(ErrPartlyShut); !errors.Is(err, redisstock.ErrVetting) {
			t.Errorf("it does not say why: %v", err)
		}
		for restart := int64(1); restart <= 3; restart++ {
			r.shut.Store(partitions)
			g.suspect()
			time.Sleep(gateEvery)
			synctest.Wait()
			if r.shut.Load() != 1 || r.vettings.Load() > before+2*restart {
				t.Errorf("%v after restart %d: %d partitions are shut, %d vettings", gateEvery, restart, r.shut.Load(), r.vettings.Load()-before)
			}
		}
	})
}
