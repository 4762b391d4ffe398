package cli

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"sluice/cli/command"
	"sluice/core/event"
	"sluice/core/stock"
)

// reserve makes a reservation and returns its id.
func (d *deployment) reserve(cell stock.Cell, user int64, key string) stock.ReservationID {
	d.t.Helper()
	store := d.store()
	id := stock.Identity{User: user, Route: stock.OpReserve, Cell: cell, Key: key}.ID(8)
	made := stock.DoAll(d.t.Context(), store, stock.OpReserve, []stock.Request{{ID: id, Cell: cell, User: user, Quantity: 1}})[0]
	if made.Err != nil || made.Verdict != stock.VerdictOK {
		d.t.Fatalf("reserve: %v, %v", made.Verdict, made.Err)
	}
	return id
}

type listed struct {
	Data []struct {
		SKU        string `json:"sku_id"`
		Sale       string `json:"sale_id"`
		ID         string `json:"reservation_id"`
		User       string `json:"user_id"`
		State      string
		Phase      string
		Avail      int64
		ReservedMS int64 `json:"reserved_ms"`
	}
	Next string `json:"next_cursor"`
	AsOf string `json:"as_of"`
}

// letter puts a dead letter down, as a persister would.
func (d *deployment) letter(db *sql.DB, reason string, data []byte) string {
	d.t.Helper()
	id := sha256.Sum256(append([]byte(reason+"\x00"), data...))
	if _, err := db.ExecContext(d.t.Context(), `INSERT INTO dead_letters (letter_id, reason, detail, kafka_partition, kafka_offset, data)
		VALUES (?, ?, 'why', 3, 9, ?)`, id[:], reason, data); err != nil {
		d.t.Fatal(err)
	}
	return hex.EncodeToString(id[:])
}

func TestDeadLettersOnRealServers(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	db, err := d.mysql.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	e := event.Event{
		Kind: event.KindAdjust, Cell: stock.Cell{SKU: 77}, Position: stock.Position{Epoch: 1, Seq: 1}, Avail: 5,
		Change: event.Change{Delta: 5, Reason: "first", Settings: stock.Settings{Hold: time.Minute}},
	}
	good := d.letter(db, "unknown_version", event.Append(nil, event.Batch{Partition: 1, TimeMS: 1_700_000_000_000, Events: []event.Event{e}}))
	bad, fork := d.letter(db, "malformed", []byte{1, 2}), d.letter(db, "fork", []byte("y"))

	d.run("deadletter", "list").want(command.ExitDone, good, bad, fork, "unresolved")
	d.run("deadletter", "list", "--reason", "fork").want(command.ExitDone, fork).lacks(bad)
	d.run("deadletter", "list", "--partition", "2").want(command.ExitDone).lacks(fork)
	d.run("deadletter", "list", "--reason", "x").want(command.ExitUsage, "want unknown_version, malformed, inconsistent, ")
	d.run("deadletter", "show", good).want(command.ExitDone, "adjust", "77", "1.1", "offset 9", "stays shut until")
	d.run("deadletter", "show", bad, "-o", "json").want(command.ExitDone, `"unread"`, `"data": "0102"`)
	d.run("deadletter", "show", good[1:]).want(command.ExitUsage, "64")
	d.run("deadletter", "show", strings.Repeat("0", 64)).want(command.ExitNotFound, "no such dead letter")

	do := func(what, id string, more ...string) result {
		return d.run(append([]string{"deadletter", what, id, "--reason", "test", "--by", "me"}, more...)...)
	}
	do("resolve", fork).want(command.ExitUsage, "--yes")
	do("resolve", good, "--dry-run").want(command.ExitDone, "a Redis that lacks", "nothing was changed")
	do("resolve", fork, "--dry-run", "-o", "json").want(command.ExitDone, `"changed": true`)
	do("resolve", fork, "--yes", "-o", "json").want(command.ExitDone, `"changed": true`, `"resolved_by": "me"`)
	do("resolve", fork, "--yes", "-o", "json").want(command.ExitDone, `"changed": false`)
	do("resolve", fork, "--yes").want(command.ExitDone, "resolved already")
	do("replay", fork, "--yes").want(command.ExitDone, "resolved already")
	d.run("deadletter", "list").want(command.ExitDone, good).lacks(fork)
	d.run("deadletter", "list", "--resolved", "true").want(command.ExitDone, fork, "resolved").lacks(good)
	rival := d.letter(db, "fork", []byte("z"))
	do("replay", rival, "--yes").want(command.ExitRefused, "never applied again")
	do("replay", good, "--dry-run").want(command.ExitDone, "has 1 events", "nothing was changed")
	do("replay", bad, "--dry-run").want(command.ExitDone, "cannot be read by this program either")
	do("replay", good, "--yes", "--wait", "1ms", "-o", "json").want(command.ExitFailed, "is one running?", `"changed": true`)
	do("replay", good, "--yes", "--wait", "1ms", "-o", "json").want(command.ExitFailed, "is one running?", `"changed": false`)
	do("replay", good, "--dry-run", "-o", "json").want(command.ExitDone, `"changed": false`)

	defer d.persister()()
	do("replay", good, "--yes", "--wait", "1m").want(command.ExitDone, "1 of 1 events were new")
	do("replay", good, "--yes").want(command.ExitDone, "resolved already")
	do("replay", bad, "--yes", "--wait", "1m").want(command.ExitRefused, "not applied again")
	d.run("stock", "list").want(command.ExitDone, "77")
	if r := into[struct{ Result string }](do("replay", bad, "--yes", "--wait", "1m", "-o", "json").want(command.ExitRefused)); r.Result != "refused" {
		t.Errorf("result %q", r.Result)
	}
}

func TestListsOnRealServers(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("stock", "list").want(command.ExitFailed, "sluice migrate")
	d.run("migrate").want(command.ExitDone)
	d.run("stock", "list").want(command.ExitDone, "no stock matches", "Redis cannot be asked how far MySQL is") // it is shut
	d.runWith("sku_id,quantity\n1001,9\n1002,8\n1003,0\n", "stock", "load", "--yes").want(command.ExitDone)
	d.run("sale", "create", "7", "--name", "summer", "--item", "1001:3", "--yes").want(command.ExitDone)
	d.run("stock", "list").want(command.ExitDone, "as of").lacks("1001") // MySQL has nothing yet, and says so
	before := time.Now().Add(-time.Minute).UnixMilli()
	id := d.reserve(stock.Cell{SKU: 1001}, 42, "k")
	d.persist(1001)
	d.persist(1003)

	page := []string{"stock", "list", "-o", "json", "--limit", "2"}
	l := into[listed](d.run(page...).want(command.ExitDone))
	if len(l.Data) != 2 || l.Data[0].SKU != "1001" || l.Data[0].Avail != 5 || l.Next == "" || l.AsOf == "" {
		t.Errorf("first page: %+v", l)
	}
	l = into[listed](d.run(append(page, "--cursor", l.Next)...).want(command.ExitDone))
	if len(l.Data) != 1 || l.Data[0].SKU != "1003" || l.Next != "" {
		t.Errorf("second page: %+v", l)
	}
	d.run("stock", "list", "--limit", "2").want(command.ExitDone, "the list goes on", "--cursor")
	d.run("stock", "list", "--avail-max", "0").want(command.ExitDone, "1003").lacks("1001")
	d.run("stock", "list", "--sale", "7").want(command.ExitDone, "1001").lacks("1002")
	for _, list := range []string{"stock", "sale", "reservation"} {
		d.run(list, "list", "--cursor", "x").want(command.ExitUsage, "begin without one")
		d.run(list, "list", "--limit", "501").want(command.ExitUsage, "1 to 500")
	}
	l = into[listed](d.run("sale", "list", "--phase", "planned", "-o", "json").want(command.ExitDone))
	if len(l.Data) != 1 || l.Data[0].Sale != "7" || l.Data[0].Phase != "planned" {
		t.Errorf("sales: %+v", l)
	}
	d.run("sale", "list", "--phase", "open").want(command.ExitDone).lacks("summer")
	d.run("sale", "list").want(command.ExitDone, "summer").lacks("as of") // it is whole
	l = into[listed](d.run("reservation", "list", "--sku", "1001", "--state", "held", "-o", "json").want(command.ExitDone))
	if len(l.Data) != 1 || l.Data[0].ID != id.String() || l.Data[0].State != "held" || l.Data[0].User != "42" ||
		l.Data[0].ReservedMS < before || l.Data[0].ReservedMS > time.Now().Add(time.Minute).UnixMilli() {
		t.Errorf("reservations: %+v", l)
	}
	d.run("reservation", "list", "--user", "42").want(command.ExitDone, id.String())
	d.run("reservation", "list", "--sale", "7").want(command.ExitDone).lacks(id.String())
	d.run("reservation", "list", "--state", "held").want(command.ExitUsage, "a user, a SKU or a sale")
	d.run("reservation", "list", "--user=-1").want(command.ExitUsage, "want a whole number, 1 to ")
	d.flags["--redis-addr"] = "127.0.0.1:1"
	d.run("reservation", "list").want(command.ExitDone, id.String(), "cannot be asked").lacks("as of")
}
