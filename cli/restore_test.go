package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/cli/command"
	"sluice/core/archive"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/rebuild"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// An empty Redis gets everything back: each byte of stock, records and limits, and each deadline. Keys that were used find
// their answers, limits hold, what is held can be confirmed, and all stores agree.
func TestRestoreOfAnEmptyRedis(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	open := lived(t, d)
	d.comesToRest()
	h := d.hand()
	before := h.inRedis()
	h.flush()

	d.run("reconcile").want(command.ExitDrift, "partitions 0-7: it holds nothing", "sluice restore")
	d.run("doctor").want(command.ExitFailed, "sluice restore")
	d.run("stock", "show", "1").want(command.ExitFailed, "sluice restore")
	d.run("stock", "shut").want(command.ExitFailed, "sluice restore")
	d.run("stock", "adjust", "1", "--delta", "1", "--reason", "r", "--yes").want(command.ExitFailed, "sluice restore")
	d.run("restore", "--dry-run").want(command.ExitDone, "hold nothing: partitions 0-7", "15 cells")
	d.run("restore").want(command.ExitUsage, "nobody is there to confirm")
	if n, err := h.client.Do(h.ctx, h.client.B().Dbsize().Build()).AsInt64(); err != nil || n != 0 {
		t.Fatalf("a dry run has left %d keys (%v)", n, err)
	}
	began := time.Now()
	d.run("restore", "--yes").want(command.ExitDone, "restored: 8 of 8 partitions, 15 cells")
	t.Logf("all partitions are open %v after the command began", time.Since(began).Round(time.Millisecond))
	restoredAs(t, before, h.inRedis(), 0, 1, 2, 3, 4, 5, 6, 7)
	d.run("restore", "--yes").want(command.ExitDone, "Nothing is to be restored")

	store := d.store()
	for cell, id := range open {
		again := stock.DoAll(t.Context(), store, stock.OpReserve, []stock.Request{reserving(cell, 1, "open", 1)})[0]
		if again.Err != nil || again.Verdict != stock.VerdictReplayed || again.Reservation.ID != id {
			t.Fatalf("a key that was used: %+v", again)
		}
		if other := stock.DoAll(t.Context(), store, stock.OpReserve, []stock.Request{reserving(cell, 1, "open", 2)})[0]; other.Verdict != stock.VerdictMismatch {
			t.Errorf("the same key for more: %+v", other)
		}
		d.settle(stock.OpConfirm, cell, id)
	}
	d.run("stock", "adjust", "3", "--delta", "5", "--reason", "found", "--key", "k3", "--yes").want(command.ExitDone)
	if shown := d.show(3); shown.Redis.Total != 25 {
		t.Errorf("an adjustment under a key that was used was done again: %+v", shown.Redis)
	}
	for user, verdict := range map[int64]stock.Verdict{1: stock.VerdictLimitReached, 9: stock.VerdictOK} { // 1 has 2 of 6
		got := stock.DoAll(t.Context(), store, stock.OpReserve, []stock.Request{reserving(stock.Cell{SKU: 2}, user, "more", 5)})[0]
		if got.Err != nil || got.Verdict != verdict {
			t.Errorf("user %d: %+v, want %v", user, got, verdict)
		}
	}
	stop := d.persister()
	d.settled()
	stop()
	if r := d.reconcile(command.ExitDone); r.Summary.Verdict != "clean" || r.Summary.InSync != 15 {
		t.Errorf("%+v", r)
	}
}

// A partition that holds nothing any more, and one that has lost a key, are restored; nothing else is touched. The
// events that only the outbox of the second one had reach MySQL before the partition is emptied.
func TestRestoreOfSomePartitions(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	lived(t, d)
	d.comesToRest()
	h := d.hand()
	torn := stock.Cell{SKU: 1}
	wiped := torn
	for wiped.Partition(8) == torn.Partition(8) {
		wiped.SKU++
	}
	late := d.reserve(torn, 7, "in the outbox alone")
	before := h.inRedis()
	p, empty := torn.Partition(8), wiped.Partition(8)
	if err := h.do("DEL", keyOf(p, "res")).Error(); err != nil {
		t.Fatal(err)
	}
	h.wipe(empty)
	marks := map[int]string{}
	for q := range 8 {
		marks[q], _ = h.do("GET", keyOf(q, "mark")).ToString()
	}
	d.run("restore", "--dry-run").want(command.ExitDone, fmt.Sprintf("hold nothing: partition %d\n", empty),
		fmt.Sprintf("partition %d has lost its reservations", p), "to restore: 2 partitions")
	stop := d.persister()
	d.run("restore", "--yes").want(command.ExitDone, "restored: 2 of 2 partitions")
	stop()
	restoredAs(t, before, h.inRedis(), p, empty)
	for q, mark := range marks {
		if now, _ := h.do("GET", keyOf(q, "mark")).ToString(); q != p && q != empty && now[:8] != mark[:8] {
			t.Errorf("partition %d was vetted anew", q)
		}
	}
	d.settle(stock.OpConfirm, torn, late)
}

// A node of a cluster that comes back without its data gets them from MySQL, and the other nodes keep theirs.
func TestRestoreOfALostNode(t *testing.T) {
	t.Parallel()
	d := newDeploymentOn(t, servicetest.RedisCluster(t).Addrs...)
	lived(t, d)
	d.comesToRest()
	h := d.hand()
	before := h.inRedis()
	var lost []int
	for _, node := range h.client.Nodes() {
		keys, err := node.Do(h.ctx, node.B().Keys().Pattern("{p*}:meta").Build()).AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		if len(lost) > 0 || len(keys) == 0 {
			continue
		}
		for _, key := range keys {
			p, _ := strconv.Atoi(key[2:strings.Index(key, "}")])
			lost = append(lost, p)
		}
		for _, command := range []rueidis.Completed{node.B().Flushall().Build(), node.B().ScriptFlush().Build()} {
			if err := node.Do(h.ctx, command).Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	began := time.Now()
	d.run("restore", "--yes").want(command.ExitDone, fmt.Sprintf("restored: %d of %d partitions", len(lost), len(lost)))
	t.Logf("%d partitions are open %v after the command began", len(lost), time.Since(began).Round(time.Millisecond))
	restoredAs(t, before, h.inRedis(), lost...)
	if shut, err := d.store().Shut(t.Context()); err != nil || len(shut) > 0 {
		t.Errorf("partitions %v are shut (%v)", shut, err)
	}
}

// A restore that is killed in the middle leaves partitions shut. The next one goes on with them, and does not write what is
// open again.
func TestRestoreGoesOn(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	lived(t, d)
	lines := "sku_id,quantity\n"
	for sku := 100; sku < 4100; sku++ {
		lines += fmt.Sprintf("%d,5\n", sku)
	}
	d.runWith(lines, "stock", "load", "--yes").want(command.ExitDone)
	d.comesToRest()
	h := d.hand()
	before := h.inRedis()
	h.flush()
	defer d.persister()() // what a restore has published must be in MySQL before the next one begins
	args := append([]string{"restore", "--yes", "--parallel=1"}, d.service("restore")[2:]...)
	for kill := range 3 {
		p := startProgram(t, "", args...)
		d.await(func() bool { // it has written a part of a partition
			n, err := h.do("HLEN", keyOf(2*kill, "res")).AsInt64()
			return err != nil || n > 0
		})
		p.signal(9)
		p.end()
		for q := range 8 { // as time does
			if err := h.do("DEL", keyOf(q, "restorer")).Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	d.run("restore", "--yes").want(command.ExitDone)
	restoredAs(t, before, h.inRedis(), 0, 1, 2, 3, 4, 5, 6, 7)
}

// Two who restore at once share the work. One who has lost a partition to another one writes nothing more there, and one who comes
// late finds it taken.
func TestRestoresAtOnce(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	lived(t, d)
	d.comesToRest()
	h := d.hand()
	before := h.inRedis()
	h.flush()
	defer d.persister()() // what a restore has published must be in MySQL before the next one begins
	slow, err := redisstock.NewRestorer(h.client, 8, "test", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Clear(t.Context(), 2, nil, []uint32{0}); err != nil {
		t.Fatal(err)
	}
	d.run("restore", "--yes").want(command.ExitFailed, "restored by others: partition 2", "restored: 7 of 8")
	if err := h.do("DEL", keyOf(2, "restorer")).Error(); err != nil { // as time does
		t.Fatal(err)
	}
	results := make(chan result, 2)
	for range cap(results) {
		go func() { results <- d.run("restore", "--yes") }()
	}
	for range cap(results) {
		<-results
	}
	restoredAs(t, before, h.inRedis(), 0, 1, 2, 3, 4, 5, 6, 7)
	late := slow.Refill(2, []uint32{0}, 1)
	wrong := stock.CellState{Cell: stock.Cell{SKU: 1}}
	if err := late.Cell(t.Context(), &wrong); err != nil {
		t.Fatal(err)
	}
	if err := late.Close(t.Context()); err == nil {
		t.Error("who was slow could write into a partition that is open")
	}
	if shut, err := d.store().Shut(t.Context()); err != nil || len(shut) > 0 {
		t.Errorf("partitions %v are shut (%v)", shut, err)
	}
}

// A restorer falls silent just before it publishes its rebase, another one restores the partition, and then the first one goes on:
// its rebase collides with nothing.
func TestRestoreAfterOneThatPublishesLate(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	lived(t, d)
	cell := stock.Cell{SKU: 100}
	d.runWith("sku_id,quantity\n100,5\n", "stock", "load", "--yes").want(command.ExitDone)
	d.comesToRest()
	h, p := d.hand(), cell.Partition(8)
	states, _, err := d.store().Cells(t.Context(), []stock.Cell{cell})
	if err != nil {
		t.Fatal(err)
	}
	h.flush()
	defer d.persister()()
	slow, err := redisstock.NewRestorer(h.client, 8, "test", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Clear(t.Context(), p, nil, []uint32{0}); err != nil {
		t.Fatal(err)
	}
	part, c := slow.Refill(p, []uint32{0}, 1), rebuild.Cell{CellState: states[0]}
	for _, e := range c.Rebase("restored by the slow one") {
		if err := errors.Join(part.Event(t.Context(), &e), part.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	late, err := d.store().OutboxAfter(t.Context(), p, "", 1000)
	if err != nil || len(late) != 1 {
		t.Fatalf("%d entries (%v)", len(late), err)
	}
	if err := h.do("DEL", keyOf(p, "restorer")).Error(); err != nil { // as time does
		t.Fatal(err)
	}
	d.run("restore", "--yes").want(command.ExitDone, "restored: 8 of 8")
	topic := outbox.NewTopic(d.persisterConfig().Kafka.Brokers, d.persisterConfig().Kafka.Topic)
	defer topic.Close()
	if err := topic.Deliver(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	d.settled()
	if letters := d.run("deadletter", "list"); strings.Contains(letters.out, "fork") {
		t.Errorf("the rebase of the slow one collides with that of the other:\n%s", letters.out)
	}
	if shown := d.show(100).Redis; uint32(shown.Epoch) != states[0].Epoch+2 || shown.Total != 5 {
		t.Errorf("it is %+v, and was %+v", shown, states[0])
	}
}

// Redis is lost twice, before anybody has published what happened in between. Late events of then collide with nothing.
func TestRestoreOfWhatWasJustRestored(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	lived(t, d)
	d.comesToRest()
	h, cell := d.hand(), stock.Cell{SKU: 1}
	h.flush()
	d.run("restore", "--yes").want(command.ExitDone)
	d.reserve(cell, 8, "between")
	late, err := d.store().OutboxAfter(t.Context(), cell.Partition(8), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	late = late[len(late)-1:]
	h.flush()
	stop := d.persister()
	d.run("restore", "--yes").want(command.ExitDone)
	d.reserve(cell, 9, "after")
	topic := outbox.NewTopic(d.persisterConfig().Kafka.Brokers, d.persisterConfig().Kafka.Topic)
	defer topic.Close()
	if err := topic.Deliver(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	d.await(func() bool {
		left, err := h.do("XLEN", keyOf(cell.Partition(8), "outbox")).AsInt64()
		return err == nil && left == 0
	})
	d.await(func() bool {
		unread, err := topic.Unread(t.Context(), d.persisterConfig().Kafka.Group)
		for _, r := range unread {
			if err == nil && r.First < r.End {
				return false
			}
		}
		return err == nil
	})
	stop()
	if letters := d.run("deadletter", "list"); strings.Contains(letters.out, "fork") {
		t.Errorf("an event of between collides with one of now:\n%s", letters.out)
	}
}

// If a cell's events have left the ledger for files, the checkpoint brings back its balances, its settings and the
// units that users have bought. Open holds still have their rows in the ledger. Ended reservations are forgotten.
func TestRestoreFromCheckpoints(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	open := lived(t, d)
	d.comesToRest()
	h := d.hand()
	middle := h.inRedis()
	const days = 3 * 24 * 3_600_000
	h.sql(fmt.Sprintf("UPDATE ledger SET redis_ms = redis_ms - %d", days))
	h.sql(fmt.Sprintf("UPDATE reservations SET updated_ms = updated_ms - %[1]d, reserved_ms = reserved_ms - %[1]d", days))
	var done archive.Done
	stop := d.persister() // marks move while it runs
	d.await(func() bool {
		one, err := archive.Run(t.Context(), archive.Config{
			DB: h.db, Dir: t.TempDir(), Deployment: "test", Share: 1, Before: time.Now().Add(-48 * time.Hour), Log: slog.New(slog.DiscardHandler),
		})
		if err != nil || len(one.Faults) > 0 {
			t.Fatal(err, one.Faults)
		}
		done.Events, done.Kept, done.Cells = done.Events+one.Events, done.Kept+one.Kept, done.Cells+one.Cells
		return done.Cells >= 15
	})
	stop()
	if done.Events-done.Kept < 40 {
		t.Fatalf("only %d events have left, and %d are kept", done.Events, done.Kept)
	}
	for cell, id := range open {
		if cell.SKU%3 == 0 {
			d.settle(stock.OpConfirm, cell, id)
		}
		if cell.SKU%4 == 0 {
			d.reserve(cell, 7, "later")
		}
	}
	for sku := range int64(12) {
		d.persist(sku + 1)
	}
	before := h.inRedis()
	for key, record := range middle.Records { // they ended long ago by now
		if record[1]&0x7f != byte(stock.StateHeld) {
			delete(before.Records, key)
			delete(before.Gone, key[len(key)-16:])
		}
	}
	h.flush()
	d.run("restore", "--yes").want(command.ExitDone, "restored: 8 of 8 partitions")
	after := h.inRedis()
	restoredAs(t, before, after, 0, 1, 2, 3, 4, 5, 6, 7)
}

// Where the ledger lacks an event, nothing is sold twice: total and sold are those of the last one, holds that no longer fit are
// revoked, and the command says what is lost.
func TestRestoreNamesWhatIsLost(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	d.runWith("sku_id,quantity,limit\n1,3,9\n13,9,\n", "stock", "load", "--yes").want(command.ExitDone)
	cell, store := stock.Cell{SKU: 1}, d.store()
	do := func(op stock.Op, r stock.Request) {
		t.Helper()
		if got := stock.DoAll(t.Context(), store, op, []stock.Request{r})[0]; got.Err != nil || got.Verdict != stock.VerdictOK {
			t.Fatalf("%v: %+v", op, got)
		}
	}
	first, second := reserving(cell, 7, "first", 2), reserving(cell, 8, "second", 1)
	do(stock.OpReserve, first)
	do(stock.OpReserve, second)
	do(stock.OpRelease, stock.Request{ID: first.ID, Cell: cell})
	do(stock.OpDeduct, reserving(cell, 9, "bought", 2))
	d.comesToRest()
	h := d.hand()
	h.sql("DELETE FROM ledger WHERE sku_id = 1 AND kind = 'release'")
	h.flush()
	d.run("restore", "--yes").want(command.ExitDone, "sku 1: the ledger lacks 1 events", "2 holds are revoked")
	if got := d.show(1).Redis; got.Avail != 1 || got.Held != 0 || got.Sold != 2 || got.Total != 3 {
		t.Errorf("%+v: what was sold is not to be sold again", got)
	}
	d.persist(1)
	var states string
	if err := h.db.QueryRowContext(t.Context(), "SELECT GROUP_CONCAT(state ORDER BY user_id) FROM reservations WHERE sku_id = 1").Scan(&states); err != nil ||
		states != "released,revoked,confirmed" { // no event can say that the first one is revoked: it is larger than what is free
		t.Errorf("MySQL has the reservations as %s (%v)", states, err)
	}
}

// Edges that are told to restore do so by themselves, both at once, and sell; what was there is there again. An edge that is not
// told leaves Redis empty.
func TestEdgesRestoreByThemselves(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	open := lived(t, d)
	d.comesToRest()
	h := d.hand()
	before := h.inRedis()
	defer d.persister()()
	h.flush()
	for range 2 {
		startProgram(t, "", append(d.service("edge"), "--restore=manual")...).until("redis stays shut")
	}
	if n, err := h.do("HLEN", keyOf(0, "cells")).AsInt64(); err != nil || n != 0 {
		t.Fatalf("an edge has restored %d cells that was not told to (%v)", n, err)
	}
	for range 2 {
		startProgram(t, "", append(d.service("edge"), "--restore=auto")...)
	}
	d.await(func() bool {
		n, err := h.do("EXISTS", keyOf(0, "mark")).AsInt64()
		if err != nil || n == 0 {
			return false
		}
		shut, err := d.store().Shut(t.Context())
		return err == nil && len(shut) == 0
	})
	restoredAs(t, before, h.inRedis(), 0, 1, 2, 3, 4, 5, 6, 7)
	for cell, id := range open {
		d.settle(stock.OpConfirm, cell, id)
	}
}
