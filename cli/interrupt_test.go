package cli

import (
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"sluice/cli/command"
	"sluice/core/db"
)

// TestInterruptedCommandsSaySo ends each command that works with MySQL by a signal, while it waits there.
func TestInterruptedCommandsSaySo(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	stock := filepath.Join(t.TempDir(), "stock.csv")
	users := filepath.Join(t.TempDir(), "users.csv")
	for path, text := range map[string]string{stock: "sku_id,quantity\n5,10\n6,10\n", users: "user_id\n1\n2\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.run("stock", "load", stock, "--yes").want(command.ExitDone)
	d.run("sale", "create", "7", "--name", "x", "--item", "5:1", "--registered-only", "--yes").want(command.ExitDone)
	d.run("sale", "create", "8", "--name", "x", "--item", "5:1", "--yes").want(command.ExitDone)
	d.run("sale", "close", "8", "--yes").want(command.ExitDone)
	d.run("catalog", "migrate").want(command.ExitDone)
	keys := filepath.Join(t.TempDir(), "vault.json")
	d.run("catalog", "vault", "keygen", "--out", keys).want(command.ExitDone)
	secret := filepath.Join(t.TempDir(), "account.secret")
	d.run("catalog", "keys", "create", "--signing-keys-file", secret+".keys", "--account-secret-file", secret).want(command.ExitDone)
	w := newWaits(t, d)

	const id = "000000000000000000000000000000aa"
	const letter = id + id
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := map[string]string{
		"stock load": stock + " --yes", "stock list": "", "stock show": "5", "stock shut": "", "stock adjust": "5 --delta 1 --reason x --yes",
		"stock freeze": "5 --reason x --yes", "stock unfreeze": "5 --reason x --yes",
		"reservation list": "", "reservation show": id,
		"sale create": "9 --name x --item 5:1 --yes", "sale list": "", "sale show": "7", "sale open": "7 --yes", "sale close": "7 --yes",
		"sale register": "7 --user 1 --yes", "sale empty": "8 --yes", "sale fill": "7 --yes",
		"deadletter list": "", "deadletter show": letter, "deadletter resolve": letter + " --reason x --yes", "deadletter replay": letter + " --reason x --yes",
		"archive run": "--older-than 1200h --dir " + t.TempDir() + " --yes", "reconcile report": "", "reconcile history": "",
		"bench run": "--addr=http://127.0.0.1:1 --sku=5 --users=1 --tokens=" + tokens, "restore": "--yes", "doctor": "", "migrate": "", "catalog migrate": "",
		"catalog vault rewrap": "--vault-key-file " + keys, "catalog vault status": "--vault-key-file " + keys, "catalog vault drop": "7 --yes --vault-key-file " + keys,
		"catalog tasks list": "", "catalog tasks repeat": "account/shop/1 --reason x --yes", "catalog tasks drop": "account/shop/1 --reason x --yes",
		"seed": "--yes --account-secret-file " + secret, "audit verify": "", "audit search": "", "audit export": "",
	}
	signals := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}
	interrupt := func(tables []string, words, values string, s syscall.Signal) {
		t.Helper()
		args, _ := d.withFlags(append(strings.Fields(words), strings.Fields(values)...))
		w.lock(tables)
		defer w.unlock()
		p := startProgram(t, "", args...)
		ended := make(chan int, 1)
		go func() { ended <- p.end() }()
		if code := w.await(ended); code >= 0 {
			t.Errorf("%s %s: exit code %d before it waited for MySQL\n%s", words, values, code, p.said.String())
			return
		}
		p.signal(s)
		if code := <-ended; code != command.ExitInterrupted {
			t.Errorf("%s %s: exit code %d after %v, want %d\n%s", words, values, code, s, command.ExitInterrupted, p.said.String())
		}
	}
	tables := w.tables()
	for i, leaf := range model().Leaves(true) {
		name := leaf.Path()
		usesMySQL := slices.ContainsFunc(leaf.Flags, func(f *kong.Flag) bool { return f.Name == "mysql-dsn-file" })
		values, ok := commands[name]
		if !ok && usesMySQL && !slices.Contains([]string{"edge", "persister", "catalog run", "archive show", "archive verify"}, name) && !strings.HasPrefix(name, "bench") {
			t.Errorf("%s: nothing interrupts it", name)
		}
		if !ok {
			continue
		}
		interrupt(tables, name, values, signals[i%len(signals)])
	}

	// Some way into their work.
	for what, in := range map[string]string{
		"sale register 7 --yes --file " + users:                     "registrations",
		"sale create 9 --yes --name x --item 5:1":                   "sale_items",
		"archive run --yes --older-than 1200h --dir " + t.TempDir(): "archive_runs",
		"reconcile":          "product_inventories",
		"reconcile --watch":  "product_inventories",
		"reconcile --repair": "product_inventories",
	} {
		interrupt([]string{in}, what, "", syscall.SIGINT)
	}

	nowhere := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(nowhere, []byte("sluice@tcp(127.0.0.1:1)/sluice"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProgram(t, "", "migrate", "--wait=1m", "--mysql-dsn-file", nowhere, "--kafka-brokers", d.flags["--kafka-brokers"])
	p.until("waiting up to")
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != command.ExitInterrupted {
		t.Errorf("migrate without MySQL: exit code %d\n%s", code, p.said.String())
	}
}

// waits makes programs wait for tables of MySQL.
type waits struct {
	t    *testing.T
	db   *sql.DB
	conn *sql.Conn
	seen map[int64]bool // connections that have waited
}

func newWaits(t *testing.T, d *deployment) *waits {
	t.Helper()
	db, err := d.mysql.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &waits{t, db, conn, map[int64]bool{}}
}

func (w *waits) tables() (names []string) {
	w.t.Helper()
	err := db.Rows(w.t.Context(), w.db, func(rows *sql.Rows) error {
		names = append(names, "")
		return rows.Scan(&names[len(names)-1])
	}, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
	if err != nil {
		w.t.Fatal(err)
	}
	return names
}

func (w *waits) lock(tables []string) {
	w.t.Helper()
	if _, err := w.conn.ExecContext(w.t.Context(), "LOCK TABLES `"+strings.Join(tables, "` WRITE, `")+"` WRITE"); err != nil {
		w.t.Fatal(err)
	}
}

func (w *waits) unlock() {
	w.t.Helper()
	if _, err := w.conn.ExecContext(w.t.Context(), "UNLOCK TABLES"); err != nil {
		w.t.Fatal(err)
	}
}

// await returns -1 once a connection waits that has not waited before, or the exit code of a program that ends instead.
func (w *waits) await(ended <-chan int) int {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for waits := false; !waits; {
		select {
		case code := <-ended:
			return code
		case <-tick.C:
		}
		err := db.Rows(w.t.Context(), w.db, func(rows *sql.Rows) error {
			var id int64
			err := rows.Scan(&id)
			waits = waits || !w.seen[id]
			w.seen[id] = true
			return err
		}, "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND state LIKE 'Waiting for table%'")
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return -1
}
