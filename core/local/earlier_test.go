package local_test

import (
	"errors"
	process "os/exec"
	"testing"

	"sluice/core/local"
	"sluice/core/local/servicetest"
)

// TestEarlierNeedsHistory: a checkout of the newest commit alone has no earlier program, and the error says what to do.
func TestEarlierNeedsHistory(t *testing.T) {
	t.Parallel()
	whole, shallow := servicetest.Clone(t), t.TempDir()
	if out, err := process.CommandContext(t.Context(), "git", "clone", "--quiet", "--depth=1", "file://"+whole, shallow).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	missing := new(local.MissingError)
	if path, err := local.Earlier(t.Context(), shallow, "go.mod"); !errors.As(err, &missing) {
		t.Errorf("built %s, %v, want that the history is missing", path, err)
	}
	if path, err := local.Earlier(t.Context(), whole, "no such file"); !errors.As(err, &missing) {
		t.Errorf("built %s, %v, want that the file is missing", path, err)
	}
}
