package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"sluice/cli/command"
	"sluice/core/stock"
)

// heldInRedis has the data of a deployment in Redis that must be the same after a restore.
type heldInRedis struct {
	Records map[string]string   // bytes of each record, by key and id
	Buyers  map[string]string   // bytes of each count, by key, cell and user
	Cells   map[string]string   // bytes of each cell without epoch and seq
	Places  map[string]string   // epoch and seq of each cell
	Due     map[string]string   // deadline, by id
	Gone    map[string]struct{} // ids that are to be forgotten
}

// inRedis reads all that Redis holds.
func (h *hand) inRedis() heldInRedis {
	h.t.Helper()
	found := heldInRedis{
		map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}, map[string]struct{}{},
	}
	for _, client := range h.client.Nodes() {
		keys, err := client.Do(h.ctx, client.B().Keys().Pattern("{p*").Build()).AsStrSlice()
		if err != nil {
			h.t.Fatal(err)
		}
		for _, key := range keys {
			h.hold(&found, key)
		}
	}
	return found
}

func (h *hand) hold(found *heldInRedis, key string) {
	h.t.Helper()
	_, name, _ := strings.Cut(key, ":")
	switch {
	case name == "cells" || name == "res" || strings.HasPrefix(name, "buyers"):
		fields, err := h.client.Do(h.ctx, h.client.B().Hgetall().Key(key).Build()).AsStrMap()
		if err != nil {
			h.t.Fatal(err)
		}
		for field, value := range fields {
			switch name {
			case "cells":
				found.Cells[key+field] = value[:16] + value[22:27] + value[31:]
				found.Places[key+field] = fmt.Sprintf("%x", value[27:31]+value[16:22])
			case "res":
				found.Records[key+field] = value
			default:
				found.Buyers[key+field] = value
			}
		}
	case name == "due" || name == "gone":
		members, err := h.client.Do(h.ctx, h.client.B().Zrange().Key(key).Min("0").Max("-1").Withscores().Build()).AsZScores()
		if err != nil {
			h.t.Fatal(err)
		}
		for _, m := range members {
			ids := m.Member
			if name == "due" {
				ids = ids[4:]
			}
			for ; ids != ""; ids = ids[16:] {
				if name == "gone" {
					found.Gone[ids[:16]] = struct{}{}
				} else {
					found.Due[ids[:16]] = strconv.FormatFloat(m.Score, 'f', 0, 64)
				}
			}
		}
	}
}

// openOnly leaves out the deadlines of what has ended: the sweep removes them in its own time.
func (h *heldInRedis) openOnly() {
	held := map[string]string{}
	for key, record := range h.Records {
		if id := key[len(key)-16:]; record[1]&0x7f == byte(stock.StateHeld) {
			held[id] = h.Due[id]
		}
	}
	h.Due = held
}

// lived makes a deployment in which everything has happened that can, and which is at rest. Some of its holds are open.
func lived(t *testing.T, d *deployment) (open map[stock.Cell]stock.ReservationID) {
	t.Helper()
	d.run("migrate").want(command.ExitDone)
	file := "sku_id,quantity,limit,hold_seconds\n"
	for sku := range int64(12) {
		file += fmt.Sprintf("%d,20,%d,%d\n", sku+1, 6*(sku%2), 3600)
	}
	d.runWith(file+"13,20,5,1\n", "stock", "load", "--yes").want(command.ExitDone)
	open = map[stock.Cell]stock.ReservationID{}
	for sku := range int64(12) {
		cell := stock.Cell{SKU: sku + 1}
		first := stock.DoAll(t.Context(), d.store(), stock.OpReserve, []stock.Request{reserving(cell, 1, "open", 1)})[0]
		if open[cell] = first.Reservation.ID; first.Err != nil || first.Verdict != stock.VerdictOK {
			t.Fatalf("%+v", first)
		}
		d.settle(stock.OpConfirm, cell, d.reserve(cell, 2, "sold"))
		d.settle(stock.OpRelease, cell, d.reserve(cell, 1, "free"))
		d.settle(stock.OpConfirm, cell, d.reserve(cell, 1, "sold too"))
	}
	d.reserve(stock.Cell{SKU: 13}, 1, "expires")
	d.run("stock", "adjust", "3", "--delta", "5", "--reason", "found", "--key", "k3", "--yes").want(command.ExitDone)
	d.run("stock", "adjust", "4", "--limit", "3", "--reason", "less", "--yes").want(command.ExitDone)
	d.run("sale", "create", "7", "--name", "summer", "--item", "5:4", "--item", "6:3", "--limit", "2", "--yes").want(command.ExitDone)
	d.run("sale", "open", "7", "--yes").want(command.ExitDone)
	return open
}

// comesToRest runs a persister, which also ends what is due, until nothing is under way, and ends it.
func (d *deployment) comesToRest() {
	d.t.Helper()
	defer d.persister()()
	d.await(func() bool { return d.show(13).Redis.Held == 0 })
	d.settled()
}

// restoredAs compares what Redis holds after a restore of some partitions with what it held before.
func restoredAs(t *testing.T, before, after heldInRedis, partitions ...int) {
	t.Helper()
	for cell, place := range before.Places {
		if p, _ := strconv.Atoi(cell[2:strings.Index(cell, "}")]); !slices.Contains(partitions, p) {
			continue
		}
		epoch, err := strconv.ParseUint(place[:8], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		seq, err := strconv.ParseUint(place[8:], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		place := func(rebases uint64) string { return fmt.Sprintf("%08x%012x", epoch+rebases, seq+rebases) }
		if before.Places[cell] = place(1); after.Places[cell] == place(2) { // a restore was killed that had published the first one
			before.Places[cell] = place(2)
		}
	}
	before.openOnly()
	after.openOnly()
	if diff := gocmp.Diff(before, after); diff != "" {
		t.Errorf("what was lost (-) and what is there again (+):\n%s", diff)
	}
	if len(before.Records) == 0 || len(before.Buyers) == 0 || len(before.Due) == 0 || len(before.Gone) == 0 {
		t.Errorf("%d records, %d buyers, %d due, %d gone: nothing was compared", len(before.Records), len(before.Buyers), len(before.Due), len(before.Gone))
	}
}

// flush empties Redis whole, as a server without its disk is.
func (h *hand) flush() {
	h.t.Helper()
	for _, client := range h.client.Nodes() {
		if err := client.Do(h.ctx, client.B().Flushall().Build()).Error(); err != nil {
			h.t.Fatal(err)
		}
	}
}

// reserving returns a shopper's request; reserve asks for one unit.
func reserving(cell stock.Cell, user int64, key string, quantity int64) stock.Request {
	return stock.Request{
		ID: stock.Identity{User: user, Route: stock.OpReserve, Cell: cell, Key: key}.ID(8), Cell: cell, User: user, Quantity: quantity,
		Fingerprint: stock.FingerprintOf(quantity),
	}
}

// do runs a command on the node that has a key.
func (h *hand) do(command, key string, args ...string) rueidis.RedisResult {
	return h.client.Do(h.ctx, h.client.B().Arbitrary(command).Keys(key).Args(args...).Build())
}

func keyOf(partition int, name string) string { return fmt.Sprintf("{p%d}:%s", partition, name) }

// wipe deletes all keys of a partition.
func (h *hand) wipe(partition int) {
	h.t.Helper()
	for _, name := range []string{"mark", "meta", "cells", "res", "due", "gone", "outbox", "buyers:0", "buyers:7"} {
		if err := h.do("DEL", keyOf(partition, name)).Error(); err != nil {
			h.t.Fatal(err)
		}
	}
}
