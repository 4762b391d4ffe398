package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/redis/rueidis"

	"sluice/cli/command"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
	"sluice/persister"
)

// A command with another number of partitions would find each SKU in another partition, or make it there
// again, also while Redis is open.
func TestCommandsRefuseAnothersRedis(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	const file = "sku_id,quantity\n1001,5\n"
	d.runWith(file, "stock", "load", "--yes").want(command.ExitDone)
	for flag, wrong := range map[string]string{"--partitions": "4", "--deployment": "other"} {
		right := d.flags[flag]
		d.flags[flag] = wrong
		for _, args := range [][]string{
			{"stock", "load", "--yes"},
			{"stock", "load", "--dry-run"},
			{"stock", "show", "1001"},
			{"stock", "adjust", "1001", "--delta", "1", "--reason", "test", "--yes"},
			{"sale", "show", "7"},
			{"doctor"},
			{"reconcile"},
			{"reconcile", "--repair", "--apply", "--reason", "test", "--yes"},
		} {
			d.runWith(file, args...).want(command.ExitFailed, "another deployment", "set "+flag)
		}
		d.flags[flag] = right
	}
	d.run("reservation", "show", "0008"+strings.Repeat("0", 28)).want(command.ExitUsage, "partition 8 of the id: this deployment has 8 (--partitions)")
	if s := d.show(1001); s.Redis.Avail != 5 {
		t.Errorf("after what must change nothing: %+v", s.Redis)
	}
}

// A command that changes stock opens a Redis that is shut, unless it has lost what MySQL has.
func TestCommandsLeaveALosingRedisShut(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	d.runWith("sku_id,quantity\n1001,5\n", "stock", "load", "--yes").want(command.ExitDone)
	db, err := d.mysql.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.ExecContext(t.Context(), `INSERT INTO product_inventories
		(sku_id, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated) VALUES (1001, 5, 5, 0, 0, 1, 6, NOW(3))`)
	if err != nil {
		t.Fatal(err)
	}
	client, err := d.redis.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Do(t.Context(), client.B().ScriptFlush().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		d.run("stock", "adjust", "1001", "--delta", "1", "--reason", "test", "--yes").want(command.ExitFailed, "lost effects of 1 cells").lacks("Redis is open")
	}
	d.run("doctor").want(command.ExitFailed, "lost effects of 1 cells", "What MySQL and Kafka have is safe", "docs/backup.md")
}

// Data that are lost, or set back to a copy, while Redis goes on running lack SKUs that MySQL knows. No command
// makes them again: a partition that has lost all of its stock waits for a restore.
func TestCommandsCreateNoKnownSKUAfresh(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(client rueidis.Client, copied map[string]string) []rueidis.Completed{
		"lost": func(client rueidis.Client, _ map[string]string) []rueidis.Completed {
			return []rueidis.Completed{client.B().Flushdb().Build()}
		},
		"set back": func(client rueidis.Client, copied map[string]string) []rueidis.Completed {
			commands := []rueidis.Completed{client.B().Flushdb().Build()}
			for key, value := range copied {
				commands = append(commands, client.B().Restore().Key(key).Ttl(0).SerializedValue(value).Build())
			}
			return commands
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeployment(t)
			client, err := d.redis.Client()
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			const early, late = "sku_id,quantity\n1000,5\n", "sku_id,quantity\n1001,5\n"
			d.run("migrate").want(command.ExitDone)
			d.runWith(early, "stock", "load", "--yes").want(command.ExitDone)
			copied := redistest.Copy(t, client)
			d.runWith(late, "stock", "load", "--yes").want(command.ExitDone)
			d.persist(1001)
			for _, answer := range client.DoMulti(t.Context(), lose(client, copied)...) {
				if err := answer.Error(); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				d.runWith(late, "stock", "load", "--yes").want(command.ExitFailed, "lost").lacks("1 loaded")
			}
			d.run("doctor").want(command.ExitFailed, "lost effects of").lacks("none is fenced")
			d.run("stock", "shut").want(command.ExitFailed, "vetted").lacks("no SKU is shut")
		})
	}
}

// Data that are set back to a copy have the nonce that MySQL keeps. A command that changes a SKU would add effects
// that hide, and in time pass for, those that are missing. Once MySQL knows how many effects there were, they are rebuilt first.
func TestCommandsChangeNoSKUThatLostEffects(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	client, err := d.redis.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	d.run("migrate").want(command.ExitDone)
	d.runWith("sku_id,quantity\n1001,5\n", "stock", "load", "--yes").want(command.ExitDone)
	copied := redistest.Copy(t, client)
	d.run("stock", "adjust", "1001", "--delta", "2", "--reason", "test", "--yes").want(command.ExitDone)
	d.persist(1001)
	redistest.SetBack(t, client, copied)
	lacking := redistest.Copy(t, client)
	refused := func(said ...string) {
		t.Helper()
		for _, args := range [][]string{
			{"stock", "adjust", "1001", "--delta", "1", "--reason", "test", "--yes"},
			{"stock", "freeze", "1001", "--reason", "test", "--yes"},
			{"stock", "adjust", "1001", "--limit", "3", "--reason", "test", "--yes"},
		} {
			d.run(args...).want(command.ExitFailed, said...)
		}
		wantKeys(t, client, lacking)
	}
	db, err := d.mysql.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE told AS SELECT * FROM redis_vettings")
	exec("UPDATE redis_vettings SET effects = 0") // nobody has told MySQL how many there were
	refused("events that Redis has lost")
	exec("REPLACE INTO redis_vettings SELECT * FROM told")
	d.run("stock", "adjust", "1001", "--delta", "1", "--reason", "test", "--yes").want(command.ExitDone, "avail: 7 -> 8")
	d.run("stock", "freeze", "1001", "--reason", "test", "--yes").want(command.ExitDone)
	if s := d.show(1001); s.Redis.Epoch != 2 || s.Redis.Total != 8 {
		t.Errorf("rebuilt: %+v", s.Redis)
	}
}

// A sale that is opened or closed on data set back would add effects under the numbers of those that are missing. They are
// rebuilt first.
func TestSalesStayAsTheyAreOnDataSetBack(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	client, err := d.redis.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	d.run("migrate").want(command.ExitDone)
	d.runWith("sku_id,quantity\n1001,5\n", "stock", "load", "--yes").want(command.ExitDone)
	d.run("sale", "create", "7", "--name", "summer", "--item", "1001:3", "--yes").want(command.ExitDone)
	copied := redistest.Copy(t, client)
	d.run("sale", "open", "7", "--for", "1h", "--yes").want(command.ExitDone)
	d.persist(1001, "--sale", "7")
	redistest.SetBack(t, client, copied)
	d.run("sale", "close", "7", "--yes").want(command.ExitDone)
	s := d.show(1001, "--sale", "7")
	if s.Redis.Epoch != 2 || s.Redis.Avail != 3 {
		t.Errorf("rebuilt: %+v", s.Redis)
	}
	d.persist(1001, "--sale", "7")
	if r := d.reconcile(command.ExitDone); len(r.Findings) > 0 {
		t.Errorf("after that: %+v", r.Findings)
	}
}

// wantKeys holds some keys to what they have to be.
func wantKeys(t *testing.T, client rueidis.Client, want map[string]string) {
	t.Helper()
	now := redistest.Copy(t, client)
	for key, value := range want {
		if now[key] != value {
			t.Errorf("%s was changed", key)
		}
	}
}

// Redis lost an event of a SKU and made another in its place. The SKU is not changed, whatever Redis has of it by now,
// before somebody has said that it was dealt with. Other SKUs are.
func TestForkKeepsItsSKUShut(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	client, err := d.redis.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	db, err := d.mysql.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	d.run("migrate").want(command.ExitDone)
	d.runWith("sku_id,quantity\n1001,5\n1003,5\n", "stock", "load", "--yes").want(command.ExitDone)
	if (stock.Cell{SKU: 1001}).Partition(8) == (stock.Cell{SKU: 1003}).Partition(8) {
		t.Fatal("both SKUs are in one partition")
	}
	fork := d.letter(db, "fork", []byte("x"))
	if _, err := db.ExecContext(t.Context(), "UPDATE dead_letters SET sku_id = 1001, pool = 0, bucket = 0, epoch = 1, seq = 1"); err != nil {
		t.Fatal(err)
	}
	if err := client.Do(t.Context(), client.B().ScriptFlush().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	adjust := func(sku string) result {
		t.Helper()
		return d.run("stock", "adjust", sku, "--delta", "1", "--reason", "test", "--yes")
	}
	adjust("1001").want(command.ExitFailed, "sku 1001 has two events at epoch 1 seq 1", "sluice deadletter resolve")
	adjust("1003").want(command.ExitDone, "avail: 5 -> 6")
	partition := (stock.Cell{SKU: 1001}).Partition(8)
	d.run("doctor").want(command.ExitFailed, "sku 1001 has two events", "1 of 8 partitions are shut, and sell nothing; the others sell",
		fmt.Sprintf("shut SKUs: not known of partition %d", partition))
	shut := d.run("stock", "shut").want(command.ExitFailed, fmt.Sprintf("partition %d cannot be looked at", partition), "start an edge")
	shut.lacks("no SKU is shut")
	shut.lacks("not executed")
	d.run("stock", "shut", "-o", "json").want(command.ExitFailed, `"shut_partitions": [`)
	d.run("deadletter", "show", fork).want(command.ExitDone, "stays shut until it is resolved")
	d.run("deadletter", "resolve", fork, "--reason", "counted", "--yes").want(command.ExitDone)
	adjust("1001").want(command.ExitDone, "avail: 5 -> 6")
}

// A deployment of the same name, with a MySQL of its own, would take what the first one has vetted for lost, and the
// first one what it vets, in turn.
func TestCommandsRefuseAnothersLedger(t *testing.T) {
	t.Parallel()
	d, second := newDeployment(t), newDeployment(t)
	second.redis, second.flags["--redis-addr"] = d.redis, d.flags["--redis-addr"]
	d.run("migrate").want(command.ExitDone)
	second.run("migrate").want(command.ExitDone)
	d.runWith("sku_id,quantity\n1001,5\n", "stock", "load", "--yes").want(command.ExitDone)
	for _, args := range [][]string{
		{"stock", "load", "--yes"},
		{"stock", "show", "1001"},
		{"stock", "adjust", "1001", "--delta", "1", "--reason", "test", "--yes"},
		{"sale", "show", "7"},
		{"doctor"},
		{"reconcile"},
		{"reconcile", "--repair", "--apply", "--reason", "test", "--yes"},
	} {
		second.runWith("sku_id,quantity\n1002,5\n", args...).want(command.ExitFailed, "another deployment", "set SLUICE_MYSQL_DSN")
	}
	_, err := persister.Start(t.Context(), second.persisterConfig(), slog.New(slog.DiscardHandler))
	if !errors.Is(err, redisstock.ErrForeign) {
		t.Errorf("a persister: %v, want a refusal", err)
	}
	d.run("stock", "adjust", "1001", "--delta", "1", "--reason", "test", "--yes").want(command.ExitDone, "5 -> 6").lacks("comparing Redis")
}
