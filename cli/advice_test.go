package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"sluice/cli/command"
	"sluice/core/db"
	"sluice/core/local"
	"sluice/core/local/servicetest"
)

// Whatever server is missing or refuses, the error says which setting names it, and what to do.
func TestErrorsSayWhatToDoNext(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	dsn, err := os.ReadFile(d.flags["--mysql-dsn-file"])
	if err != nil {
		t.Fatal(err)
	}
	right := strings.TrimSpace(string(dsn))
	database := right[strings.LastIndexByte(right, '/')+1:]
	name, _, _ := strings.Cut(database, "?")
	with := func(flag, value string, do func()) {
		t.Helper()
		before := d.flags[flag]
		d.flags[flag] = value
		do()
		d.flags[flag] = before
	}
	file := func(dsn string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "dsn")
		if err := os.WriteFile(path, []byte(dsn), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	show := func(want ...string) {
		t.Helper()
		d.run("stock", "show", "1").want(command.ExitFailed, want...)
	}
	load := func(want ...string) {
		t.Helper()
		d.runWith("sku_id,quantity\n1,1\n", "stock", "load", "--yes").want(command.ExitFailed, want...)
	}
	show("run sluice migrate")
	with("--redis-addr", "127.0.0.1:1", func() { show("Start Redis", "--redis-addr (SLUICE_REDIS_ADDR)", "sluice dev") })
	with("--mysql-dsn-file", file("root@tcp(127.0.0.1:1)/x"), func() { show("Start MySQL", "SLUICE_MYSQL_DSN") })
	with("--mysql-dsn-file", file(strings.Replace(right, "/"+name, "/nowhere", 1)), func() { show("CREATE DATABASE", "GRANT") })
	denied := &mysql.MySQLError{Number: db.AnswerTableDenied, Message: "SELECT command denied"}
	if told := command.Explain(denied); !strings.Contains(told.Error(), "docs/security.md") {
		t.Errorf("an account that lacks a grant is told %q", told)
	}
	busy := &mysql.MySQLError{Number: db.AnswerTooManyConnections, Message: "Too many connections"}
	if told := command.Explain(busy); !strings.Contains(told.Error(), "max_connections") {
		t.Errorf("a server with as many connections as it may have: %q", told)
	}
	at := strings.LastIndexByte(right, '@')
	with("--mysql-dsn-file", file("nobody:wrong"+right[at:]), func() { show("refuses the user or the password", "SLUICE_MYSQL_DSN") })

	d.run("migrate").want(command.ExitDone)
	with("--kafka-topic", "nowhere", func() { load("no such topic", "run sluice migrate", "--kafka-topic") })
	with("--kafka-brokers", "127.0.0.1:1", func() { load("Start Kafka", "--kafka-brokers (SLUICE_KAFKA_BROKERS)") })
	with("--kafka-brokers", "127.0.0.1:1", func() {
		d.run("migrate", "--wait", "0s").want(command.ExitFailed, "Start Kafka")
	})

	protected := servicetest.Redis(t)
	d.redis.Addrs = []string{protected.Addr}
	client, err := d.redis.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	protect := client.B().ConfigSet().ParameterValue().ParameterValue("requirepass", "secret").Build()
	if err := client.Do(t.Context(), protect).Error(); err != nil {
		t.Fatal(err)
	}
	with("--redis-addr", protected.Addr, func() { show("Redis refuses", "SLUICE_REDIS_PASSWORD") })
	d.flags["--redis-password-file"] = file("wrong")
	with("--redis-addr", protected.Addr, func() { show("Redis refuses", "SLUICE_REDIS_PASSWORD") })
}

// A report has a line for each store that cannot be read, the remedy included.
func TestReportsSayWhatToDoInLine(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	if r := d.run("reconcile"); r.code != command.ExitUnverified || !strings.Contains(r.out, "run sluice migrate") || strings.Contains(r.out, `\u000a`) {
		t.Errorf("exit code %d:\n%s", r.code, r.out)
	}
}

// Managed services deny CONFIG for good: that is a warning, and the rest is examined all the same.
func TestDoctorWithoutConfig(t *testing.T) {
	t.Parallel()
	d := newDeployment(t).migrated()
	server := servicetest.RedisWith(t, local.RedisOptions{Extra: []string{`rename-command CONFIG ""`}})
	d.flags["--redis-addr"] = server.Addr
	d.run("doctor").want(command.ExitDone, "warn Redis "+server.Addr+": CONFIG GET is not to be had", "ok   Redis vetting")
}
