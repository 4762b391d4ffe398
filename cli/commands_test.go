package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/cli/command"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/evidence"
	"sluice/core/kafka"
	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/persister"
)

func TestMain(m *testing.M) {
	programIfAsked()
	os.Exit(servicetest.Main(m).Run())
}

// deployment is the servers of one, and what a command needs to find them.
type deployment struct {
	t     *testing.T
	redis redis.Config
	mysql db.Config
	kafka kafka.Config
	flags map[string]string
}

func newDeployment(t *testing.T) *deployment {
	t.Helper()
	dsn := servicetest.MariaDB(t)
	file := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(file, []byte(dsn+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &deployment{
		t:     t,
		redis: redis.Config{Addrs: []string{servicetest.Redis(t).Addr}, CallTimeout: 10 * time.Second},
		mysql: db.Config{DSN: config.Secret(dsn), ConnsMax: 4, Timeout: time.Minute},
		kafka: kafka.Config{Brokers: servicetest.Broker(t), Topic: "events", Group: "g", Partitions: 4, Replication: 1},
	}
	d.flags = map[string]string{
		"--redis-addr": d.redis.Addrs[0], "--redis-call-timeout": "10s",
		"--mysql-dsn-file": file, "--mysql-timeout": "1m",
		"--kafka-brokers": d.kafka.Brokers[0], "--kafka-topic": "events", "--kafka-group": "g", "--kafka-partitions": "4",
		"--partitions": "8", "--deployment": "test",
	}
	return d
}

// result is what a command did.
type result struct {
	t        *testing.T
	args     []string
	code     int
	out, err string
}

// run runs a command with the flags that it knows of the deployment's.
func (d *deployment) run(args ...string) result { return d.runWith("", args...) }

func (d *deployment) runWith(stdin string, args ...string) result {
	d.t.Helper()
	path := args[:1]
	for _, leaf := range model(d.t).Leaves(false) {
		words := strings.Fields(leaf.Path())
		if strings.HasPrefix(strings.Join(args, " ")+" ", strings.Join(words, " ")+" ") {
			path = words
			for _, f := range leaf.Flags {
				if value, ok := d.flags["--"+f.Name]; ok {
					args = append(args, "--"+f.Name+"="+value)
				}
			}
		}
	}
	var o output
	console := o.console()
	console.In = strings.NewReader(stdin)
	r := result{t: d.t, args: path, code: Run(args, console)}
	r.out, r.err = o.out.String(), o.err.String()
	return r
}

// want checks the exit code and what was said, on whichever stream.
func (r result) want(code int, said ...string) result {
	r.t.Helper()
	if r.code != code {
		r.t.Errorf("%v: exit code %d, want %d\n%s%s", r.args, r.code, code, r.out, r.err)
	}
	for _, text := range said {
		if !strings.Contains(r.out+r.err, text) {
			r.t.Errorf("%v: %q is missing in\n%s%s", r.args, text, r.out, r.err)
		}
	}
	return r
}

// lacks checks what was not said.
func (r result) lacks(text string) {
	r.t.Helper()
	if strings.Contains(r.out+r.err, text) {
		r.t.Errorf("%v: %q is there in\n%s%s", r.args, text, r.out, r.err)
	}
}

// into reads the JSON that a command has written.
func into[T any](r result) T {
	r.t.Helper()
	var value T
	decoder := json.NewDecoder(bytes.NewReader([]byte(r.out)))
	if err := decoder.Decode(&value); err != nil {
		r.t.Fatalf("%v: %v in\n%s%s", r.args, err, r.out, r.err)
	}
	return value
}

type shownStock struct {
	Status string
	Redis  *struct {
		Avail, Held, Sold, Total, Limit int64
		Frozen                          bool
	}
	MySQL *struct{ Avail, Total int64 }
}

func (d *deployment) show(sku int64, more ...string) shownStock {
	d.t.Helper()
	args := append([]string{"stock", "show", strconv.FormatInt(sku, 10), "-o", "json"}, more...)
	return into[[]shownStock](d.run(args...).want(command.ExitDone))[0]
}

// persist runs a persister until the SKU is the same in both stores.
func (d *deployment) persist(sku int64, more ...string) {
	d.t.Helper()
	defer d.persister()()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for d.show(sku, more...).Status != "in_sync" {
		select {
		case <-tick.C:
		case <-deadline:
			d.t.Fatalf("SKU %d does not reach MySQL: %+v", sku, d.show(sku, more...))
		}
	}
}

func (d *deployment) persisterConfig() persister.Config {
	return persister.Config{
		Redis: d.redis, MySQL: d.mysql, Kafka: d.kafka,
		Stock: config.Agreed{Partitions: 8, Deployment: "test", Retention: 24 * time.Hour},
		Ops:   config.Ops{Listen: "127.0.0.1:0"}, Workers: 2, BatchEvents: 4000, FetchBytes: 1 << 18,
	}
}

// persister runs a persister until stop is called.
func (d *deployment) persister() (stop func()) {
	d.t.Helper()
	node, err := persister.Start(d.t.Context(), d.persisterConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		d.t.Fatal(err)
	}
	return func() {
		if err := node.Shutdown(d.t.Context()); err != nil {
			d.t.Error(err)
		}
	}
}

func TestCommandsOnRealServers(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("stock", "show", "1").want(command.ExitFailed, "run sluice migrate") // there are no tables yet
	d.run("doctor").want(command.ExitFailed, "run sluice migrate", "no such topic")
	d.run("migrate").want(command.ExitDone, "schema version", "topic events with 4 partitions")
	d.run("migrate").want(command.ExitDone)
	d.run("doctor").want(command.ExitDone, "Redis is shut", "a new deployment", "one copy only", "no file given")

	// A dry run does not open it.
	for _, args := range [][]string{{"load"}, {"adjust", "1", "--delta", "1", "--reason", "test"}, {"freeze", "1", "--reason", "test"}, {"unfreeze", "1", "--reason", "test"}} {
		d.runWith("sku_id,quantity\n1,1\n", append(append([]string{"stock"}, args...), "--dry-run")...).want(command.ExitFailed, "is shut").lacks("stays. To go on")
	}
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
	r := d.runWith(file, "stock", "load", "--yes", "-o", "json").want(command.ExitFailed, "Redis is open", "line 3", "line 5: SKU 1003 was loaded with other values")
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
	yes("create", "7", "--name", "summer", "--item", "1001:1000").want(command.ExitRefused, "SKU 1001: not enough stock: 60 units")
	yes("create", "7", "--name", "summer", "--item", "77:1").want(command.ExitNotFound, "SKU 77: no such SKU")
	d.run(append(create, "--dry-run")...).want(command.ExitDone, "dry run", "30 units of 2 SKUs come from normal stock", "planned")
	d.run("sale", "show", "7").want(command.ExitNotFound, "no such sale")
	d.run(append(create, "--yes")...).want(command.ExitDone, "summer: planned", "1001", "1003")
	d.run("sale", "show", "7", "-o", "json").want(command.ExitDone, `"phase": "planned"`).lacks("opens_at")
	d.run("stock", "show", "1001", "--sale", "7", "-o", "json").want(command.ExitDone, `"planned": true`).lacks("opens_at")
	if s := seen(d.run(append(create, "--yes", "-o", "json")...)); s.Result != "replayed" {
		d.t.Errorf("created again: %+v", s)
	}
	yes("create", "7", "--name", "winter", "--item", "1001:20").want(command.ExitRefused, "another plan")

	// Whatever changes a sale asks first, and where nobody can answer it wants --yes.
	for _, args := range [][]string{create, {"sale", "open", "7"}, {"sale", "close", "7"}, {"sale", "fill", "7"}, {"sale", "empty", "7"}} {
		d.run(args...).want(command.ExitUsage, "--yes", "--dry-run")
	}
	d.run("sale", "open", "7", "--dry-run").want(command.ExitDone, "window: not scheduled, never closes -> opens")
	if s := seen(d.run("sale", "close", "7", "--dry-run", "-o", "json")); s.Result != "dry_run" || s.Phase != "closed" {
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
	d.run("sale", "fill", "7", "--dry-run").want(command.ExitDone, "nothing: it is so already")
	d.run("sale", "empty", "7", "--dry-run").want(command.ExitDone, "stock: 30 units of 2 SKUs go back to normal stock").lacks("come from")
	if s := seen(yes("empty", "7", "-o", "json")); s.Phase != "closed" || s.Filled || len(s.Items) != 2 || s.Items[0].Moved != 0 || !s.Items[0].Settled {
		d.t.Errorf("emptied: %+v", s)
	}
	if s := d.show(1001); s.Redis.Avail != 60 {
		d.t.Errorf("after emptying: %+v", s.Redis)
	}
	yes("open", "7").want(command.ExitRefused, "sluice sale fill")
	d.run("sale", "empty", "7", "--dry-run").want(command.ExitDone, "nothing: it is so already")
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
	if s := d.show(1001); s.Redis.Avail != 60 {
		d.t.Errorf("after all came back: %+v", s.Redis)
	}
	file := filepath.Join(d.t.TempDir(), "items.csv")
	if err := os.WriteFile(file, []byte("sku_id,quantity\n1001,1\n1003,\n"), 0o600); err != nil {
		d.t.Fatal(err)
	}
	yes("create", "8", "--name", "file", "--items-file", file).want(command.ExitUsage, "line 3")
}

// store is the deployment's stock, as an edge has it that trusts what others have vetted.
func (d *deployment) store() *redisstock.Store {
	d.t.Helper()
	client, err := d.redis.Client()
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(client.Close)
	store, err := redisstock.New(client, redisstock.Config{Partitions: 8, CallTimeout: d.redis.CallTimeout})
	if err != nil {
		d.t.Fatal(err)
	}
	db, err := d.mysql.Open(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	defer db.Close()
	if err := store.Adopt(d.t.Context(), evidence.NewNonces(db)); err != nil {
		d.t.Fatal(err)
	}
	return store
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
	d.run("reservation", "show", strings.Repeat("0", 32)).want(command.ExitNotFound, "no reservation")
	d.run("reservation", "show", "x").want(command.ExitUsage, "32")
	d.run("reservation", "show", "ffff"+strings.Repeat("0", 28)).want(command.ExitUsage, "partition 65535")
}

// What is wrong with Redis is told also where Redis cannot be vetted, because another server is down.
func TestDoctorJudgesRedisByItself(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.flags["--kafka-brokers"] = "127.0.0.1:1"
	client, err := d.redis.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	settings := client.B().ConfigSet().ParameterValue().
		ParameterValue("appendonly", "no").ParameterValue("maxmemory-policy", "allkeys-lru").Build()
	follow := client.B().Replicaof().Host("127.0.0.1").Port(1).Build()
	for _, answer := range client.DoMulti(t.Context(), settings, follow) {
		if err := answer.Error(); err != nil {
			t.Fatal(err)
		}
	}
	r := d.run("doctor").want(command.ExitFailed, "appendonly no", "maxmemory-policy allkeys-lru", "it is a replica", "Redis vetting: not done")
	if strings.Contains(r.out, "appendfsync") {
		t.Errorf("appendfsync of a file that is not written is judged:\n%s", r.out)
	}
}

// TestDoctorKnowsSentinels has three of them, of which one is then killed, and a replica that would forget.
func TestDoctorKnowsSentinels(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	primary := servicetest.Redis(t)
	replica := servicetest.RedisWith(t, local.RedisOptions{ReplicaOf: primary.Addr, Extra: []string{"appendonly no"}})
	sentinels := servicetest.Sentinels(t, primary, 1, time.Minute)
	delete(d.flags, "--redis-addr")
	d.flags["--redis-sentinel-addrs"], d.flags["--redis-sentinel-master"] = strings.Join(sentinels.Addrs, ","), sentinels.Master
	d.run("migrate").want(command.ExitDone)
	r := d.run("doctor").want(command.ExitFailed, "ok   Redis "+primary.Addr,
		"fail Redis replica "+replica.Addr+": appendonly no")
	for _, addr := range sentinels.Addrs {
		r.want(command.ExitFailed, "ok   Sentinel "+addr+": it names "+primary.Addr+": OK 3 usable Sentinels")
	}
	r.lacks("it is a replica")
	for _, node := range sentinels.Nodes[1:] {
		if err := node.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	d.run("doctor").want(command.ExitFailed, "fail Sentinel "+sentinels.Addrs[1]+": connect to "+sentinels.Addrs[1])
	d.flags["--redis-sentinel-master"] = "other"
	d.run("doctor").want(command.ExitFailed, `it watches no "other"`, "fail Redis: connect to redis other of sentinels")
}

// What works and may not for long is told too, and so is a database that loses commits in a crash.
func TestDoctorJudgesMySQL(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	mariadb := servicetest.PrivateMariaDB(t) // its settings are changed
	if err := mariadb.CreateDatabase(t.Context(), "sluice"); err != nil {
		t.Fatal(err)
	}
	d.mysql.DSN = config.Secret(mariadb.DSN("sluice"))
	if err := os.WriteFile(d.flags["--mysql-dsn-file"], []byte(d.mysql.DSN), 0o600); err != nil {
		t.Fatal(err)
	}
	d.run("migrate").want(command.ExitDone)
	d.run("doctor").want(command.ExitDone, "ok   dead letters: none", "ok   MySQL durability")
	db, err := d.mysql.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{
		"INSERT INTO dead_letters (letter_id, reason, detail, data) VALUES (REPEAT('x', 32), 'test', '', '')",
		"SET GLOBAL innodb_flush_log_at_trx_commit = 2, GLOBAL max_allowed_packet = 65536, GLOBAL read_only = 1",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	d.run("doctor").want(command.ExitFailed, "warn dead letters: 1 events", "fail MySQL durability: innodb_flush_log_at_trx_commit is 2",
		"fail MySQL packet: max_allowed_packet is 65536", "fail MySQL read only: read_only is on", "-> set it off")
}

// A token is all that is on stdout, whether the keys are named or found through the development stack.
func TestToken(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	key, err := auth.GenerateKey(auth.HS256)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "keys.json")
	if err := auth.WriteKeys(file, key); err != nil {
		t.Fatal(err)
	}
	stack := fmt.Sprintf(`{"redis_addr":"a:1,b:2","mysql_dsn":"root:hunter2@tcp(a:1)/x","kafka_brokers":"c:3,d:4","token_key_file":%q}`, file)
	if err := os.MkdirAll(".sluice", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(".sluice/dev.json", []byte(stack), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.ReadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	verifier := auth.NewVerifier(keys, auth.VerifierConfig{Issuer: "sluice", Audience: "sluice", CacheMax: 10})
	for _, c := range []struct {
		args  []string
		lives time.Duration
	}{
		{[]string{"token", "--user", "1001", "--role", "service"}, time.Hour},
		{[]string{"token", "--user", "1001", "--role", "service", "--ttl", "5h", "--token-key-file", file}, 5 * time.Hour},
	} {
		var o output
		if code := Run(c.args, o.console()); code != command.ExitDone {
			t.Fatalf("%v: exit code %d: %s", c.args, code, o.err.String())
		}
		token, rest, _ := strings.Cut(o.out.String(), "\n")
		now := time.Now()
		who, err := verifier.Verify([]byte(token), now.Add(c.lives-time.Minute))
		if err != nil || rest != "" || who != (auth.Identity{Subject: 1001, Role: auth.RoleService}) {
			t.Errorf("%v: %q is for %+v, %v", c.args, o.out.String(), who, err)
		}
		if _, err := verifier.Verify([]byte(token), now.Add(c.lives)); err == nil {
			t.Errorf("%v: good after %v", c.args, c.lives)
		}
		if o.err.Len() > 0 { // a token and nothing else
			t.Errorf("%v: stderr %q", c.args, o.err.String())
		}
	}
}

// A new key is in the form that the settings read, for its owner only, and never overwrites another.
func TestKeygenMakesWhatTokensNeed(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, alg := range []string{auth.HS256, auth.EdDSA} {
		file := filepath.Join(dir, alg+".json")
		keygen := []string{"token", "keygen", "--alg", alg, "--kid", "2026-01", "--out", file}
		var o output
		if code := Run(keygen, o.console()); code != command.ExitDone || !strings.Contains(o.out.String(), "2026-01") {
			t.Fatalf("%v: exit code %d: %s%s", keygen, code, o.out.String(), o.err.String())
		}
		made, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", file, info.Mode(), err)
		}
		if code := Run(keygen, o.console()); code != command.ExitUsage || !strings.Contains(o.err.String(), "exists") {
			t.Errorf("again: exit code %d: %s", code, o.err.String())
		}
		if still, err := os.ReadFile(file); err != nil || !bytes.Equal(still, made) {
			t.Errorf("the file was overwritten: %v", err)
		}
		var token output
		if code := Run([]string{"token", "--user", "7", "--role", "admin", "--token-key-file", file}, token.console()); code != command.ExitDone {
			t.Errorf("issue with the %s key: exit code %d: %s", alg, code, token.err.String())
		}
	}
	var printed output
	if code := Run([]string{"token", "keygen"}, printed.console()); code != command.ExitDone || printed.err.Len() > 0 {
		t.Fatalf("print: exit code %d: %s", code, printed.err.String())
	}
	if err := os.WriteFile("printed.json", printed.out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.ReadKeys("printed.json"); err != nil {
		t.Error(err)
	}
	var o output
	if code := Run([]string{"token", "keygen", "--kid", strings.Repeat("x", 65)}, o.console()); code != command.ExitUsage || o.out.Len() > 0 {
		t.Errorf("a kid that is too long: exit code %d: %s", code, o.err.String())
	}
}

// Addresses of the development stack are used all or none.
func TestDevelopmentStackIsNotMixedWithOthers(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("stack.json", []byte(`{"redis_addr":"127.0.0.1:1","mysql_dsn":"root@tcp(127.0.0.1:1)/x","kafka_brokers":"127.0.0.1:1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"stock", "show", "1"}, command.ExitUsage, "redis-addr: missing"},
		{[]string{"stock", "show", "1", "--dev-file", "stack.json"}, command.ExitFailed, "using the development stack of stack.json"},
		{[]string{"stock", "freeze", "1", "--yes", "--reason", "x", "--dev-file", "stack.json"}, command.ExitFailed, "using the development stack of stack.json"},
		{[]string{"doctor", "--dev-file", "stack.json"}, command.ExitFailed, "the deployment is not in order"},
		{[]string{"stock", "show", "1", "--dev-file", "stack.json", "--redis-addr", "127.0.0.1:1"}, command.ExitUsage, "mysql-dsn: missing"},
		{[]string{"stock", "freeze", "1", "--yes", "--reason", "x", "--dev-file", "stack.json", "--kafka-brokers", "127.0.0.1:1"}, command.ExitUsage, "redis-addr: missing"},
	} {
		var o output
		if code := Run(c.args, o.console()); code != c.code || !strings.Contains(o.err.String(), c.want) {
			t.Errorf("%v: exit code %d, want %d: %s", c.args, code, c.code, o.err.String())
		}
	}
	t.Setenv("SLUICE_MYSQL_DSN", "root@tcp(127.0.0.1:1)/x")
	var o output
	if code := Run([]string{"stock", "show", "1", "--dev-file", "stack.json"}, o.console()); code != command.ExitUsage || !strings.Contains(o.err.String(), "redis-addr: missing") {
		t.Errorf("with a DSN in the environment: exit code %d: %s", code, o.err.String())
	}
}
