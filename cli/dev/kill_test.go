package dev_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/cli/command"
	"sluice/core/local/servicetest"
)

// dieEnv makes the test binary run a stack in the directory that it names, and kill itself.
const dieEnv = "SLUICE_TEST_DIE_IN"

func TestNothingOutlivesAKilledRun(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ties a child's life to its parent's")
	}
	if dir := os.Getenv(dieEnv); dir != "" {
		run(t, dir)
	}
	t.Parallel()
	servicetest.MariaDB(t) // so that the test is skipped where servers are missing
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNothingOutlivesAKilledRun$")
	cmd.Env = append(os.Environ(), dieEnv+"="+dir)
	output, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the run was not killed: %v\n%s", err, output)
	}
	giveUp := time.After(time.Minute)
	for _, server := range []string{"redis.conf", "my.cnf"} {
		for alive(t, filepath.Join(dir, "*", server)) {
			select {
			case <-giveUp:
				t.Fatalf("the server of %s still runs", server)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	// Neither the lock nor a stale dev.json keeps the next run from starting.
	r := start(t, newCommand(dir))
	if len(r.curls) != 3 {
		t.Fatalf("the next run ends: %v", <-r.ended)
	}
	r.stop(t)
}

// run kills this process once the stack has printed all.
func run(t *testing.T, dir string) {
	t.Helper()
	out, in := io.Pipe()
	go func() {
		console := &command.Console{Out: in, Err: os.Stderr}
		fmt.Fprintln(os.Stderr, newCommand(dir).Run(context.Background(), console, slog.New(slog.DiscardHandler)))
		_ = in.Close()
	}()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if !alive(t, filepath.Join(dir, "*", "redis.conf")) || !alive(t, filepath.Join(dir, "*", "my.cnf")) {
		t.Fatal("the servers are not found, so this test shows nothing")
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {}
}

// alive tells whether a server runs that was started with the configuration file.
func alive(t *testing.T, pattern string) bool {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) != 1 {
		t.Fatalf("%s: %q, %v; want one file", pattern, files, err)
	}
	dir := filepath.Dir(files[0])
	processes, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	for _, cwd := range processes {
		// Both servers work in their directory; a dead one that nobody waited for has none.
		if at, err := os.Readlink(cwd); err == nil && strings.HasPrefix(at, dir) {
			return true
		}
	}
	return false
}
