package cli

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/cli/command"
	"sluice/core/stock"
)

// sellsOn reserves, confirms and releases at SKUs 1 to skus until stop is called, most at SKU 1. Some holds are left to expire.
func (d *deployment) sellsOn(skus int64) (accepted *atomic.Int64, stop func()) {
	d.t.Helper()
	accepted = new(atomic.Int64)
	done := make(chan struct{})
	var clients sync.WaitGroup
	for client := range int64(8) {
		store, dice := d.store(), rand.New(rand.NewPCG(uint64(client), 1))
		clients.Go(func() {
			// So fast that much is under way, and so slow that a whole run fits into what is read of one SKU: the applied
			// mark may lie behind on a busy machine.
			pace := time.NewTicker(50 * time.Millisecond)
			defer pace.Stop()
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				case <-pace.C:
				}
				requests := make([]stock.Request, 8)
				for i := range requests {
					cell := stock.Cell{SKU: 1}
					if dice.IntN(5) == 0 {
						cell.SKU = 1 + dice.Int64N(skus)
					}
					user := 1 + client*100 + dice.Int64N(100)
					id := stock.Identity{User: user, Route: stock.OpReserve, Cell: cell, Key: fmt.Sprintf("%d-%d-%d", client, n, i)}.ID(8)
					requests[i] = stock.Request{ID: id, Cell: cell, User: user, Quantity: 1 + dice.Int64N(2)}
				}
				op := stock.OpReserve
				if dice.IntN(8) == 0 {
					op = stock.OpDeduct
				}
				ends := map[stock.Op][]stock.Request{}
				for i, made := range stock.DoAll(d.t.Context(), store, op, requests) {
					if made.Err != nil && d.t.Context().Err() == nil {
						d.t.Errorf("%v: %v", op, made.Err)
						return
					}
					if made.Err != nil || made.Verdict != stock.VerdictOK {
						continue
					}
					accepted.Add(1)
					if end := []stock.Op{stock.OpConfirm, stock.OpRelease, stock.OpRelease, 0}[dice.IntN(4)]; op == stock.OpReserve && end != 0 {
						ends[end] = append(ends[end], stock.Request{ID: requests[i].ID, Cell: requests[i].Cell})
					}
				}
				for end, some := range ends {
					for _, made := range stock.DoAll(d.t.Context(), store, end, some) {
						if made.Err != nil && !errors.Is(made.Err, stock.ErrUnknown) && d.t.Context().Err() == nil {
							d.t.Errorf("%v: %v", end, made.Err)
							return
						}
					}
				}
			}
		})
	}
	return accepted, func() { close(done); clients.Wait() }
}

// While a sale runs, what is under way is no difference, and what somebody changes by hand is one.
func TestReconcileUnderLoad(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	const skus = 30
	d.runWith(stockFile("sku_id,quantity,limit,hold_seconds", skus, "1000000,500,2"), "stock", "load", "--yes").want(command.ExitDone)
	defer d.persister()()
	accepted, stop := d.sellsOn(skus)
	defer func() {
		if stop != nil {
			stop()
		}
	}()
	flying := int64(0)
	for n := range 10 {
		before := accepted.Load()
		r := d.reconcile(command.ExitDone)
		if r.Summary.Verdict != "clean" || r.Summary.Cells != skus {
			t.Fatalf("run %d: %+v: %v", n, r.Summary, r.Findings)
		}
		flying += r.Summary.InFlight
		d.await(func() bool { return accepted.Load() > before })
	}
	if flying == 0 {
		t.Error("nothing was under way in ten runs")
	}

	h := d.hand()
	// Units from nowhere in the hot cell, in one step as a script would: it goes on selling from them.
	const raise = `local v = redis.call("HGET", KEYS[1], ARGV[1])
		local avail, total = struct.unpack(">I5", v, 2), struct.unpack(">I5", v, 23)
		v = string.sub(v, 1, 1) .. struct.pack(">I5", avail + 7) .. string.sub(v, 7, 22) .. struct.pack(">I5", total + 7) .. string.sub(v, 28)
		return redis.call("HSET", KEYS[1], ARGV[1], v)`
	hot, other := stock.Cell{SKU: 1}, stock.Cell{SKU: 2}
	if err := h.client.Do(h.ctx, h.client.B().Eval().Script(raise).Numkeys(1).Key(cellsOf(hot)).Arg(string(hot.Append(nil))).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	id := d.reserve(other, 9000, "mine")
	h.del(resOf(other), string(id[:]))
	r := d.reconcile(command.ExitDrift)
	want := []string{"1: counter_edit, 7, oversell", "2: leaked_hold, 1, undersell"}
	if got := r.brief(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v: %+v", got, want, r.Findings)
	}
	t.Logf("%d accepted, %d cells in flight in ten runs", accepted.Load(), flying)
	stop()
	stop = nil
}
