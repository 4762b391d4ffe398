package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sluice/catalog"
	"sluice/cli/command"
	"sluice/core/local/servicetest"
	"sluice/persister"
)

// A plain clone, built by hand or by make, knows its commit, and whether its sources differ from it.
func TestVersionOfAPlainClone(t *testing.T) {
	t.Parallel()
	dir := servicetest.Clone(t)
	run := func(env []string, name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	commit := run(nil, "git", "rev-parse", "HEAD")
	type version struct {
		Version, Commit string
		Modified        bool
		Schemas         map[string]int64
	}
	shown := func(program string) (v version) {
		t.Helper()
		if err := json.Unmarshal([]byte(run(nil, program, "version", "-o", "json")), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	run([]string{"GOFLAGS=-trimpath"}, "go", "build", "-o", "sluice", ".") // -trimpath: so that what is compiled is found again
	if got := shown("./sluice").Schemas; len(got) != len(command.Schemas())+len(catalog.Schemas()) || got["persister"] != persister.Schema().Version() {
		t.Errorf("schemas: %v", got)
	}
	if v := shown("./sluice"); v.Commit != commit || v.Modified || !strings.Contains(v.Version, commit[:12]) {
		t.Errorf("go build: %+v, want commit %s", v, commit)
	}
	if out := run(nil, "./sluice", "--version"); !strings.Contains(out, "commit "+commit) {
		t.Errorf("--version: %s", out)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(run(nil, "cat", "main.go")+"\n// changed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run([]string{"GOFLAGS=-buildvcs=false"}, "make", "build")
	if v := shown("bin/sluice"); v.Commit != commit || !v.Modified || !strings.HasSuffix(v.Version, "-dirty") {
		t.Errorf("make build of changed sources: %+v, want commit %s", v, commit)
	}
}
