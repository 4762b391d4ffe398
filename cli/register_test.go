package cli

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"sluice/cli/command"
	"sluice/core/registry"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// Users are registered from a file as often as somebody loads it, wrong lines register nobody, and what Redis loses of them comes
// back before the sale opens. A vetting opens everything without them.
func TestUsersAreRegistered(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	d.runWith("sku_id,quantity\n1001,9\n", "stock", "load", "--yes").want(command.ExitDone)
	d.run("sale", "create", "7", "--name", "summer", "--item", "1001:3", "--registered-only", "--extend-max", "5m", "--yes").want(command.ExitDone)
	d.run("sale", "create", "8", "--name", "for all", "--item", "1001:3", "--yes").want(command.ExitDone)
	register := func(stdin string, code int, more ...string) string {
		t.Helper()
		got := d.runWith(stdin, append([]string{"sale", "register", "7", "--yes", "-o", "json"}, more...)...)
		got.want(code)
		return got.out
	}
	has := func(out, want string) {
		t.Helper()
		if !strings.Contains(strings.NewReplacer(" ", "", "\n", "").Replace(out), want) {
			t.Errorf("%s: want %s", out, want)
		}
	}
	has(register("user_id\n5\n6\n", command.ExitDone, "--file", "-", "--dry-run"), `"result":"dry_run"`)
	has(register("user_id\n5\n\"6\"\nx\n07\n", command.ExitFailed, "--file", "-"), `"wrong":2,"added":2,"registered":2`)
	has(register("user_id\n5\n6\n7\n", command.ExitDone, "--file", "-"), `"added":1,"registered":3`)
	has(register("", command.ExitDone, "--user", "7", "--user", "8"), `"added":1,"registered":4`)
	register("", command.ExitUsage)
	for _, c := range []struct {
		file string
		code int
		want []string
	}{
		{"\xef\xbb\xbfUSER_ID\r\n\"5\"\r\n\r\n6\r\n", command.ExitDone, []string{"0 users registered now, 0 lines are wrong; it has 4 users"}},
		{"\xff\xfe5\x00\r\x00\n\x006\x00\r\x00\n\x00", command.ExitDone, []string{"0 users registered now, 0 lines are wrong; it has 4 users"}},
		{"user_id\n5.0\n-6\n", command.ExitFailed, []string{"line 2", "line 3", "0 users registered now, 2 lines are wrong\n"}}, // MySQL was not asked how many it has
		{"5.0\n6\n", command.ExitFailed, []string{`line 1: "5.0" is no user id`, "it has 4 users"}},
		{"user_id;name\n5;max\n", command.ExitUsage, []string{`line 1, header row: "user_id;name"`, "one column"}},
		{"\x7fELF\n\n", command.ExitUsage, []string{"header row", "one column"}},
		{"user_id\n" + strings.Repeat("5", 1<<17), command.ExitUsage, []string{"line 2 is too long"}},
		{"", command.ExitUsage, []string{"no line with a user"}},
		{"user_id\n", command.ExitUsage, []string{"no line with a user"}},
	} {
		got := d.runWith(c.file, "sale", "register", "7", "--yes", "--file", "-")
		got.want(c.code, c.want...)
		if c.code == command.ExitUsage && strings.Contains(got.out+got.err, "registered") {
			t.Errorf("%.40q: %s%s: speaks of users where it registered none", c.file, got.out, got.err)
		}
	}
	d.run("sale", "create", "11", "--name", "many", "--item", "1001:3", "--registered-only", "--yes").want(command.ExitDone)
	var many strings.Builder
	for user := 1; user <= registry.UsersMax; user++ {
		fmt.Fprintln(&many, user)
	}
	got := d.runWith(many.String()+strings.Repeat("5", 1<<17), "sale", "register", "11", "--yes", "--file", "-", "-o", "json")
	got.want(command.ExitFailed, "line 10001 is too long", "Whoever was registered stays so")
	has(got.out, `"added":10000,"registered":10000`)
	d.answer("5", "sale", "register", "7", "--yes", "--file", "-").want(command.ExitDone, "reading from the terminal, up to Ctrl-D")
	d.run("sale", "register", "7", "--yes", "--file", t.TempDir()).want(command.ExitFailed, "file of users /")
	if got := d.run("sale", "register", "9", "--user", "7", "--yes"); strings.Contains(got.out+got.err, "it has") || strings.Contains(got.err, "To go on") {
		t.Errorf("a sale that is not there: %s%s", got.out, got.err)
	}
	d.run("sale", "create", "10", "--name", "nothing", "--yes").want(command.ExitUsage, "--item or --items-file")
	d.run("sale", "register", "8", "--user", "7", "--yes").want(command.ExitUsage)
	d.run("sale", "register", "9", "--user", "7", "--yes").want(command.ExitNotFound)

	client, err := d.redis.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	of := redisstock.UserSet{Partition: stock.Cell{SKU: 1001, Pool: 7}.Partition(8), Sale: 7}
	count := func() int64 {
		counts, err := d.store().CountUsers(t.Context(), []redisstock.UserSet{of})
		if err != nil {
			t.Fatal(err)
		}
		return counts[0]
	}
	if n := count(); n != 4 {
		t.Fatalf("Redis has %d users", n)
	}
	if _, err := d.store().ForgetUsers(t.Context(), of); err != nil {
		t.Fatal(err)
	}
	if err := client.Do(t.Context(), client.B().ScriptFlush().Build()).Error(); err != nil { // as a restart does
		t.Fatal(err)
	}
	d.run("stock", "adjust", "1001", "--delta", "1", "--reason", "vets", "--yes").want(command.ExitDone)
	if n := count(); n != 0 {
		t.Errorf("Redis has %d users after a vetting", n)
	}
	d.run("sale", "fill", "7", "--yes").want(command.ExitDone)
	d.run("sale", "open", "7", "--yes").want(command.ExitDone)
	if n := count(); n != 4 {
		t.Errorf("Redis has %d users after an opening", n)
	}
}

// Reconcile and doctor find edits of a sale's users in Redis or MySQL, and say what to do.
func TestRegisteredUsersAreCompared(t *testing.T) {
	t.Parallel()
	d := newDeployment(t).migrated()
	d.runWith("sku_id,quantity\n1001,19\n", "stock", "load", "--yes").want(command.ExitDone)
	d.run("sale", "create", "7", "--name", "club", "--item", "1001:3", "--registered-only", "--yes").want(command.ExitDone)
	d.run("sale", "register", "7", "--yes", "--user", "5", "--user", "6").want(command.ExitDone)
	d.persist(1001)
	d.persist(1001, "--sale", "7")
	d.run("reconcile").want(command.ExitDone, "in sync")
	h := d.hand()
	redis := func(command, key string, values ...string) {
		t.Helper()
		if n, err := h.client.Do(t.Context(), h.client.B().Arbitrary(command).Keys(key).Args(values...).Build()).AsInt64(); n != 1 || err != nil {
			t.Fatal(command, n, err)
		}
	}
	key := fmt.Sprintf("{p%d}:registered:7", stock.Cell{SKU: 1001, Pool: 7}.Partition(8))
	redis("SADD", key, "\x00\x00\x00\x00\x00\x00\x00\x09")
	const says = "has 3, and MySQL has 2. MySQL has no row of user 9"
	do := "sluice sale register 7 --user 9. If not, UNLINK " + key
	d.run("reconcile").want(command.ExitDrift, "registered users of sale 7: partition", says, do, "the stores differ: registered users")
	d.run("reconcile", "--sale", "7").want(command.ExitDrift, says)
	d.run("reconcile", "--sale", "0").want(command.ExitDone).lacks("registered users")
	d.run("reconcile", "--sku", "1001").want(command.ExitDone).lacks("registered users")
	d.run("reconcile", "-o", "csv").want(command.ExitDrift, says)
	d.run("reconcile", "-o", "html").want(command.ExitDrift, says)
	got := into[struct {
		Users []struct {
			Sale      string `json:"sale_id"`
			Partition *int   `json:"partition"`
			Has, Rows int64
			Strangers []string `json:"not_in_mysql"`
		} `json:"registered_users"`
	}](d.run("reconcile", "-o", "json").want(command.ExitDrift))
	if len(got.Users) != 1 || got.Users[0].Sale != "7" || got.Users[0].Partition == nil || got.Users[0].Has != 3 || got.Users[0].Rows != 2 ||
		strings.Join(got.Users[0].Strangers, " ") != "9" {
		t.Errorf("%+v", got)
	}
	d.run("doctor").want(command.ExitFailed, "fail registered users of sale 7: partition", says, do)

	redis("UNLINK", key)
	d.run("reconcile").want(command.ExitDrift, "has 0, and MySQL has 2: start an edge")
	d.run("sale", "register", "7", "--yes", "--user", "5", "--user", "6").want(command.ExitDone) // does what it says
	d.run("reconcile").want(command.ExitDone)

	h.sql("UPDATE sales SET registered = 9 WHERE sale_id = 7")
	const row = "the row of the sale counts 9, and MySQL has 2: UPDATE sales SET registered = 2 WHERE sale_id = 7"
	d.run("reconcile").want(command.ExitDrift, row)
	h.sql("UPDATE sales SET registered = 2 WHERE sale_id = 7")
	d.run("reconcile").want(command.ExitDone)

	for sale := 8; sale < 18; sale++ {
		d.run("sale", "create", strconv.Itoa(sale), "--name", "more", "--item", "1001:1", "--registered-only", "--yes").want(command.ExitDone)
	}
	h.sql("UPDATE sales SET registered = 9")
	d.run("doctor").want(command.ExitFailed, "fail registered users of sale 16: ", "lists 11 differences of registered users").lacks("users of sale 17: ")
}
