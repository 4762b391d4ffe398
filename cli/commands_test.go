package cli

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/cli/command"
	"sluice/core/basket"
	"sluice/core/stock"
)

func TestCommandsOnRealServers(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("stock", "show", "1").want(command.ExitFailed, "run sluice migrate") // there are no tables yet
	d.run("doctor").want(command.ExitFailed, "run sluice migrate", "no such topic")
	d.run("migrate").want(command.ExitDone, "schema version", "topic events with 4 partitions")
	d.run("migrate").want(command.ExitDone)
	d.run("doctor").want(command.ExitDone, "Redis is shut", "a new deployment", "one copy only", "no file given")

	// A dry run does not open it.
	for _, args := range [][]string{{"adjust", "1", "--delta", "1", "--reason", "test"}, {"freeze", "1", "--reason", "test"}, {"unfreeze", "1", "--reason", "test"}} {
		d.runWith("sku_id,quantity\n1,1\n", append(append([]string{"stock"}, args...), "--dry-run")...).want(command.ExitFailed, "is shut").lacks("stays. To go on")
	}
	d.runWith("sku_id,quantity\n1,1\n", "stock", "load", "--dry-run").want(command.ExitDone, "would be loaded")
	d.run("doctor").want(command.ExitDone, "Redis is shut", "a new deployment")

	// Load: a wrong line costs itself only, and the same file again changes nothing.
	const file = "sku_id,quantity,limit\n1001,100,\n1002,x,\n1003,50,2\n1003,51,2\n"
	type counts struct {
		Lines, Loaded, Wrong, Units int64
		Already                     int64 `json:"already_loaded"`
	}
	type loaded struct {
		counts
		Faults []struct {
			Line  int
			Error string
		}
	}
	d.run("stock", "show", "1001").want(command.ExitFailed, "is shut", "start an edge")
	r := d.runWith(file, "stock", "load", "--yes", "-o", "json").want(command.ExitFailed, "Redis is open: it lacks nothing that MySQL and Kafka know (0 positions of SKUs compared)", "line 3", "line 5: SKU 1003 was loaded with other values")
	if l := into[loaded](r); l.counts != (counts{Lines: 4, Loaded: 2, Wrong: 2, Units: 150}) || len(l.Faults) != 2 ||
		l.Faults[0].Line != 3 || !strings.Contains(l.Faults[0].Error, "quantity") {
		t.Errorf("loaded: %+v", l)
	}
	r = d.runWith("{\"sku_id\":\"1001\",\"quantity\":100}\n", "stock", "load", "--yes", "-o", "json").want(command.ExitDone)
	if l := into[loaded](r); l.counts != (counts{Lines: 1, Already: 1}) || l.Faults == nil {
		t.Errorf("loaded again: %+v", l)
	}
	r = d.runWith(file+"1004,1,\n", "stock", "load", "--dry-run", "-o", "json").want(command.ExitFailed, "-: line 3: column 2, quantity \"x\"")
	if l := into[loaded](r); l.Loaded != 1 || l.Wrong != 1 || l.Lines != 5 {
		t.Errorf("dry run: %+v", l)
	}
	d.runWith(file, "stock", "load", "--dry-run").want(command.ExitFailed, "would be loaded", "exist").lacks("already loaded")
	for _, flag := range []string{"--yes", "--dry-run"} {
		d.runWith("sku_id,quantity\n\n", "stock", "load", flag).want(command.ExitUsage, "- has a header and no lines")
	}
	d.run("stock", "show", "1004").want(command.ExitNotFound, "not loaded")
	if s := d.show(1003); s.Redis.Avail != 50 || s.Redis.Limit != 2 || s.MySQL != nil || s.Status != "missing" {
		t.Errorf("before it is persisted: %+v", s)
	}
	d.persist(1003)
	d.run("stock", "show", "1003", "1001").want(command.ExitDone, "Redis and MySQL agree", "2 per user", "SKU 1001")

	d.adjusts()
	d.sells()
	d.keepsReservations()
	d.persist(1001)
	d.run("doctor").want(command.ExitDone, "it has the data that were vetted", "behind in none", "no replica keeps up with it")
}

func (d *deployment) adjusts() {
	d.t.Helper()
	adjust := func(more ...string) result {
		return d.run(append([]string{"stock", "adjust", "1001", "--reason", "test"}, more...)...)
	}
	adjust("--delta", "5", "--dry-run").want(command.ExitDone, "avail: 100 -> 105", "dry run")
	adjust("--delta", "5").want(command.ExitUsage, "--yes")
	adjust("--yes").want(command.ExitUsage, "nothing to change")
	adjust("--yes", "--sale", "7", "--closes-at", "1970-01-01T00:00:00Z").want(command.ExitUsage, "sluice sale open")
	adjust("--delta=-101", "--yes").want(command.ExitRefused, "fewer units")
	adjust("--delta=-101", "--dry-run").want(command.ExitRefused, "fewer units")
	adjust("--delta=1099511627676", "--yes").want(command.ExitRefused, "has 100 units and would have more than 1,099,511,627,775")
	adjust("--opens-at", "2050-01-02T00:00:00Z", "--closes-at", "2050-01-01T00:00:00Z", "--yes").want(command.ExitUsage, "would never sell")
	if s := d.show(1001); s.Redis.Avail != 100 {
		d.t.Errorf("after what must change nothing: %+v", s.Redis)
	}
	adjust("--delta=-40", "--limit", "3", "--yes", "--key", "k1").want(command.ExitDone, "avail: 100 -> 60", "limit: none -> 3 per user")
	adjust("--delta=-40", "--limit", "3", "--yes", "--key", "k1").want(command.ExitDone, "made before")
	adjust("--delta=-41", "--limit", "3", "--yes", "--key", "k1").want(command.ExitRefused, "another change")
	adjust("--limit", "4", "--yes", "--key", "load").want(command.ExitDone, "limit: 3 per user -> 4 per user") // no key of a load
	adjust("--limit", "3", "--yes", "--key", "").want(command.ExitDone, "limit: 4 per user -> 3 per user")
	adjust("--closes-at", "2050-01-01T00:00:00Z", "--hold", "20m", "--yes").
		want(command.ExitDone, "window: always open, never closes -> always open, closes 2050-01-01T00:00:00.000Z", "hold: 15m0s -> 20m0s")
	adjust("--opens-at", "2050-01-01T00:00:00Z", "--yes").want(command.ExitUsage, "would never sell: opens 2050")
	adjust("--closes-at", "1970-01-01T00:00:00Z", "--opens-at", "1970-01-01T00:00:00Z", "--yes").want(command.ExitDone, "never closes")
	adjust("--ack", "replica", "--yes").want(command.ExitDone, "warning: no replica keeps up with redis")
	adjust("--ack", "default", "--yes").want(command.ExitDone).lacks("warning")
	d.runWith("sku_id,quantity,ack\n1009,1,replica\n", "stock", "load", "--yes").want(command.ExitDone, "warning: no replica keeps up with redis")
	d.run("stock", "adjust", "77", "--delta", "1", "--reason", "test", "--yes").want(command.ExitNotFound, "not loaded")
	d.run("stock", "freeze", "1001", "--reason", "test").want(command.ExitUsage, "--yes")
	d.run("stock", "freeze", "1001", "--reason", "test", "--dry-run").want(command.ExitDone, "flags: none -> frozen", "dry run")
	d.run("stock", "freeze", "1001", "--reason", "test", "--yes").want(command.ExitDone, "flags: none -> frozen").lacks("dry run")
	if s := d.show(1001); s.Redis.Avail != 60 || s.Redis.Limit != 3 || !s.Redis.Frozen {
		d.t.Errorf("adjusted and frozen: %+v", s.Redis)
	}
	d.run("stock", "unfreeze", "1001", "--reason", "test", "-o", "json", "--yes").want(command.ExitDone, `"result": "ok"`)
	if s := d.show(1001); s.Redis.Frozen {
		d.t.Errorf("unfrozen: %+v", s.Redis)
	}
}

// shownSale is a sale in JSON.
type shownSale struct {
	Result   string
	Changed  bool
	Phase    string
	OpensAt  time.Time `json:"opens_at"`
	ClosesAt time.Time `json:"closes_at"`
	Filled   bool
	Items    []struct {
		Moved   int64
		Settled bool
	}
}

// sells leads a sale through its life.
func (d *deployment) sells() {
	d.t.Helper()
	create := []string{"sale", "create", "7", "--name", "summer", "--item", "1001:20", "--item", "1003:10", "--limit", "1"}
	yes := func(args ...string) result {
		d.t.Helper()
		return d.run(append(append([]string{"sale"}, args...), "--yes")...)
	}
	seen := func(r result) shownSale {
		d.t.Helper()
		return into[shownSale](r.want(command.ExitDone))
	}
	d.run("sale", "show", "7").want(command.ExitNotFound, "no such sale")
	yes("create", "7", "--name", "summer", "--item", "1001").want(command.ExitUsage, "SKU:UNITS")
	yes("create", "7", "--name", "summer", "--item", "+1001:20").want(command.ExitUsage, "SKU:UNITS")
	yes("create", "7", "--name", "summer", "--item", "1001:1000").want(command.ExitRefused, "SKU 1001: not enough stock: 60 units")
	yes("create", "7", "--name", "summer", "--item", "77:1").want(command.ExitNotFound, "SKU 77: no such SKU")
	d.run(append(create, "--dry-run")...).want(command.ExitDone, "dry run", "30 units of 2 SKUs come from normal stock", "planned")
	d.run("sale", "show", "7").want(command.ExitNotFound, "no such sale")
	d.run(append(create, "--yes")...).want(command.ExitDone, "summer: planned", "1001", "1003")
	d.run("sale", "show", "7", "-o", "json").want(command.ExitDone, `"phase": "planned"`).lacks("opens_at")
	d.run("stock", "show", "1001", "--sale", "7", "-o", "json").want(command.ExitDone, `"planned": true`).lacks("opens_at")
	if s := seen(d.run(append(create, "--yes", "-o", "json")...)); s.Result != "replayed" || s.Changed {
		d.t.Errorf("created again: %+v", s)
	}
	yes("create", "7", "--name", "winter", "--item", "1001:20").want(command.ExitRefused, "another plan",
		`name: the sale has "summer", this plan "winter"`, "limit per user: the sale has 1, this plan none", "units of SKU 1003: the sale has 10, this plan none",
		"make a sale with another id")

	// Whatever changes a sale asks first, and where nobody can answer it wants --yes.
	for _, args := range [][]string{create, {"sale", "open", "7"}, {"sale", "close", "7"}, {"sale", "fill", "7"}, {"sale", "empty", "7"}} {
		d.run(args...).want(command.ExitUsage, "--yes", "--dry-run")
	}
	d.run("sale", "open", "7", "--dry-run").want(command.ExitDone, "window: not scheduled, never closes -> opens")
	if s := seen(d.run("sale", "close", "7", "--dry-run", "-o", "json")); s.Result != "dry_run" || s.Phase != "closed" || !s.Changed {
		d.t.Errorf("rehearsed closing: %+v", s)
	}
	if s := seen(d.run("sale", "show", "7", "-o", "json")); s.Phase != "planned" || !s.Filled {
		d.t.Errorf("after the dry runs: %+v", s)
	}

	// No key that an operator gives is one that a sale takes for its own steps.
	for i, key := range []string{"create", "window 1", "sale window 1", "sale 7 move 0", "transfer from sku 1001, bucket 0 to sku 1001, sale 7, bucket 0 sale 7 move 1"} {
		limit := strconv.Itoa(5 + i)
		d.run("stock", "adjust", "1001", "--sale", "7", "--limit", limit, "--key", key, "--reason", "test", "--yes").want(command.ExitDone, "-> "+limit+" per user")
	}
	d.run("stock", "adjust", "1001", "--sale", "7", "--limit", "1", "--reason", "test", "--yes").want(command.ExitDone)

	yes("open", "7", "--at", "2020-01-01T00:00:00Z").want(command.ExitUsage, "at the earliest")
	yes("open", "7", "--for", "0s").want(command.ExitUsage, "--for 0s: want a millisecond or more")
	yes("open", "7", "--at", "never").want(command.ExitUsage, "--at")
	yes("open", "7", "--to", "now").want(command.ExitUsage, "--to")
	yes("open", "7", "--at", "tomorrow").want(command.ExitUsage, "now or never")
	yes("empty", "7").want(command.ExitRefused, "sluice sale close")
	yes("open", "7", "--at", "2050-01-01T00:00:00Z", "--for", "1h").want(command.ExitDone, "scheduled", "closes 2050-01-01T01:00:00.000Z")
	yes("close", "7", "--at", "never").want(command.ExitDone, "scheduled (opens 2050-01-01T00:00:00.000Z, never closes)")
	yes("close", "7", "--at", "2050-01-01T02:00:00Z").want(command.ExitDone, "closes 2050-01-01T02:00:00.000Z")
	if s := d.show(1001, "--sale", "7"); s.Redis.Avail != 20 || s.Redis.Limit != 1 {
		d.t.Errorf("in the sale: %+v", s.Redis)
	}
	d.run("stock", "freeze", "1001", "--sale", "7", "--reason", "test", "--yes").want(command.ExitDone, "flags: none -> frozen")
	if inSale, normal := d.show(1001, "--sale", "7"), d.show(1001); !inSale.Redis.Frozen || normal.Redis.Frozen {
		d.t.Errorf("frozen in the sale: %+v, and normal stock %+v", inSale.Redis, normal.Redis)
	}
	d.run("stock", "unfreeze", "1001", "--sale", "7", "--reason", "test", "--yes").want(command.ExitDone, "flags: frozen -> none")

	// Closed before it opened, it keeps its plan and its stock.
	yes("close", "7").want(command.ExitDone, "closed before it opened", "its opening was to be 2050", "30 units are still in the sale", "sluice sale empty 7")
	yes("close", "7", "--at", "2050-01-01T02:00:00Z").want(command.ExitUsage, "closed already")
	if s := d.show(1001); s.Redis.Avail != 40 {
		d.t.Errorf("after closing: %+v", s.Redis)
	}
	d.run("sale", "fill", "7", "--dry-run").want(command.ExitDone, "sale 7 would not change (dry run): it is so already")
	d.run("sale", "empty", "7", "--dry-run").want(command.ExitDone, "stock: 30 units of 2 SKUs go back to normal stock").lacks("come from")
	if s := seen(yes("empty", "7", "-o", "json")); s.Phase != "closed" || s.Filled || !s.Changed || len(s.Items) != 2 || s.Items[0].Moved != 0 || !s.Items[0].Settled {
		d.t.Errorf("emptied: %+v", s)
	}
	if s := d.show(1001); s.Redis.Avail != 60 {
		d.t.Errorf("after emptying: %+v", s.Redis)
	}
	for _, args := range [][]string{{"empty", "7"}, {"close", "7"}, {"empty", "7", "--dry-run"}} {
		if s := seen(yes(append(args, "-o", "json")...)); s.Changed {
			d.t.Errorf("%v: what is so already is said to have changed: %+v", args, s)
		}
	}
	yes("open", "7").want(command.ExitRefused, "sluice sale fill")
	d.run("sale", "empty", "7", "--dry-run").want(command.ExitDone, "sale 7 would not change (dry run): it is so already")
	d.run("sale", "fill", "7", "--dry-run").want(command.ExitDone, "stock: 30 units of 2 SKUs come from normal stock").lacks("go back")
	yes("fill", "7").want(command.ExitDone, "closed")
	// A scheduled sale is opened now.
	yes("open", "7", "--at", "2050-01-01T00:00:00Z", "--for", "1h").want(command.ExitDone, "scheduled")
	if s := seen(yes("open", "7", "--at", "now", "-o", "json")); s.Result != "ok" || s.OpensAt.After(time.Now().Add(time.Hour)) || s.ClosesAt.IsZero() {
		d.t.Errorf("brought forward: %+v", s)
	}
	yes("open", "7", "--to", "never").want(command.ExitDone, "never closes")
	yes("close", "7").want(command.ExitDone, "closed")
	yes("empty", "7").want(command.ExitDone).lacks("still in the sale")
	yes("empty", "7").want(command.ExitDone, "sale 7: nothing changed: it is so already")
	if s := d.show(1001); s.Redis.Avail != 60 {
		d.t.Errorf("after all came back: %+v", s.Redis)
	}
	file := filepath.Join(d.t.TempDir(), "items.csv")
	if err := os.WriteFile(file, []byte("sku_id,quantity\n1001,1\n1003,\n"), 0o600); err != nil {
		d.t.Fatal(err)
	}
	yes("create", "8", "--name", "file", "--items-file", file).want(command.ExitUsage, "line 3")
}

func (d *deployment) keepsReservations() {
	d.t.Helper()
	store := d.store()
	cell := stock.Cell{SKU: 1001}
	id := stock.Identity{User: 42, Route: stock.OpReserve, Cell: cell, Key: "k"}.ID(8)
	made := stock.DoAll(d.t.Context(), store, stock.OpReserve, []stock.Request{{ID: id, Cell: cell, User: 42, Quantity: 2}})[0]
	if made.Err != nil || made.Verdict != stock.VerdictOK {
		d.t.Fatalf("reserve: %v, %v", made.Verdict, made.Err)
	}
	d.run("reservation", "show", id.String()).want(command.ExitDone, "held", "42")
	d.persist(1001)
	type shown struct {
		Redis, MySQL struct {
			State    string
			User     string `json:"user_id"`
			Quantity int64
		}
		Ledger []struct {
			Kind string
			Held int64
		}
	}
	s := into[shown](d.run("reservation", "show", id.String(), "-o", "json").want(command.ExitDone))
	if s.Redis.State != "held" || s.MySQL != s.Redis || s.Redis.User != "42" || s.Redis.Quantity != 2 ||
		len(s.Ledger) != 1 || s.Ledger[0].Kind != "reserve" || s.Ledger[0].Held != 2 {
		d.t.Errorf("reservation: %+v", s)
	}

	// Past its deadline it is expired, also before anything has swept it.
	d.run("stock", "adjust", "1001", "--hold", "1ms", "--reason", "test", "--yes").want(command.ExitDone, "hold: 20m0s -> 1ms")
	id = stock.Identity{User: 42, Route: stock.OpReserve, Cell: cell, Key: "short"}.ID(8)
	made = stock.DoAll(d.t.Context(), store, stock.OpReserve, []stock.Request{{ID: id, Cell: cell, User: 42, Quantity: 1}})[0]
	if made.Err != nil || made.Verdict != stock.VerdictOK {
		d.t.Fatalf("reserve: %v, %v", made.Verdict, made.Err)
	}
	for past := false; !past; {
		_, nowMS, err := store.Cells(d.t.Context(), []stock.Cell{cell})
		if err != nil {
			d.t.Fatal(err)
		}
		past = nowMS > made.Reservation.DeadlineMS
	}
	if s := into[shown](d.run("reservation", "show", id.String(), "-o", "json").want(command.ExitDone)); s.Redis.State != "expired" {
		d.t.Errorf("past the deadline: %+v", s.Redis)
	}
	for quantity, want := range map[int64]string{1: "basket that is held", 900_000: "basket that is refused: limit_reached"} {
		b, err := stock.NewBasket(43, want, []stock.Line{{Cell: cell, Quantity: quantity}}, 8)
		if err != nil {
			d.t.Fatal(err)
		}
		if _, err := basket.Decide(&b, basket.Direct(d.t.Context(), store, func(stock.Entry) {}), nil); err != nil {
			d.t.Fatal(err)
		}
		d.run("reservation", "show", b.ID().String()).want(command.ExitDone, want)
	}
	d.run("reservation", "show", strings.Repeat("0", 32)).want(command.ExitNotFound, "no reservation")
	d.run("reservation", "show", "x").want(command.ExitUsage, "32")
	d.run("reservation", "show", "ffff"+strings.Repeat("0", 28)).want(command.ExitUsage, "partition 65535")
}
