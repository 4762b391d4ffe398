package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"sluice/cli/command"
	"sluice/core/stock"
)

// client is a client of the deployment's Redis.
func (d *deployment) client() rueidis.Client {
	d.t.Helper()
	client, err := d.redis.Client()
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(client.Close)
	return client
}

// exec changes MySQL behind everybody's back.
func (d *deployment) exec(statement string) {
	d.t.Helper()
	db, err := d.mysql.Open(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(d.t.Context(), statement); err != nil {
		d.t.Fatal(err)
	}
}

// lose has MySQL know more of a SKU than Redis has.
func (d *deployment) lose(sku int64) {
	d.t.Helper()
	d.exec(fmt.Sprintf(`INSERT INTO product_inventories
		(sku_id, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated) VALUES (%d, 5, 5, 0, 0, 1, 60, NOW(3))`, sku))
}

// skus are ids of SKUs that are, or are not, in the partition of one.
func skus(n int, of int64, in bool) (found []int64) {
	for sku := of + 1; len(found) < n; sku++ {
		if in == ((stock.Cell{SKU: sku}).Partition(8) == (stock.Cell{SKU: of}).Partition(8)) {
			found = append(found, sku)
		}
	}
	return found
}

type loadResult struct {
	Lines, Loaded, Exist, Wrong, Shut int64
	Faults                            []struct {
		Line  int
		Error string
	}
}

// A dry run of a load tells what a Redis that nobody has opened would get, and leaves no trace.
func TestDryLoadOfANewRedis(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	client := d.client()
	const file = "sku_id,quantity,closes_at\n1,5,\n2,5,2001-01-01T00:00:00Z\n1,5,\n3,x,\n"
	r := d.runWith(file, "stock", "load", "--dry-run", "-o", "json").want(command.ExitFailed, "line 3: ", "line 5: ")
	if l := into[loadResult](r); l.Lines != 4 || l.Loaded != 1 || l.Wrong != 2 {
		t.Errorf("it would load %+v", l)
	}
	d.runWith("sku_id,quantity\n1,5\n2,7\n", "stock", "load", "--dry-run").want(command.ExitDone, "would be loaded", "2", "12 units")
	if n, err := client.Do(t.Context(), client.B().Dbsize().Build()).AsInt64(); err != nil || n != 0 {
		t.Errorf("Redis has %d keys (%v)", n, err)
	}
	if shut, err := d.store().Shut(t.Context()); err != nil || len(shut) != 8 {
		t.Errorf("partitions %v are shut (%v), want all", shut, err)
	}
	const sign = "2e429fd64963f5db6d2aa20a76ac20ff5717f8b2"
	if there, err := client.Do(t.Context(), client.B().ScriptExists().Sha1(sign).Build()).AsIntSlice(); err != nil || there[0] != 0 {
		t.Errorf("scripts are loaded (%v)", err)
	}
	db, err := d.mysql.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, table := range []string{"redis_vettings", "product_inventories"} {
		var rows int
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%s has %d rows (%v)", table, rows, err)
		}
	}
	d.run("doctor").want(command.ExitDone, "a new deployment")
}

// A load says what to do about a Redis that is away, that nobody may open, or that a dry run does not open.
func TestLoadSaysWhatToDoAboutRedis(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	const file = "sku_id,quantity\n1,5\n"
	run := func(code int, said ...string) {
		t.Helper()
		for _, flag := range []string{"--dry-run", "--yes"} {
			d.runWith(file, "stock", "load", flag).want(code, said...)
		}
	}
	client := d.client()
	set := func(policy string) {
		t.Helper()
		if err := client.Do(t.Context(), client.B().ConfigSet().ParameterValue().ParameterValue("maxmemory-policy", policy).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	set("allkeys-lru")
	run(command.ExitFailed, "redis stays shut: redis: maxmemory-policy allkeys-lru", "sluice doctor says what to do")
	set("noeviction")
	d.runWith(file, "stock", "load", "--yes").want(command.ExitDone)
	if err := client.Do(t.Context(), client.B().ScriptFlush().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	d.runWith(file, "stock", "load", "--dry-run").want(command.ExitFailed, "Redis is shut, with stock in it", "start an edge")
	d.runWith(file, "stock", "load", "--yes").want(command.ExitDone, "already loaded")
	d.flags["--redis-addr"] = "127.0.0.1:1"
	run(command.ExitFailed, "Start Redis, or correct its address: --redis-addr")
}

// A partition is shut, as Redis has lost effects of one SKU. A load names the lines of this partition and does the others;
// a sale that needs it changes nothing, and one that does not is made.
func TestLoadAndSalesWhilePartOfRedisIsShut(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	const lost = int64(1001)
	within, others := skus(2, lost, true), skus(3, lost, false)
	d.runWith(fmt.Sprintf("sku_id,quantity\n%d,5\n%d,5\n", lost, others[0]), "stock", "load", "--yes").want(command.ExitDone)
	ownPool := func(sku int64, id uint32) bool { // whether its stock in the sale is shut too
		return stock.Cell{SKU: sku, Pool: id}.Partition(8) == stock.Cell{SKU: lost}.Partition(8)
	}
	early := uint32(100) // the stock of its SKU 1001 is shut too, and that of the other is not
	for !ownPool(lost, early) || ownPool(others[0], early) {
		early++
	}
	earlyID := fmt.Sprint(early)
	d.run("sale", "create", earlyID, "--name", "early", "--item", fmt.Sprintf("%d:1", lost), "--item", fmt.Sprintf("%d:1", others[0]), "--yes").want(command.ExitDone)
	d.lose(lost)

	file := "sku_id,quantity,closes_at\n"
	for _, sku := range []int64{within[0], others[1], within[1], others[2]} {
		file += fmt.Sprintf("%d,5,2100-01-01T00:00:00Z\n", sku)
	}
	load := func(flag string, want loadResult) {
		t.Helper()
		r := d.runWith(file, "stock", "load", flag, "-o", "json").want(command.ExitFailed, "2 lines are of SKUs whose partition of Redis is shut",
			"load the same file again", fmt.Sprintf("line 2: SKU %d is not loaded", within[0]), fmt.Sprintf("line 4: SKU %d is not loaded", within[1]))
		got := into[loadResult](r)
		if faults := len(got.Faults); faults != 2 {
			t.Errorf("%s: %d faults", flag, faults)
		}
		if got.Faults = nil; !cmp.Equal(got, want) {
			t.Errorf("%s: %+v, want %+v", flag, got, want)
		}
	}
	load("--yes", loadResult{Lines: 4, Loaded: 2, Shut: 2})
	load("--dry-run", loadResult{Lines: 4, Exist: 2, Shut: 2})
	d.run("stock", "adjust", fmt.Sprint(others[0]), "--delta", "1", "--reason", "test", "--yes").want(command.ExitDone, "lost effects of 1 cells", "\nWhat MySQL and Kafka have is safe. sluice doctor says what to do")
	for _, sku := range others {
		if s := d.show(sku); s.Redis == nil || s.Redis.Avail < 4 {
			t.Errorf("SKU %d: %+v", sku, s)
		}
	}

	name := fmt.Sprintf("SKU %d", lost)
	create := func(id string, items ...int64) result {
		args := []string{"sale", "create", id, "--name", "summer", "--yes"}
		for _, sku := range items {
			args = append(args, "--item", fmt.Sprintf("%d:1", sku))
		}
		return d.run(args...)
	}
	create("7", lost, others[1]).want(command.ExitFailed, "stock of these SKUs is shut until it is vetted: "+name, "sluice doctor")
	d.run("sale", "show", "7").want(command.ExitNotFound)
	for _, args := range [][]string{{"sale", "open", earlyID, "--yes"}, {"sale", "fill", earlyID, "--yes"}} {
		d.run(args...).want(command.ExitFailed, "stock of these SKUs is shut until it is vetted: ", name)
	}
	for id := uint32(8); ; id++ {
		if !ownPool(others[1], id) && !ownPool(others[2], id) {
			create(fmt.Sprint(id), others[1], others[2]).want(command.ExitDone)
			d.run("sale", "open", fmt.Sprint(id), "--yes").want(command.ExitDone)
			break
		}
	}

	d.run("sale", "close", earlyID, "--dry-run").want(command.ExitFailed, "stock of these SKUs is shut until it is vetted: ", name)
	d.answer("no", "sale", "close", earlyID).want(command.ExitFailed, "About to change sale "+earlyID, "except for what is shut", name)
	d.answer(earlyID, "sale", "close", earlyID).want(command.ExitFailed, "Repeat the command once nothing keeps back the rest")

	d.exec(fmt.Sprintf("DELETE FROM product_inventories WHERE sku_id = %d", lost)) // as if the data were back
	d.runWith(strings.ReplaceAll(file, ":00Z", ":00+00:00"), "stock", "load", "--yes").want(command.ExitDone, "loaded", "already loaded")
	create("7", lost, others[1]).want(command.ExitDone)
}
