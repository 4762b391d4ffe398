package cli

import (
	"testing"
	"time"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/deploy/command"
)

// reserve makes a reservation and returns its id.
func (d *deployment) reserve(cell stock.Cell, user int64, key string) stock.ReservationID {
	d.t.Helper()
	client, err := d.redis.Client()
	if err != nil {
		d.t.Fatal(err)
	}
	defer client.Close()
	store, err := redisstock.New(client, redisstock.Config{Partitions: 8, CallTimeout: 10 * time.Second})
	if err != nil {
		d.t.Fatal(err)
	}
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

func TestListsOnRealServers(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("stock", "list").want(command.ExitFailed, "sluice migrate")
	d.run("migrate").want(command.ExitDone)
	d.run("stock", "list").want(command.ExitDone, "SKU", "Redis cannot be asked how far MySQL is") // it is shut
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
	d.run("stock", "list", "--limit", "2").want(command.ExitDone, "there are more", "--cursor")
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
	d.run("sale", "list").want(command.ExitDone, "summer")
	l = into[listed](d.run("reservation", "list", "--sku", "1001", "--state", "held", "-o", "json").want(command.ExitDone))
	if len(l.Data) != 1 || l.Data[0].ID != id.String() || l.Data[0].State != "held" || l.Data[0].User != "42" ||
		l.Data[0].ReservedMS < before || l.Data[0].ReservedMS > time.Now().Add(time.Minute).UnixMilli() {
		t.Errorf("reservations: %+v", l)
	}
	d.run("reservation", "list", "--user", "42").want(command.ExitDone, id.String())
	d.run("reservation", "list", "--sale", "7").want(command.ExitDone).lacks(id.String())
	d.run("reservation", "list", "--state", "held").want(command.ExitUsage, "a user, a SKU or a sale")
	d.run("reservation", "list", "--user=-1").want(command.ExitUsage, "1 or more")
	d.flags["--redis-addr"] = "127.0.0.1:1"
	d.run("reservation", "list").want(command.ExitDone, id.String(), "cannot be asked").lacks("as of")
}
