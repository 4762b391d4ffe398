package stocktest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestMutants runs the model's own tests on copies of the model with a bug in each. A test that
// passes is blind to that bug.
func TestMutants(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds a program per bug")
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			source, err := os.ReadFile(filepath.Join("..", "memstock", m.file))
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(source, []byte(m.old)); n != 1 {
				t.Fatalf("%q occurs %d times in %s", m.old, n, m.file)
			}
			binary := buildMutant(t, m.file, bytes.Replace(source, []byte(m.old), []byte(m.new), 1))
			mustFail(t, binary, "TestConformance")
			if !slices.Contains(unsimulated, m.name) {
				mustFail(t, binary, "TestSimulation", "-rapid.checks=5000", "-rapid.shrinktime=0s", "-rapid.nofailfile")
			}
			if slices.Contains(raced, m.name) {
				// Which requests meet is left to chance: one run in many is lucky. The first failure ends them.
				mustFail(t, binary, "TestConcurrentClients", "-test.count=200")
			}
		})
	}
}

func mustFail(t *testing.T, binary, test string, args ...string) {
	t.Helper()
	run := exec.CommandContext(t.Context(), binary, append(args, "-test.run=^"+test+"$", "-test.failfast")...)
	run.Dir = filepath.Dir(binary)
	if out, err := run.CombinedOutput(); err == nil {
		t.Errorf("%s passes:\n%s", test, out)
	}
}

// buildMutant builds the tests of package memstock with one file replaced, as a package of another name
// that exists in the go tool's overlay only: the simulation still compares with the true model.
func buildMutant(t *testing.T, file string, source []byte) string {
	t.Helper()
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(here, "..", "memstock", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range files {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(from)
		if name == file {
			content = source
		}
		content = bytes.ReplaceAll(content, []byte("sluice/core/stock/memstock"), []byte("sluice/core/stock/mutant"))
		copied := filepath.Join(dir, name)
		if err := os.WriteFile(copied, content, 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(here, "..", "mutant", name)] = copied
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	listFile := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(listFile, list, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "mutant.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-o", binary,
		"-overlay", listFile, "sluice/core/stock/mutant")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}
