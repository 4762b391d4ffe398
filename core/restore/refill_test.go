package restore

import (
	"fmt"
	"testing"
	"time"

	"sluice/core/stock"
)

func at(epoch uint32, seq uint64) stock.Position { return stock.Position{Epoch: epoch, Seq: seq} }

// A cell is rebased after somebody has read its position, and before the ledger is read. Events that the rebase
// declares lost do not come back, and nothing of them stays from the first attempt.
func TestRebaseSincePositionsWereRead(t *testing.T) {
	t.Parallel()
	w, cell := newWorld(t), stock.Cell{SKU: 1}
	w.made(cell)
	w.held(cell, at(1, 2), 7)
	read := w.stocked(cell, at(1, 2))
	lost := w.held(cell, at(1, 3), 8)
	w.rebased(cell, at(1, 2))
	kept := w.held(cell, at(2, 4), 9)
	w.stocked(cell, at(2, 4))

	r := w.run(read)
	if err := r.refill(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if state := w.state(cell); state.Position != at(3, 5) {
		t.Errorf("the cell is %+v", state)
	}
	records, err := w.must("HKEYS", "{p0}:res").AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, id := range records {
		found[id] = true
	}
	if found[string(lost[:])] || !found[string(kept[:])] {
		t.Errorf("records of %x; %v was lost, and %v not", records, lost, kept)
	}
	if p := r.progress(); p.Cells != 1 || p.Events != 5 {
		t.Errorf("%+v, though it has one cell with 5 events", p)
	}
}

// Another restorer had begun a partition, which gets a cell of another pool while this one waits. The users keep their
// counts, and the counts that the other restorer had written are gone.
func TestPoolThatComesLate(t *testing.T) {
	t.Parallel()
	w, cell, late := newWorld(t), stock.Cell{SKU: 1}, stock.Cell{SKU: 1, Pool: 7}
	for _, c := range []stock.Cell{cell, late} {
		w.made(c)
		w.held(c, at(1, 2), 8)
	}
	read := w.stocked(cell, at(1, 2))
	w.stocked(late, at(1, 2))
	w.other()
	w.must("HSET", "{p0}:buyers:7", "stale", "1")

	if err := w.run(read).refill(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"{p0}:buyers:0", "{p0}:buyers:7"} {
		counts, err := w.must("HGETALL", key).AsStrMap()
		if err != nil || len(counts) != 1 || counts["stale"] != "" {
			t.Errorf("%s has %q (%v), want one user", key, counts, err)
		}
	}
}

// A restorer that has taken a partition over keeps it, however long persisters take to bring everything to MySQL.
func TestClaimLastsWhileARestoreWaits(t *testing.T) {
	t.Parallel()
	w, cell := newWorld(t), stock.Cell{SKU: 1}
	w.made(cell)
	w.stocked(cell, at(1, 1))
	w.other()
	plan, err := w.Plan(t.Context())
	if err != nil || len(plan.Begun) != 1 {
		t.Fatalf("%+v, %v", plan, err)
	}
	topic := w.topic()
	defer topic.Close()
	if err := topic.Deliver(t.Context(), []stock.Entry{{ID: "1-1", Data: []byte("nobody reads it")}}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := w.Restore.Run(t.Context(), plan)
		done <- err
	}()
	left := func() int64 {
		ms, err := w.client.Do(t.Context(), w.client.B().Pttl().Key("{p0}:restorer").Build()).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		return ms
	}
	for left() < 0 { // until it has the partition
		time.Sleep(time.Millisecond)
	}
	w.must("PEXPIRE", "{p0}:restorer", "6000")
	for left() <= 6000 && left() > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	if left() <= 0 {
		t.Error("another one may take the partition over")
	}
	w.must("SET", "{p0}:restorer", "somebody else")
	select {
	case err := <-done:
		t.Errorf("it did not wait: %v", err)
	default:
	}
}

// Users with archived purchases are read for as few cells at a time as fit into memory.
func TestArchivedBuyersOfManyCells(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var cells []cellAt
	const users = 6
	for sku := range int64(9) {
		cell := stock.Cell{SKU: sku + 1}
		w.made(cell)
		cells = append(cells, w.stocked(cell, at(1, 1)))
		w.exec(`INSERT INTO checkpoints (sku_id, pool, bucket, epoch, seq, available_stock, reserved_stock, sold_stock, settings, extend_ms, redis_ms, events,
			file_id) SELECT sku_id, pool, bucket, epoch, seq, 4, 0, 6, settings, 0, redis_ms, 7, 1 FROM ledger WHERE sku_id = ?`, cell.SKU)
		for user := range users {
			w.exec("INSERT INTO archived_buyers (sku_id, pool, bucket, user_id, units) VALUES (?, 0, 0, ?, 1)", cell.SKU, user+1)
		}
	}
	r := w.run(cells...)
	r.buyersMax = 2*users + 1
	if err := r.refill(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if n, err := w.must("HLEN", "{p0}:buyers:0").AsInt64(); err != nil || n != int64(users*len(cells)) {
		t.Errorf("%d counts of users (%v), want %d of each of %d cells", n, err, users, len(cells))
	}
	snapshot, err := r.books.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	for n, fits := range map[int]bool{1: true, 2: true, 3: false} {
		f := filler{run: r, from: snapshot, begins: map[stock.Cell]*beginning{}}
		some := make([]stock.Cell, n)
		for i := range some {
			some[i] = cells[i].Cell
		}
		got, err := f.checkpoints(t.Context(), some)
		in := 0
		for _, b := range f.begins {
			in += len(b.bought)
		}
		if err != nil || got != fits || in > r.buyersMax {
			t.Errorf("of %d cells: fit is %v, with %d users in memory (%v)", n, got, in, err)
		}
	}
}

// Readings of an outbox stay small, whatever entries it has.
func TestOutboxIsReadInSmallPieces(t *testing.T) {
	t.Parallel()
	for bytes, want := range map[int]int{200: 1000, 75_000: 13, 8 << 20: 1} {
		t.Run(fmt.Sprint(bytes), func(t *testing.T) {
			t.Parallel()
			if got := stock.NextEntries([]stock.Entry{{Data: make([]byte, 10)}, {Data: make([]byte, bytes)}}, entriesBytes); got != want {
				t.Errorf("%d entries, want %d", got, want)
			}
		})
	}
}
