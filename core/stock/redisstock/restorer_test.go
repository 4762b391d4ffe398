package redisstock_test

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"sluice/core/event"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// restores is a shop whose partition holds something of all kinds, and restorers of it.
type restores struct {
	*shop

	partition  int
	cell, sale stock.Cell // the second one is in a pool of its own
	held, sold stock.Reservation
	endedMS    int64
	a, b       *redisstock.Restorer
}

func newRestores(t *testing.T) *restores {
	t.Helper()
	s, _, _ := opened(t)
	r := &restores{shop: s, cell: s.load(10, stock.Settings{Limit: 5})}
	r.partition = partition(r.cell)
	for r.sale = (stock.Cell{SKU: 1, Pool: 7}); partition(r.sale) != r.partition; r.sale.SKU++ {
	}
	s.one(stock.OpAdjust, creation(r.sale, 4, stock.Settings{Limit: 2}))
	r.held, r.sold = s.reserve(r.cell, 1, 2), s.reserve(r.sale, 2, 1)
	r.sold = s.one(stock.OpConfirm, stock.Request{ID: r.sold.ID}).Reservation
	r.endedMS = s.now()
	for _, to := range []**redisstock.Restorer{&r.a, &r.b} {
		restorer, err := redisstock.NewRestorer(s.client, stock.PartitionsDefault, "test", "", 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		*to = restorer
	}
	return r
}

func (r *restores) key(name string) string { return "{p" + strconv.Itoa(r.partition) + "}:" + name }

// clears has a restorer clear the partition, and wants an answer.
func (r *restores) clears(by *redisstock.Restorer, torn bool, want error) {
	r.Helper()
	var plan *redisstock.Torn
	if torn {
		plan = &redisstock.Torn{}
	}
	if _, err := by.Clear(r.Context(), r.partition, plan, []uint32{0, 7}); !errors.Is(err, want) {
		r.Errorf("cleared (torn is %v): %v, want %v", torn, err, want)
	}
}

// hash returns a hash of the partition.
func (r *restores) hash(name string) map[string]string {
	r.Helper()
	all, err := r.run("HGETALL", r.key(name)).AsStrMap()
	if err != nil && !rueidis.IsRedisNil(err) {
		r.Fatal(err)
	}
	return all
}

// keys are the names of all keys of the partition.
func (r *restores) keys() []string { return slices.Sorted(maps.Keys(r.dump(r.partition))) }

// TestClear empties a partition for its restorer, and never one that sells or has stock.
func TestClear(t *testing.T) {
	t.Parallel()
	r := newRestores(t)
	r.must("HSET", r.key("meta"), "relayed", "7-7")
	r.unchanged(r.partition, "it sells", func() {
		r.clears(r.a, false, redisstock.ErrHoldsStock)
		r.clears(r.a, true, redisstock.ErrHoldsStock)
	})
	r.must("DEL", redisstock.MarkKey(r.partition))
	r.unchanged(r.partition, "it holds stock", func() { r.clears(r.a, false, redisstock.ErrHoldsStock) })

	r.clears(r.a, true, nil)
	if got, want := r.keys(), []string{r.key("meta"), r.key("restorer")}; !slices.Equal(got, want) {
		t.Errorf("it has %q, want %q", got, want)
	}
	meta := r.hash("meta")
	if meta["restoring"] == "" || meta["deployment"] != "test" {
		t.Errorf("its meta is %q", meta)
	}
	if _, kept := meta["relayed"]; kept {
		t.Errorf("how far it was relayed is kept: %q", meta)
	}
	if ttl, err := r.run("PTTL", r.key("restorer")).AsInt64(); err != nil || ttl <= 0 || ttl > 15_000 {
		t.Errorf("nobody takes over for %d ms (%v)", ttl, err)
	}
	r.unchanged(r.partition, "another restores it", func() { r.clears(r.b, true, redisstock.ErrRestoring) })

	// A restore may begin again in any process, even if a part is there.
	r.must("HSET", r.key("cells"), string(r.cell.Append(nil)), "a part")
	r.clears(r.a, false, nil)
	r.must("HSET", r.key("cells"), string(r.cell.Append(nil)), "a part")
	r.must("DEL", r.key("restorer"))
	r.clears(r.b, false, nil)
	if got, want := r.keys(), []string{r.key("meta"), r.key("restorer")}; !slices.Equal(got, want) {
		t.Errorf("it has %q, want %q", got, want)
	}
}

// refill writes what the partition held, in one part.
func (r *restores) refill(by *redisstock.Restorer, close bool) error {
	r.Helper()
	f := by.Refill(r.partition, []uint32{0, 7}, r.now())
	ctx := r.Context()
	cell := stock.CellState{Cell: r.cell, Loaded: true, Position: stock.Position{Epoch: 1, Seq: 2}, Balances: stock.Balances{Avail: 8, Held: 2, Total: 10}}
	cell.Settings = stock.Settings{Limit: 5, Hold: time.Hour}
	sale := stock.CellState{Cell: r.sale, Loaded: true, Position: stock.Position{Epoch: 1, Seq: 3}, Balances: stock.Balances{Avail: 3, Sold: 1, Total: 4}}
	sale.Settings = stock.Settings{Limit: 2, Hold: time.Hour}
	said := event.Event{
		Kind: event.KindRebase, Cell: r.cell, Position: stock.Position{Epoch: 2, Seq: 3}, Avail: 8, Held: 2,
		Change: event.Change{From: cell.Position, Fields: ^stock.Fields(0), Settings: cell.Settings, Reason: "restored"},
	}
	err := errors.Join(f.Record(ctx, &r.held, 0), f.Record(ctx, &r.sold, r.endedMS), f.Buyer(ctx, r.cell, 1, 2), f.Buyer(ctx, r.sale, 2, 1),
		f.Event(ctx, &said), f.Cell(ctx, &cell), f.Cell(ctx, &sale))
	if err == nil && close {
		err = f.Close(ctx)
	} else if err == nil {
		err = f.Flush(ctx)
	}
	return err
}

// TestRefill writes a partition as it was. A part that is written twice is there once.
func TestRefill(t *testing.T) {
	t.Parallel()
	r := newRestores(t)
	hashes := []string{"cells", "res", "buyers:0", "buyers:7"}
	want := map[string]map[string]string{}
	for _, name := range hashes {
		want[name] = r.hash(name)
	}
	maps.DeleteFunc(want["res"], func(id, _ string) bool { return id != string(r.held.ID[:]) && id != string(r.sold.ID[:]) })
	due := r.scores(redisstock.DueKey(r.partition))
	maps.DeleteFunc(due, func(m string, _ int64) bool { return m != member(r.held) })
	r.must("DEL", redisstock.MarkKey(r.partition))
	r.clears(r.a, true, nil)

	for range 2 {
		r.must("PEXPIRE", r.key("restorer"), "1000")
		if err := r.refill(r.a, false); err != nil {
			t.Fatal(err)
		}
		if ttl, err := r.run("PTTL", r.key("restorer")).AsInt64(); err != nil || ttl <= 1000 {
			t.Errorf("it is somebody else's in %d ms (%v)", ttl, err)
		}
		for _, name := range hashes {
			if diff := cmp.Diff(want[name], r.hash(name)); diff != "" {
				t.Errorf("%s (-was +is):\n%s", name, diff)
			}
		}
		if diff := cmp.Diff(due, r.scores(redisstock.DueKey(r.partition))); diff != "" {
			t.Errorf("due (-was +is):\n%s", diff)
		}
		ends := r.endedMS + (24 * time.Hour).Milliseconds()
		if gone := r.scores(redisstock.GoneKey(r.partition)); len(gone) != 1 || gone[string(r.sold.ID[:])] < ends || gone[string(r.sold.ID[:])] > ends+1000 {
			t.Errorf("ends of retention are %v, want one at %d", gone, ends)
		}
	}
	if events := r.tell(r.partition)[r.cell]; len(events) != 2 || events[0].Kind != event.KindRebase {
		t.Errorf("the outbox has %+v, want the event of each part", events)
	}
	if r.hash("meta")["restoring"] == "" {
		t.Error("it is whole before the last part")
	}

	r.must("DEL", r.key("restorer"))
	r.clears(r.b, false, nil)
	r.unchanged(r.partition, "another has taken it over", func() {
		if err := r.refill(r.a, true); !errors.Is(err, redisstock.ErrRestoring) {
			t.Errorf("another restores it: %v", err)
		}
	})
	if err := r.refill(r.b, true); err != nil {
		t.Fatal(err)
	}
	if meta := r.hash("meta"); meta["restoring"] != "" {
		t.Errorf("it is not whole after the last part: %q", meta)
	}
	if diff := cmp.Diff(want["res"], r.hash("res")); diff != "" {
		t.Errorf("res (-was +is):\n%s", diff)
	}
}

// TestRefillAfterAVetting leaves a partition alone that was vetted meanwhile.
func TestRefillAfterAVetting(t *testing.T) {
	t.Parallel()
	r := newRestores(t)
	r.must("DEL", redisstock.MarkKey(r.partition))
	r.clears(r.a, true, nil)
	r.must("SET", redisstock.MarkKey(r.partition), redisstock.PackMark(stock.Mark{Nonce: 7}))
	r.unchanged(r.partition, "it was vetted", func() {
		if err := r.refill(r.a, true); !errors.Is(err, redisstock.ErrHoldsStock) {
			t.Errorf("it was vetted: %v", err)
		}
	})
}

// TestClearByAStalePlan: that a partition may be emptied ends when somebody has restored it, also before it is vetted again.
func TestClearByAStalePlan(t *testing.T) {
	t.Parallel()
	r := newRestores(t)
	r.must("DEL", redisstock.MarkKey(r.partition))
	r.clears(r.a, true, nil)
	if err := r.refill(r.a, true); err != nil {
		t.Fatal(err)
	}
	r.must("DEL", r.key("restorer"))
	r.unchanged(r.partition, "another has restored it", func() { r.clears(r.b, true, redisstock.ErrHoldsStock) })

	// A plan from now on knows of that.
	plan := &redisstock.Torn{Restored: r.hash("meta")["restored"]}
	if begun, err := r.b.Clear(r.Context(), r.partition, plan, []uint32{0, 7}); begun || err != nil {
		t.Errorf("by a new plan: %v, %v", begun, err)
	}
	r.must("DEL", r.key("restorer"))
	for _, others := range []bool{true, false} {
		if begun, err := r.a.Clear(r.Context(), r.partition, nil, []uint32{0, 7}); begun != others || err != nil {
			t.Errorf("after another has fallen silent (the last one was another's: %v): %v, %v", others, begun, err)
		}
	}
}

// TestStay keeps a partition for a restorer that has nothing to write, and for no other one.
func TestStay(t *testing.T) {
	t.Parallel()
	r := newRestores(t)
	r.must("DEL", redisstock.MarkKey(r.partition))
	r.clears(r.a, true, nil)
	r.must("PEXPIRE", r.key("restorer"), "1000")
	r.unchanged(r.partition, "another asks", func() {
		if err := r.b.Stay(t.Context(), r.partition); !errors.Is(err, redisstock.ErrRestoring) {
			t.Errorf("another may stay: %v", err)
		}
	})
	if err := r.a.Stay(t.Context(), r.partition); err != nil {
		t.Fatal(err)
	}
	if ttl, err := r.run("PTTL", r.key("restorer")).AsInt64(); err != nil || ttl <= 1000 {
		t.Errorf("it is somebody else's in %d ms (%v)", ttl, err)
	}
	if r.hash("meta")["restoring"] == "" {
		t.Error("it is whole")
	}
}

// TestRefillOfUnknownPool refuses users of a pool that was not emptied.
func TestRefillOfUnknownPool(t *testing.T) {
	t.Parallel()
	r := newRestores(t)
	if err := r.a.Refill(r.partition, []uint32{0}, 1).Buyer(t.Context(), r.sale, 1, 1); err == nil {
		t.Error("the count of a user of pool 7 is dropped")
	}
}
