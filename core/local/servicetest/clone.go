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
	dir := filepath.Join(t.TempDir(), "clone")
	clone := exec.CommandContext(t.Context(), "git", "clone", "--quiet", checkout(t), dir)
	if out, err := clone.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", clone.Args, err, out)
	}
	return dir
}

// Earlier is the program as it was before a file was added to the checkout.
func Earlier(t testing.TB, file string) (path string) {
	t.Helper()
	path, err := local.Earlier(t.Context(), checkout(t), file)
	require(t, err)
	return path
}

// checkout is the top of the checkout that the test runs in.
func checkout(t testing.TB) string {
	t.Helper()
	top, err := exec.CommandContext(t.Context(), "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		require(t, &local.MissingError{Program: "git", Install: "it, and run the test in a checkout"})
	}
	return strings.TrimSpace(string(top))
}
