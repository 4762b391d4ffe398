package servicetest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sluice/core/local"
)

// Clone makes a plain clone of the repository of the test, and returns its directory.
func Clone(t testing.TB) string {
	t.Helper()
	top, err := exec.CommandContext(t.Context(), "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		require(t, &local.MissingError{Program: "git", Install: "it, and run the test in a checkout"})
	}
	dir := filepath.Join(t.TempDir(), "clone")
	clone := exec.CommandContext(t.Context(), "git", "clone", "--quiet", strings.TrimSpace(string(top)), dir)
	if out, err := clone.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", clone.Args, err, out)
	}
	return dir
}
