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
	"sync"
	"testing"
	"time"

	"sluice/cli/command"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/evidence"
	"sluice/core/kafka"
	"sluice/core/local/servicetest"
	"sluice/core/redis"
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
	return newDeploymentOn(t, servicetest.Redis(t).Addr)
}

// newDeploymentOn is one on a Redis server, or on the nodes of a cluster.
func newDeploymentOn(t *testing.T, addrs ...string) *deployment {
	t.Helper()
	dsn := servicetest.MariaDB(t)
	file := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(file, []byte(dsn+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &deployment{
		t:     t,
		redis: redis.Config{Addrs: addrs, CallTimeout: 10 * time.Second},
		mysql: db.Config{DSN: config.Secret(dsn), ConnsMax: 4, Timeout: time.Minute},
		kafka: kafka.Config{Brokers: servicetest.Broker(t), Topic: "events", Group: "g", Partitions: 4, Replication: 1},
	}
	d.flags = map[string]string{
		"--redis-addr": strings.Join(addrs, ","), "--redis-call-timeout": "10s",
		"--mysql-dsn-file": file, "--mysql-timeout": "1m",
		"--kafka-brokers": d.kafka.Brokers[0], "--kafka-topic": "events", "--kafka-group": "g", "--kafka-partitions": "4",
		"--partitions": "8", "--deployment": "test",
	}
	return d
}

// result is the result of a command.
type result struct {
	t        *testing.T
	args     []string
	code     int
	out, err string
}

// stockFile has SKUs 1 to skus, all with the same values.
func stockFile(columns string, skus int, values string) string {
	var file strings.Builder
	fmt.Fprintln(&file, columns)
	for sku := range skus {
		fmt.Fprintf(&file, "%d,%s\n", sku+1, values)
	}
	return file.String()
}

// atOnce runs commands at the same time.
func atOnce(n int, run func(i int) result) []result {
	results := make([]result, n)
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() { results[i] = run(i) })
	}
	all.Wait()
	return results
}

// run runs a command with the flags that it knows of the deployment's.
func (d *deployment) run(args ...string) result { return d.runWith("", args...) }

func (d *deployment) runWith(stdin string, args ...string) result {
	d.t.Helper()
	return d.runBy(stdin, false, args...)
}

// answer runs a command for somebody who types an answer at a terminal.
func (d *deployment) answer(typed string, args ...string) result {
	d.t.Helper()
	return d.runBy(typed+"\n", true, args...)
}

func (d *deployment) runBy(stdin string, atTerminal bool, args ...string) result {
	d.t.Helper()
	args, path := d.withFlags(args)
	var o output
	console := o.console()
	console.In, console.InIsTerminal, console.ErrIsTerminal = strings.NewReader(stdin), atTerminal, atTerminal
	r := result{t: d.t, args: path, code: Run(args, console)}
	r.out, r.err = o.out.String(), o.err.String()
	return r
}

// withFlags adds the flags that a command knows of the deployment's, and returns the words of the command itself.
func (d *deployment) withFlags(args []string) (all, path []string) {
	path = args[:1]
	for _, leaf := range model().Leaves(false) {
		words := strings.Fields(leaf.Path())
		if leaf.Parent.DefaultCmd == leaf && (len(args) == len(words)-1 || args[len(words)-1][0] == '-') { // its parent does the same
			words = words[:len(words)-1]
		}
		if strings.HasPrefix(strings.Join(args, " ")+" ", strings.Join(words, " ")+" ") {
			path = words
			for _, f := range leaf.Flags {
				if value, ok := d.flags["--"+f.Name]; ok {
					args = append(args, "--"+f.Name+"="+value)
				}
			}
		}
	}
	return args, path
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
		Avail, Held, Sold, Total, Limit, Epoch int64
		Frozen                                 bool
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
	d.await(func() bool { return d.show(sku, more...).Status == "in_sync" })
}

func (d *deployment) persisterConfig() persister.Config {
	return persister.Config{
		Redis: d.redis, MySQL: d.mysql, Kafka: d.kafka,
		Stock: config.Agreed{Partitions: 8, Deployment: "test", Retention: 24 * time.Hour},
		Ops:   config.Ops{Listen: "127.0.0.1:0"}, Workers: 2, BatchEvents: 4000, FetchBytes: 1 << 18, ReconcileWithin: time.Minute,
	}
}

// persister runs a persister until stop is called.
func (d *deployment) persister() (stop func()) {
	d.t.Helper()
	return d.persisterWith(func(*persister.Config) {})
}

// persisterWith is persister with a changed config.
func (d *deployment) persisterWith(change func(*persister.Config)) (stop func()) {
	d.t.Helper()
	cfg := d.persisterConfig()
	change(&cfg)
	node, err := persister.Start(d.t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		d.t.Fatal(err)
	}
	return func() {
		if err := node.Shutdown(d.t.Context()); err != nil {
			d.t.Error(err)
		}
	}
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
