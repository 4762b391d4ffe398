package cli

import (
	"maps"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"sluice/cli/command"
	"sluice/core/local/servicetest"
)

// A server that is stopped takes connections and answers nothing: its address is right, and nobody says otherwise.
func TestSilentServersAreToldFromMissingOnes(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	redis, mariadb := servicetest.Redis(t), servicetest.PrivateMariaDB(t)
	for _, pid := range []int{redis.PID(), mariadb.PID()} {
		stopUntilTheEnd(t, pid)
	}
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte(mariadb.DSN("sluice")), 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(flag, value, server string, code int, args ...string) {
		t.Helper()
		before := maps.Clone(d.flags)
		d.flags[flag] = value
		if server == "MySQL" { // only then: on a busy machine the one that works may take longer
			d.flags["--mysql-timeout"] = "500ms"
		}
		d.run(args...).want(code, server+" takes connections and answers nothing in time: see whether it is hung or overloaded").lacks("correct its address")
		d.flags = before
	}
	silent := silentAddr(t)
	for _, args := range [][]string{{"stock", "show", "1"}, {"doctor"}} {
		with("--redis-addr", redis.Addr, "Redis", command.ExitFailed, args...)
		with("--mysql-dsn-file", dsn, "MySQL", command.ExitFailed, args...)
	}
	with("--mysql-dsn-file", dsn, "MySQL", command.ExitFailed, "migrate", "--wait", "0s")
	with("--kafka-brokers", silent, "Kafka", command.ExitFailed, "doctor")
	before := d.flags["--redis-addr"]
	d.flags["--redis-addr"] = "nowhere.invalid:6379"
	d.run("stock", "show", "1").want(command.ExitFailed, "There is no host nowhere.invalid", "--redis-addr")
	d.flags["--redis-addr"] = before
}

// stopUntilTheEnd stops a process until the test ends.
func stopUntilTheEnd(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	})
}

// silentAddr is where connections are taken, and nothing is answered.
func silentAddr(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}
