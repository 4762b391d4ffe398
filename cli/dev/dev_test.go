package dev_test

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"sluice/cli/command"
	"sluice/cli/dev"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/dirlock"
	"sluice/core/local/servicetest"
	"sluice/edge"
)

func TestPrintedLinesWorkAndDataStays(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil && os.Getenv("REQUIRE_SERVICES") != "1" {
		t.Skip("curl not found")
	}
	dir := t.TempDir()
	r := start(t, newCommand(dir))
	if len(r.curls) != 3 {
		t.Fatalf("printed %d curl lines: %v", len(r.curls), <-r.ended)
	}
	places := readDevFile(t, dir)
	for _, name := range []string{"edge_url", "ops_url", "redis_addr", "mysql_dsn", "kafka_brokers", "token_key_file"} {
		if places[name] == "" {
			t.Errorf("dev.json has no %s", name)
		}
	}
	if info, err := os.Stat(places["token_key_file"]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("token keys: %v, %v; want mode 0600", info, err)
	}
	for i, want := range []string{"held", "confirmed"} {
		var answer struct{ State string }
		if shell(t, r.curls[i], &answer); answer.State != want {
			t.Errorf("line %d answers %q, want %q", i+1, answer.State, want)
		}
	}
	first := shown(t, r.curls[2])
	if first.Redis != first.MySQL || first.Redis.Sold != 1 || first.Redis.Avail != 99_999 || first.Redis.Total != 100_000 {
		t.Errorf("stock is %+v, want one of 100,000 sold", first)
	}

	var shut struct {
		Fenced, Breached *int
		Data             []any
		AsOf             time.Time `json:"as_of"`
	}
	shell(t, "curl -sS "+places["dev_url"]+"/shut", &shut)
	if shut.Fenced == nil || *shut.Fenced != 0 || shut.Breached == nil || *shut.Breached != 0 || shut.Data == nil || len(shut.Data) != 0 || time.Since(shut.AsOf).Abs() > time.Minute {
		t.Errorf("what is shut: %+v, want nothing", shut)
	}

	if err := newCommand(dir).Run(t.Context(), &command.Console{Out: io.Discard, Err: io.Discard}, slog.New(slog.DiscardHandler)); err == nil ||
		!strings.Contains(err.Error(), "another sluice dev runs") {
		t.Errorf("a second run in the directory: %v, want it refused", err)
	}
	if _, err := dirlock.Acquire(filepath.Join(dir, "edge")); !errors.Is(err, dirlock.ErrTaken) {
		t.Errorf("the directory of its edge: %v, want it taken", err)
	}
	r.stop(t)
	nothingLeft(t, dir, places)

	again := start(t, newCommand(dir))
	if len(again.curls) != 3 {
		t.Fatalf("the next run ends: %v", <-again.ended)
	}
	if second := shown(t, again.curls[2]); second != first {
		t.Errorf("the next run finds %+v, want %+v", second, first)
	}
	again.stop(t)
}

// TestEdgeAndDevMeet compares the defaults: a plain edge beside a stack has the directory of the stack's own edge, so
// the lock stops the second one.
func TestEdgeAndDevMeet(t *testing.T) {
	t.Parallel()
	var stack dev.Command
	var plain edge.Config
	_ = kong.ApplyDefaults(&plain) // it misses its servers
	if err := kong.ApplyDefaults(&stack); err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(stack.Dir, "edge"); plain.DataDir != want {
		t.Errorf("an edge has its data in %q, the edge of a stack in %q", plain.DataDir, want)
	}
}

// nothingLeft checks that no server answers any more, and that dev.json is gone.
func nothingLeft(t *testing.T, dir string, places map[string]string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "dev.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("dev.json after the end: %v, want not exist", err)
	}
	nobodyListens(t, places)
}

func nobodyListens(t *testing.T, places map[string]string) {
	t.Helper()
	_, mysql, _ := strings.Cut(places["mysql_dsn"], "(")
	mysql, _, _ = strings.Cut(mysql, ")")
	for _, addr := range []string{
		places["redis_addr"], mysql, places["kafka_brokers"],
		strings.TrimPrefix(places["edge_url"], "http://"), strings.TrimPrefix(places["ops_url"], "http://"),
		strings.TrimPrefix(places["persister_ops_url"], "http://"), strings.TrimPrefix(places["dev_url"], "http://"),
		strings.TrimPrefix(places["catalog_url"], "http://"), strings.TrimPrefix(places["catalog_ops_url"], "http://"),
	} {
		if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr); err == nil {
			_ = conn.Close()
			t.Errorf("something still listens on %q", addr)
		}
	}
}

func TestSampleHasAnOpenSaleAndOnePerUser(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, newCommand(dir))
	if len(r.curls) != 3 {
		t.Fatalf("the run ends: %v", <-r.ended)
	}
	defer r.stop(t)
	limited := strings.Replace(r.curls[0], `"1001"`, `"1002"`, 1)
	var answer struct{ State, Code string }
	if shell(t, limited, &answer); answer.State != "held" {
		t.Errorf("first unit of 1002: %+v, want it held", answer)
	}
	if shell(t, strings.Replace(limited, "demo-", "demo-2-", 1), &answer); answer.Code != "limit_reached" {
		t.Errorf("second unit of 1002: %+v, want limit_reached", answer)
	}
	inSale := strings.Replace(r.curls[0], `"1001"`, `"1003","sale_id":"1"`, 1)
	giveUp := time.After(time.Minute)
	for answer.State, answer.Code = "", ""; answer.State != "held"; {
		if shell(t, inSale, &answer); answer.State != "held" && answer.Code != "not_open" { // it opens after its lead time
			t.Fatalf("a unit in the sale: %+v, want it held", answer)
		}
		select {
		case <-giveUp:
			t.Fatal("the sale does not open")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestTakenPortsAreReplacedAndSaid(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c := newCommand(t.TempDir())
	c.Listen = taken.Addr().String()
	r := start(t, c)
	if len(r.curls) != 3 {
		t.Fatalf("the run ends: %v", <-r.ended)
	}
	answer, err := http.Get(readDevFile(t, c.Dir)["edge_url"] + "/v1/stock/1001")
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("stock at the other port: %v, %v", answer, err)
	} else {
		_ = answer.Body.Close()
	}
	r.stop(t)
	if said := r.notes.String(); !strings.Contains(said, taken.Addr().String()+" is taken") {
		t.Errorf("said %q, nothing of the port", said)
	}
}

func TestExternalServersAreUsed(t *testing.T) {
	t.Parallel()
	c := newCommand(t.TempDir())
	c.RedisAddr = []string{servicetest.Redis(t).Addr}
	c.KafkaBrokers = servicetest.Broker(t)
	r := start(t, c)
	if len(r.curls) != 3 {
		t.Fatalf("the run ends: %v", <-r.ended)
	}
	places := readDevFile(t, c.Dir)
	if places["redis_addr"] != c.RedisAddr[0] || places["kafka_brokers"] != c.KafkaBrokers[0] {
		t.Errorf("uses %q and %q, want %q and %q", places["redis_addr"], places["kafka_brokers"], c.RedisAddr[0], c.KafkaBrokers[0])
	}
	r.stop(t)
	for _, own := range []string{"redis", "kafka"} {
		if _, err := os.Stat(filepath.Join(c.Dir, own)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("data of an own %s: %v, want none", own, err)
		}
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", c.RedisAddr[0])
	if err != nil {
		t.Fatalf("the external redis was stopped: %v", err)
	}
	_ = conn.Close()
}

func TestFailedStartStopsWhatItStarted(t *testing.T) {
	t.Parallel()
	nobody, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close()
	c := newCommand(t.TempDir())
	c.KafkaBrokers = []string{nobody.Addr().String()}
	r := start(t, c)
	if err := <-r.ended; err == nil || strings.Contains(err.Error(), "Removing") {
		t.Fatalf("without a Kafka, which no other data brings back: %v", err)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, "mariadb", "data")); err != nil {
		t.Errorf("mariadb was not started, so this test shows nothing: %v", err)
	}
	// Removed by mariadbd itself at an orderly end.
	if _, err := os.Stat(filepath.Join(c.Dir, "mariadb", "mariadb.pid")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("pid file of mariadb: %v, want not exist", err)
	}
	log, err := os.ReadFile(filepath.Join(c.Dir, "redis", "redis.log"))
	if err != nil || !strings.Contains(string(log), "ready to exit") {
		t.Errorf("log of redis (%v) tells of no end:\n%s", err, log)
	}
}

// Only a server of its own can be helped by other data.
// TestPrivateServerThatDoesNotStart spoils what a server has on disk. Its log is named if it has written one.
func TestPrivateServerThatDoesNotStart(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(redis string) error{
		"before it runs": func(redis string) error { return os.WriteFile(redis, nil, 0o600) },
		"when it runs": func(redis string) error {
			files := filepath.Join(redis, "appendonlydir")
			return errors.Join(os.MkdirAll(files, 0o700), os.WriteFile(filepath.Join(files, "appendonly.aof.manifest"), []byte("spoiled\n"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCommand(t.TempDir())
			redis := filepath.Join(c.Dir, "redis")
			if err := spoil(redis); err != nil {
				t.Fatal(err)
			}
			r := start(t, c)
			err := <-r.ended
			if err == nil || !strings.Contains(err.Error(), "redis") || !strings.Contains(err.Error(), "Removing "+c.Dir+" starts anew") {
				t.Fatalf("the run ends: %v", err)
			}
			log := filepath.Join(redis, "redis.log")
			_, missing := os.Stat(log)
			if named := strings.Contains(err.Error(), log); named != (missing == nil) {
				t.Errorf("the log is named: %v; it is there: %v\n%v", named, missing == nil, err)
			}
		})
	}
}

// TestLostRedisDataSayTheWayOut starts a stack again after Redis' data were removed beside those of MySQL: it says at
// once why it does not sell, and what to do.
func TestLostRedisDataSayTheWayOut(t *testing.T) {
	t.Parallel()
	c := newCommand(t.TempDir())
	r := start(t, c)
	if len(r.curls) != 3 {
		t.Fatalf("the run ends: %v", <-r.ended)
	}
	r.stop(t)
	if err := os.RemoveAll(filepath.Join(c.Dir, "redis")); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	again := start(t, newCommand(c.Dir))
	err := <-again.ended
	if err == nil {
		t.Fatal("it sells from data that lack what MySQL has")
	}
	for _, want := range []string{"its data are lost", "sluice dev --restore auto writes a lost Redis anew", "Removing " + c.Dir + " starts anew"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it ends with %v, want %q", err, want)
		}
	}
	if took := time.Since(begin); took > 50*time.Second {
		t.Errorf("it ended after %v, as if waiting helped", took)
	}
}

// TestLostRedisIsRestored starts a stack again after Redis' data were removed, and has it write them anew: what was held is held, and its
// key finds its answer.
func TestLostRedisIsRestored(t *testing.T) {
	t.Parallel()
	c := newCommand(t.TempDir())
	r := start(t, c)
	if len(r.curls) != 3 {
		t.Fatalf("the run ends: %v", <-r.ended)
	}
	type held struct {
		State string
		ID    string `json:"reservation_id"`
	}
	var before, after held
	shell(t, r.curls[0], &before)
	if before.ID == "" {
		t.Fatalf("%s: %+v", r.curls[0], before)
	}
	mysql, err := db.Config{DSN: config.Secret(readDevFile(t, c.Dir)["mysql_dsn"]), ConnsMax: 1, Timeout: time.Minute}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for events := 0; events < 2; { // otherwise the outbox alone has how the SKU was loaded
		if err := mysql.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM ledger WHERE sku_id = 1001 AND pool = 0").Scan(&events); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := mysql.Close(); err != nil {
		t.Fatal(err)
	}
	r.stop(t)
	if err := os.RemoveAll(filepath.Join(c.Dir, "redis")); err != nil {
		t.Fatal(err)
	}
	c = newCommand(c.Dir)
	c.Restore = edge.RestoreAuto
	r = start(t, c)
	if len(r.curls) != 3 {
		t.Fatalf("the run ends: %v", <-r.ended)
	}
	if said := r.notes.String(); !strings.Contains(said, "redis has lost its data: the edge writes them anew") {
		t.Errorf("said %q", said)
	}
	var shown []stock
	if shell(t, r.curls[2], &shown); len(shown) == 0 || shown[0].Redis.Held != 1 || shown[0].Redis != shown[0].MySQL {
		t.Errorf("%s: %+v", r.curls[2], shown)
	}
	shell(t, r.curls[0], &after)
	if after.State != "held" {
		t.Errorf("it does not sell: %+v", after)
	}
	r.stop(t)
}

// TestStackStartsWithoutAPartitionThatIsLost gives MySQL an event of one SKU that Redis lacks: the stack starts, says
// what is wrong, and sells the others.
func TestStackStartsWithoutAPartitionThatIsLost(t *testing.T) {
	t.Parallel()
	c := newCommand(t.TempDir())
	r := start(t, c)
	if len(r.curls) != 3 {
		t.Fatalf("the run ends: %v", <-r.ended)
	}
	mysql, err := db.Config{DSN: config.Secret(readDevFile(t, c.Dir)["mysql_dsn"]), ConnsMax: 1, Timeout: time.Minute}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = mysql.ExecContext(t.Context(), `INSERT INTO product_inventories
		(sku_id, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated) VALUES (1002, 5, 5, 0, 0, 1, 60, NOW(3))
		ON DUPLICATE KEY UPDATE seq = 60`)
	if err := errors.Join(err, mysql.Close()); err != nil {
		t.Fatal(err)
	}
	r.stop(t)
	r = start(t, newCommand(c.Dir))
	if len(r.curls) != 3 {
		t.Fatalf("the run ends: %v", <-r.ended)
	}
	var reserved struct{ State string }
	if shell(t, r.curls[0], &reserved); reserved.State != "held" {
		t.Errorf("reserving another SKU: %+v", reserved)
	}
	r.stop(t)
	const want = "warning: the edge is degraded: some partitions of redis are shut until they are vetted: redis stays shut in part: partition "
	if said := r.notes.String(); !strings.Contains(said, want) || !strings.Contains(said, "sku 1002") {
		t.Errorf("said %q, want what is wrong", said)
	}
}
