package screen

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"sluice/core/stock"
	"sluice/edge/cells"
	"sluice/edge/internal/storetest"
)

func TestMain(m *testing.M) {
	// It notices within a second that its file was closed.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/tidwall/buntdb.(*DB).backgroundManager"))
}

const partitions = 4

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func sku(n int64) stock.Cell { return stock.Cell{SKU: n} }

func skusFrom(first, n int64) []int64 {
	list := make([]int64, n)
	for i := range list {
		list[i] = first + int64(i)
	}
	return list
}

// startKnown makes a screen and runs it until stop is called or the test ends.
func startKnown(t testing.TB, store interface {
	KnownStore
	cells.Store
}, cfg KnownConfig,
) (k *Known, stop func()) {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = quiet()
	}
	known := cells.New(store, cells.Config{}, metrics.NewSet())
	k = NewKnown(store, known, cfg, metrics.NewSet())
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { k.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		known.Close()
	})
	t.Cleanup(stop)
	return k, stop
}

// scanAll lets a screen scan all partitions.
func scanAll() {
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
}

// mayExist asks a screen about a cell, for a caller who is not public, and fails if the screen is busy.
func mayExist(t testing.TB, k *Known, cell stock.Cell) bool {
	t.Helper()
	may, err := k.MayExist(t.Context(), cell, false)
	if err != nil {
		t.Errorf("%v: %v", cell, err)
	}
	return may
}

func TestKnownTellsLoadedFromMadeUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCatalog(skusFrom(1, 500)...)
		k := NewKnown(c, cells.New(c, cells.Config{}, metrics.NewSet()), KnownConfig{}, metrics.NewSet())
		if !mayExist(t, k, sku(1)) || !mayExist(t, k, sku(9999)) || k.Ready() {
			t.Error("before it has read anything a screen must let everything pass")
		}
		k, _ = startKnown(t, c, KnownConfig{ExactPerSecond: 500})
		scanAll()
		if !k.Ready() || k.Cells() != 500 {
			t.Fatalf("ready %v with %d cells, want true with 500", k.Ready(), k.Cells())
		}
		refused := 0
		for n := range int64(1000) {
			known := mayExist(t, k, sku(1+n))
			if n < 500 && !known {
				t.Errorf("SKU %d is loaded and was refused", 1+n)
			}
			if n >= 500 && !known {
				refused++
			}
		}
		if refused < 495 {
			t.Errorf("%d of 500 made-up SKUs refused", refused)
		}
	})
}

func TestKnownOfAnEmptyDeploymentIsComplete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCatalog()
		k, _ := startKnown(t, c, KnownConfig{})
		scanAll()
		if !k.Ready() || mayExist(t, k, sku(1)) {
			t.Error("an empty deployment has no SKU")
		}
		if got := c.scanCount(); got != 0 {
			t.Errorf("%d scans of nothing", got)
		}
	})
}

// A SKU that another node loads is found by the exact check at once, and by the filter after the next
// poll.
func TestKnownKeepsInStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCatalog(skusFrom(1, 100)...)
		k, _ := startKnown(t, c, KnownConfig{})
		scanAll()
		c.add(skusFrom(1000, 20)...)
		if !mayExist(t, k, sku(1000)) {
			t.Error("a SKU that was loaded just now was refused")
		}
		reads := c.readCount()
		if !mayExist(t, k, sku(1000)) || c.readCount() != reads {
			t.Error("the filter was not healed")
		}
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		for _, n := range skusFrom(1000, 20) {
			if !mayExist(t, k, sku(n)) {
				t.Errorf("SKU %d was refused", n)
			}
		}
		if got := c.readCount(); got != reads || k.completeness() != 1 {
			t.Errorf("%d exact checks after the scan, want %d", got, reads)
		}
	})
}

func TestExactChecksAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCatalog(skusFrom(1, 100)...)
		k, _ := startKnown(t, c, KnownConfig{ExactPerSecond: 50})
		scanAll()
		for second := range int64(2) {
			shed := 0
			for n := range int64(5000) {
				may, err := k.MayExist(t.Context(), sku((second+1)*1_000_000+n), false)
				if errors.Is(err, ErrBusy) && !may {
					shed++
				}
			}
			if got := c.readCount(); got != int(second+1)*50 || shed < 4900 {
				t.Errorf("%d exact checks and %d shed, want 50 and nearly all others in second %d", got, shed, second)
			}
			time.Sleep(time.Second)
		}
	})
}

// However many made-up SKUs are asked for, a SKU that was loaded just now is never called unknown; and
// what anyone may ask leaves the others their checks.
func TestFloodOfMadeUpSKUsHidesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCatalog(skusFrom(1, 100)...)
		k, _ := startKnown(t, c, KnownConfig{})
		scanAll()
		c.add(1000) // by another node
		for _, public := range []bool{true, false} {
			if mayExist(t, k, sku(2_000_000)) {
				t.Error("a made-up SKU passed")
			}
			for n := range int64(1000) {
				_, _ = k.MayExist(t.Context(), sku(1_000_000+n), public)
			}
			if may, err := k.MayExist(t.Context(), sku(1000), public); may || !errors.Is(err, ErrBusy) {
				t.Errorf("public %v: said %v, %v of a new SKU", public, may, err)
			}
		}
		time.Sleep(time.Second)
		if !mayExist(t, k, sku(1000)) {
			t.Error("a new SKU was refused after the flood")
		}
	})
}

// Where the screen does not know, it lets pass.
func TestKnownInDoubt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCatalog(skusFrom(1, 100)...)
		c.setDown(true)
		k, _ := startKnown(t, c, KnownConfig{})
		scanAll()
		unknown := sku(123456)
		if !mayExist(t, k, unknown) || k.Ready() {
			t.Error("a SKU was refused before the first poll")
		}
		c.setDown(false)
		time.Sleep(2 * time.Second)
		if mayExist(t, k, unknown) || !k.Ready() {
			t.Error("a made-up SKU passes once the screen is complete")
		}
		c.setDown(true)
		if !mayExist(t, k, unknown) {
			t.Error("a SKU was refused whose exact check failed")
		}
		time.Sleep(stalePolls*time.Second + time.Millisecond)
		synctest.Wait()
		if k.Ready() {
			t.Error("ready although nobody knows the numbers of cells")
		}
		reads := c.readCount()
		if !mayExist(t, k, unknown) || c.readCount() != reads {
			t.Error("a stale screen does not let everything pass")
		}
		c.setDown(false)
		time.Sleep(2 * time.Second)
		if mayExist(t, k, unknown) || !k.Ready() {
			t.Error("the screen does not recover")
		}
	})
}

// Other nodes make SKUs all the time: an edge becomes ready all the same, and stays so.
func TestReadyWhileSKUsAreMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCatalog(skusFrom(1, 100)...)
		c.scanTime = 100 * time.Millisecond
		k, _ := startKnown(t, c, KnownConfig{})
		time.Sleep(c.scanTime * (partitions - 1))
		if k.Ready() {
			t.Error("ready before every partition was scanned")
		}
		behind := false
		for n := range int64(1000) {
			c.add(1000 + n)
			time.Sleep(20 * time.Millisecond)
			if n > 100 && !k.Ready() {
				t.Fatalf("not ready after %d new SKUs", n)
			}
			behind = behind || k.completeness() < 1
		}
		if !behind {
			t.Error("the filters were never behind")
		}
	})
}

// While a large load goes on, scans take a small share of the time.
func TestScansRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCatalog(skusFrom(1, 100)...)
		c.scanTime = 100 * time.Millisecond
		k, _ := startKnown(t, c, KnownConfig{})
		for n := range int64(1000) { // 20 s of load
			c.add(1000 + n)
			time.Sleep(20 * time.Millisecond)
		}
		c.mu.Lock()
		all := time.Since(c.scans[0])
		busy := time.Duration(len(c.scans)) * c.scanTime
		c.mu.Unlock()
		if busy > all/10+partitions*c.scanTime {
			t.Errorf("scanned for %v of %v", busy, all)
		}
		time.Sleep(10 * time.Second)
		if k.completeness() != 1 {
			t.Error("not complete ten seconds after the load")
		}
	})
}

// A cell that is made and added while its partition is scanned must not be lost when the new filter
// takes the old one's place.
func TestCellMadeDuringAScanIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCatalog(skusFrom(1, 100)...)
		c.scanTime = 100 * time.Millisecond
		k, _ := startKnown(t, c, KnownConfig{})
		time.Sleep(50 * time.Millisecond)
		var added []int64
		for n := int64(1000); len(added) < 3 && n < 2000; n++ {
			f := k.filter(sku(n))
			f.mu.RLock()
			scanning := f.filling != nil
			f.mu.RUnlock()
			if scanning {
				added = append(added, n)
				c.add(n)
				k.Add(sku(n))
			}
		}
		if got := c.scanCount(); got != 1 {
			t.Fatalf("%d scans, want the first under way", got)
		}
		time.Sleep(75 * time.Millisecond)
		if len(added) != 3 {
			t.Fatal("no partition is being scanned")
		}
		for _, n := range added {
			f := k.filter(sku(n))
			f.mu.RLock()
			found := f.bits.Test(sku(n).Append(nil))
			f.mu.RUnlock()
			if !found {
				t.Errorf("SKU %d was lost", n)
			}
		}
	})
}

func TestKnownMeasuresItsFalsePositives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCatalog(skusFrom(1, 2000)...)
		k, _ := startKnown(t, c, KnownConfig{FalsePositives: 0.05})
		scanAll()
		for n := range int64(20_000) {
			cell := sku(1_000_000 + n)
			if may, _ := k.MayExist(t.Context(), cell, false); may {
				k.Missed(cell)
			}
		}
		if rate := k.falsePositives(); rate < 0.0001 || rate > 0.05 {
			t.Errorf("measured a false-positive rate of %v of a filter made for 0.05 and half full", rate)
		}
		if fill := k.fill(); fill <= 0 || fill > 0.5 {
			t.Errorf("fill is %v", fill)
		}
	})
}

func TestKnownUnderConcurrentUse(t *testing.T) {
	t.Parallel()
	c := newCatalog(skusFrom(1, 1000)...)
	k, _ := startKnown(t, c, KnownConfig{PollEvery: time.Millisecond})
	var wg sync.WaitGroup
	for worker := range int64(4) {
		wg.Go(func() {
			for n := range int64(2000) {
				if n%10 == 0 {
					cell := 10_000*worker + n
					c.add(cell)
					k.Add(sku(cell))
					if !mayExist(t, k, sku(cell)) {
						t.Errorf("SKU %d was refused", cell)
					}
				}
				if !mayExist(t, k, sku(1+n%1000)) {
					t.Errorf("SKU %d was refused", 1+n%1000)
				}
				k.Missed(sku(n))
			}
		})
	}
	wg.Wait()
}

func TestKnownOnRedis(t *testing.T) {
	t.Parallel()
	store := storetest.Start(t, stock.PartitionsDefault)
	cellsFrom := func(first, n int64) []stock.Cell {
		var list []stock.Cell
		for _, n := range skusFrom(first, n) {
			list = append(list, sku(n))
		}
		return list
	}
	storetest.Load(t, store, 1, stock.Settings{}, cellsFrom(1, 3000)...)
	k, _ := startKnown(t, store, KnownConfig{PollEvery: time.Second})
	complete := func(cells int64) {
		t.Helper()
		for deadline := time.Now().Add(60 * time.Second); k.completeness() != 1 || k.Cells() != cells; <-time.After(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("after a minute %v are complete, with %d cells", k.completeness(), k.Cells())
			}
		}
	}
	complete(3000)
	storetest.Load(t, store, 1, stock.Settings{}, cellsFrom(10_001, 1000)...) // by another node
	if !mayExist(t, k, sku(10_001)) {
		t.Error("a SKU that was loaded just now was refused")
	}
	complete(4000)
	for _, n := range append(skusFrom(1, 3000), skusFrom(10_001, 1000)...) {
		if !mayExist(t, k, sku(n)) {
			t.Errorf("SKU %d was refused", n)
		}
	}
	refused := 0
	for _, n := range skusFrom(1_000_000, 100) {
		if !mayExist(t, k, sku(n)) {
			refused++
		}
	}
	if refused < 95 {
		t.Errorf("%d of 100 made-up SKUs refused", refused)
	}
}
