package dirlock_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sluice/core/dirlock"
)

func acquire(t *testing.T, dir string) *dirlock.Lock {
	t.Helper()
	l, err := dirlock.Acquire(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Release() }) // a test may have released it
	return l
}

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := acquire(t, dir)
	if _, err := dirlock.Acquire(dir); !errors.Is(err, dirlock.ErrTaken) || !strings.Contains(err.Error(), dir) {
		t.Errorf("the second: %v, want %v and the directory", err, dirlock.ErrTaken)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	acquire(t, dir)
}

// TestChildDoesNotInherit starts a program while a directory is locked. It outlives the lock, which must not
// live on in it.
func TestChildDoesNotInherit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := acquire(t, dir)
	child := exec.CommandContext(t.Context(), "cat") // until its input ends
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	acquire(t, dir)
	_ = in.Close()
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryThatVanishes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	renew := func() {
		t.Helper()
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	renew()
	first := acquire(t, dir)
	if err := first.Check(); err != nil {
		t.Errorf("while it is there: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := first.Check(); !errors.Is(err, dirlock.ErrGone) {
		t.Errorf("removed: %v", err)
	}
	renew()
	second := acquire(t, dir)
	if err := first.Check(); !errors.Is(err, dirlock.ErrGone) {
		t.Errorf("replaced: %v", err)
	}
	if err := second.Check(); err != nil {
		t.Errorf("the new one: %v", err)
	}
}

// A directory that is missing, or that nobody may write to, as a file in its place shows to root too.
func TestUnusableDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, file + "-none"} {
		if _, err := dirlock.Acquire(dir); err == nil || errors.Is(err, dirlock.ErrTaken) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// TestLeftTakesNothing: to ask whether a directory was left does not keep anybody from locking it.
func TestLeftTakesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if dirlock.Left(dir) {
		t.Error("left, and was never locked")
	}
	l := acquire(t, dir)
	if dirlock.Left(dir) {
		t.Error("left, and is locked")
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if !dirlock.Left(dir) {
		t.Error("not left, though it was released")
	}
	acquire(t, dir)
}
