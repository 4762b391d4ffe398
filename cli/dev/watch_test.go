package dev_test

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/cli/command"
	"sluice/core/local/servicetest"
)

// stackEnv makes the test binary run a stack in the directory that it names, until that ends.
const stackEnv = "SLUICE_TEST_STACK_IN"

// goneWithin is much less than a request or a server may take to end by itself.
const goneWithin = 15 * time.Second

// TestStackEndsWithItsData removes the data of a running stack: it says so, and ends. It does not touch other files
// that are put in their place.
func TestStackEndsWithItsData(t *testing.T) {
	if dir := os.Getenv(stackEnv); dir != "" {
		console := &command.Console{Out: os.Stdout, Err: os.Stderr}
		if err := newCommand(dir).Run(context.Background(), console, slog.New(slog.DiscardHandler)); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1) // with what still runs, as the program does
		}
		return
	}
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells where processes work")
	}
	t.Parallel()
	servicetest.MariaDB(t) // so that the test is skipped where servers are missing
	for name, c := range map[string]struct {
		take func(dir string) error
		said string
	}{
		"directory removed":    {os.RemoveAll, "its data are lost"},
		"directory replaced":   {replace, "its data are lost"},
		"redis removed":        {func(dir string) error { return os.RemoveAll(filepath.Join(dir, "redis")) }, "of redis: the directory was removed"},
		"mysql's data removed": {func(dir string) error { return os.RemoveAll(filepath.Join(dir, "mariadb", "data")) }, "of mariadb: the directory was removed"},
		"redis ended":          {func(dir string) error { return end(dir, "redis") }, "redis has ended"},
		"mysql ended":          {func(dir string) error { return end(dir, "mariadb") }, "mariadb has ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "stack")
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStackEndsWithItsData$")
			cmd.Env = append(os.Environ(), stackEnv+"="+dir)
			var said strings.Builder
			cmd.Stderr = &said
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for lines.Scan() && !strings.Contains(lines.Text(), "/stock/") {
			}
			places := readDevFile(t, dir)
			if err := c.take(dir); err != nil {
				t.Error(err)
			}
			taken := time.Now()
			for lines.Scan() {
			}
			if err := cmd.Wait(); err == nil || !strings.Contains(said.String(), c.said) || !strings.Contains(said.String(), "start sluice dev again") {
				t.Errorf("it ends with %v, and says %q, want %q", err, said.String(), c.said)
			}
			if took := time.Since(taken); took > goneWithin {
				t.Errorf("it ended after %v", took)
			}
			nobodyListens(t, places)
			if name == "directory replaced" {
				left, err := fs.Glob(os.DirFS(dir), "*")
				if err != nil || len(left) != 1 || left[0] != "dev.json" {
					t.Errorf("in the new directory are %q (%v), want what was put there", left, err)
				}
			}
		})
	}
}

// replace does what somebody does who starts again while the old stack runs.
func replace(dir string) error {
	return errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "dev.json"), nil, 0o600))
}

// end kills the server that works below a directory of the stack.
func end(dir, server string) error {
	processes, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		return err
	}
	for _, cwd := range processes {
		at, err := os.Readlink(cwd)
		if err != nil || !strings.HasPrefix(at, filepath.Join(dir, server)) {
			continue
		}
		process, err := filepath.Rel("/proc", filepath.Dir(cwd))
		if err != nil {
			return err
		}
		pid, err := strconv.Atoi(process)
		if err != nil {
			return err
		}
		return syscall.Kill(pid, syscall.SIGKILL)
	}
	return errors.New("no such server runs")
}
