package servicetest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"sluice/core/local"
)

// onSmallDisk makes a test binary run one test again, on the disk that it names.
const onSmallDisk = "SLUICE_TEST_SMALL_DISK"

// SmallDisk runs the calling test once more, in a process with a disk of the given number of bytes, and returns the
// disk's directory there. In the first process it returns an empty text once the other one has ended; that run was
// the test. It needs only the right to make namespaces, which Debian gives to everybody.
func SmallDisk(t *testing.T, size int64) (dir string, here bool) {
	t.Helper()
	if dir := os.Getenv(onSmallDisk); dir != "" {
		if err := syscall.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
			t.Fatalf("mount a small disk: %v", err)
		}
		return dir, true
	}
	ns := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	possible := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "none", t.TempDir())
	possible.SysProcAttr = ns
	if out, err := possible.CombinedOutput(); err != nil {
		require(t, &local.MissingError{Program: "a mount of one's own", Install: fmt.Sprintf("nothing, but allow user namespaces (%v: %s)", err, bytes.TrimSpace(out))})
	}
	dir = t.TempDir()
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.v="+strconv.FormatBool(testing.Verbose()))
	again.Env, again.SysProcAttr = append(os.Environ(), onSmallDisk+"="+dir), ns
	if out, err := again.CombinedOutput(); err != nil {
		t.Errorf("on a small disk: %v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("on a small disk:\n%s", out)
	}
	return "", false
}

// Fill writes to a disk until it has no room for another byte. The function that it returns makes room again.
func Fill(t testing.TB, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 64<<10); len(block) > 0; {
		if _, err = file.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	return func() {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
