package lua

import (
	"crypto/sha1"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func allScripts(t *testing.T) []Script {
	t.Helper()
	scripts, err := All()
	if err != nil {
		t.Fatal(err)
	}
	return scripts
}

func read(t *testing.T, path string) string {
	t.Helper()
	source, err := files.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// TestInclusionIsLiteral takes the parts out of every script again: what is left is the script's own
// file.
func TestInclusionIsLiteral(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, script := range allScripts(t) {
		rest := script.Source
		for line := range strings.Lines(read(t, script.Name+".lua")) {
			want := line
			if path, ok := strings.CutPrefix(strings.TrimSpace(line), "-- #include "); ok {
				want = read(t, path)
				used[path] = true
			}
			var found bool
			if rest, found = strings.CutPrefix(rest, want); !found {
				t.Fatalf("%s: %q does not follow, but %.60q", script.Name, want, rest)
			}
		}
		if rest != "" || strings.Contains(script.Source, "#include") {
			t.Errorf("%s: something was not included, or too much: %.60q", script.Name, rest)
		}
		if sum := sha1.Sum([]byte(script.Source)); script.SHA1 != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: SHA-1 is %s", script.Name, script.SHA1)
		}
	}
	parts, err := fs.Glob(files, "lib/*.lua")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		if !used[part] {
			t.Errorf("%s is included nowhere", part)
		}
	}
}

func TestLoadUnknown(t *testing.T) {
	t.Parallel()
	if script, err := Load("nothing"); err == nil {
		t.Errorf("loaded %+v", script)
	}
}

const linesMax = 120

func TestFilesAreShort(t *testing.T) {
	t.Parallel()
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			if n := strings.Count(read(t, path), "\n"); n > linesMax {
				t.Errorf("%s has %d lines, want at most %d", path, n, linesMax)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNamesAreKnown checks the scripts as Redis loads them: a name that no part defines is found at
// run time only, and perhaps not before it matters. How complicated a script is, its parts tell.
func TestNamesAreKnown(t *testing.T) {
	t.Parallel()
	luacheck, err := exec.LookPath("luacheck")
	if err != nil {
		if os.Getenv("REQUIRE_SERVICES") == "1" {
			t.Fatal(err)
		}
		t.Skip("luacheck is not installed")
	}
	dir := t.TempDir()
	args := []string{"--config", ".luacheckrc", "--enable", "112", "113", "--no-max-cyclomatic-complexity", "--", dir}
	for _, script := range allScripts(t) {
		if err := os.WriteFile(filepath.Join(dir, script.Name+".lua"), []byte(script.Source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), luacheck, args...).CombinedOutput(); err != nil {
		t.Errorf("luacheck: %v\n%s", err, out)
	}
}
