package expiry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/stock"
)

// TestHungNodeDelaysNoOther silences one of three nodes until its calls are given up.
func TestHungNodeDelaysNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const partitions, nodes, hung = 64, 3, 1
		model, seen := newModel(partitions), newJournal()
		store := &spied{
			Store: model,
			node:  func(partition int) string { return fmt.Sprint(partition % nodes) },
			failing: func(partition int) bool {
				if partition%nodes == hung {
					time.Sleep(300 * time.Millisecond)
				}
				return partition%nodes == hung
			},
		}
		start(t, &Sweeper{Store: store, Publish: seen.publish})
		n := 0
		for sku := int64(1); sku <= 500; sku++ {
			if cell := (stock.Cell{SKU: sku}); cell.Partition(partitions)%nodes != hung {
				load(t, model, cell, 1, time.Duration(sku)*10*time.Millisecond)
				n += len(reserve(t, model, cell, "a", 1))
			}
		}
		pass(5*time.Second + promise)
		seen.want(t, n)
	})
}

func TestFailureOfOnePartitionIsItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		model, seen, set := newModel(2), newJournal(), metrics.NewSet()
		cells := map[int]stock.Cell{}
		for sku := int64(1); len(cells) < 2; sku++ {
			cell := stock.Cell{SKU: sku}
			cells[cell.Partition(2)] = cell
		}
		for cell := range maps.Values(cells) {
			load(t, model, cell, 9, time.Second)
			reserve(t, model, cell, "a", 1)
		}
		recovery := time.Now().Add(10 * time.Second)
		// The first look succeeds, so that the sweeper knows of the deadline that it will miss.
		store := &spied{Store: model, failing: func(p int) bool {
			return p == 1 && time.Now().Before(recovery) && time.Until(recovery) < 9500*time.Millisecond
		}}
		start(t, &Sweeper{Store: store, Publish: seen.publish, Metrics: set})

		pass(9 * time.Second)
		seen.want(t, 1)
		wantAvail(t, model, cells[0], 9)
		if lag := set.GetOrCreateGauge("sluice_core_expiry_lag_seconds", nil).Get(); lag < 7.9 || lag > 8.1 {
			t.Errorf("lag %v s, want 8", lag)
		}
		if n := set.GetOrCreateCounter("sluice_core_expiry_failures_total").Get(); n < 8 || n > 11 {
			t.Errorf("%d failures in 8.5 s", n)
		}
		pass(2 * time.Second)
		wantAvail(t, model, cells[1], 9)
		if lag := set.GetOrCreateGauge("sluice_core_expiry_lag_seconds", nil).Get(); lag != 0 {
			t.Errorf("lag %v s after recovery", lag)
		}
		if n := set.GetOrCreateCounter("sluice_core_expiry_expired_reservations_total").Get(); n != 2 {
			t.Errorf("%d expired, want 2", n)
		}
	})
}

// TestShutStoreIsAskedSeldom: nobody may vet Redis for hours. Each partition is looked at once a second then, and as
// often as always once it answers.
func TestShutStoreIsAskedSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const partitions, seconds = 64, 60
		var open atomic.Bool
		model, seen := newModel(partitions), newJournal()
		store := &spied{Store: model, failing: func(int) bool { return !open.Load() }}
		start(t, &Sweeper{Store: store, Publish: seen.publish})
		pass(2 * time.Second)
		before := store.looks.Load()
		pass(seconds * time.Second)
		if looks := store.looks.Load() - before; looks < partitions*(seconds-2) || looks > partitions*(seconds+1) {
			t.Errorf("%d looks at %d partitions in %d s", looks, partitions, seconds)
		}
		cell := stock.Cell{SKU: 1}
		load(t, model, cell, 9, time.Millisecond)
		reserve(t, model, cell, "a", 1)
		open.Store(true)
		pass(promise + 7*time.Millisecond)
		seen.want(t, 1)
		before = store.looks.Load()
		pass(seconds * time.Second)
		if looks := store.looks.Load() - before; looks < partitions*seconds*3 {
			t.Errorf("open again: %d looks at %d partitions in %d s", looks, partitions, seconds)
		}
	})
}

// halfway is a store that expires and then fails, as Redis may between two scripts.
type halfway struct{ model }

func (h halfway) Expire(ctx context.Context, partition, limit int) (stock.Sweep, error) {
	sweep, err := h.model.Expire(ctx, partition, limit)
	return sweep, errors.Join(err, errDown)
}

func TestWhatExpiredBeforeAnErrorIsPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, seen := newModel(1), newJournal()
		cell := stock.Cell{SKU: 1}
		load(t, store, cell, 9, time.Second)
		reserve(t, store, cell, "a", 5)
		start(t, &Sweeper{Store: halfway{store}, Publish: seen.publish})
		pass(time.Second + promise)
		seen.want(t, 5)
	})
}
