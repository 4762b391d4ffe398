package cli

import (
	"fmt"
	"testing"

	"sluice/cli/command"
	"sluice/core/stock"
)

// Every command with which an operator looks at stock names the cells that are shut until they are repaired.
func TestShutStockIsNamed(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	d.runWith(stockFile("sku_id,quantity", 14, "5"), "stock", "load", "--yes").want(command.ExitDone)
	d.run("stock", "freeze", "1", "--reason", "test", "--yes").want(command.ExitDone)
	d.run("stock", "shut").want(command.ExitDone, "no SKU is shut as of 20")
	d.run("doctor").want(command.ExitDone, "ok   shut SKUs: none is fenced or breached")

	d.fence(t, 2)
	d.breach(t, 3)
	const fenced, breached = "SKU 2: fenced, because Redis has lost effects", "SKU 3: breached, because its counters do not add up"
	r := d.run("doctor").want(command.ExitFailed, "fail "+fenced, "fail "+breached, "-> see sluice stock show 3")
	r.lacks("SKU 1:") // an admin froze it
	r.lacks("in all")
	d.run("stock", "show", "2", "3", "4").want(command.ExitDone, fenced, breached).lacks("SKU 4: fenced")
	d.run("stock", "show", "3", "-o", "json").want(command.ExitDone, `"shut": "breached"`)
	d.run("stock", "show", "4", "-o", "json").want(command.ExitDone).lacks(`"shut"`)
	d.run("stock", "shut").want(command.ExitDone, "1 fenced, 1 breached as of 20", "SKU 2", "SKU 3").lacks("SKU 4 ")
	d.run("stock", "shut", "-o", "json").want(command.ExitDone, `"data": [`, `"fenced": 1`, `"breached": 1`, `"sku_id": "3"`, `"as_of": "20`)

	for sku := int64(4); sku <= 14; sku++ {
		d.breach(t, sku)
	}
	d.run("doctor").want(command.ExitFailed, "1 fenced and 12 breached in all", "see sluice stock shut")
}

// fence reserves with a position that Redis has not got to.
func (d *deployment) fence(t *testing.T, sku int64) {
	t.Helper()
	store := d.store()
	id := stock.Identity{User: 1, Route: stock.OpReserve, Cell: stock.Cell{SKU: sku}, Key: "x"}
	v := &stock.Vector{Op: stock.OpReserve, Partition: id.Cell.Partition(8), Requests: []stock.Request{{
		ID: id.ID(8), Cell: id.Cell, User: 1, Quantity: 1, Fence: stock.Position{Epoch: 9},
	}}}
	if store.Do(t.Context(), v); v.Err != nil || v.Outcomes[0].Verdict != stock.VerdictFenced {
		t.Fatalf("fence SKU %d: %v %v", sku, v.Err, v.Outcomes)
	}
}

// breach changes the counters of a SKU behind the scripts' back.
func (d *deployment) breach(t *testing.T, sku int64) {
	t.Helper()
	client, err := d.redis.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	cell := stock.Cell{SKU: sku}
	key, field := fmt.Sprintf("{p%d}:cells", cell.Partition(8)), string(cell.Append(nil))
	value, err := client.Do(t.Context(), client.B().Hget().Key(key).Field(field).Build()).AsBytes()
	if err != nil {
		t.Fatal(err)
	}
	value[5]++ // the last byte of avail
	if err := client.Do(t.Context(), client.B().Hset().Key(key).FieldValue().FieldValue(field, string(value)).Build()).Error(); err != nil {
		t.Fatal(err)
	}
}
