package cli

import (
	"os"
	"strings"
	"testing"

	"sluice/cli/command"
	"sluice/core/dirlock"
)

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

// A dev.json of a killed sluice dev names nobody's servers, or by now somebody else's.
func TestStaleDevFileIsSaid(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir(".sluice", 0o700); err != nil {
		t.Fatal(err)
	}
	stack := `{"redis_addr":"127.0.0.1:1","mysql_dsn":"root@tcp(127.0.0.1:1)/x","kafka_brokers":"127.0.0.1:1"}`
	if err := os.WriteFile(".sluice/dev.json", []byte(stack), 0o600); err != nil {
		t.Fatal(err)
	}
	lock, err := dirlock.Acquire(".sluice")
	if err != nil {
		t.Fatal(err)
	}
	try := func(code int, want string) {
		t.Helper()
		var o output
		if got := Run([]string{"stock", "show", "1"}, o.console()); got != code || !strings.Contains(o.err.String(), want) {
			t.Errorf("exit code %d, want %d; said %q, want %q", got, code, o.err.String(), want)
		}
	}
	try(command.ExitFailed, "Start Redis")
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	try(command.ExitUsage, "left from a sluice dev that was killed: start sluice dev again")
}
