package bench

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The root has a folder for each part of sluice and no others, so that one finds the way of a purchase from their names.
func TestRootHasItsFolders(t *testing.T) {
	t.Parallel()
	want := []string{"lua", "core", "edge", "persister", "catalog", "bench", "k6", "cli", "tools", "deploy", "docs", "bin"}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); e.IsDir() && !strings.HasPrefix(name, ".") && !slices.Contains(want, name) {
			t.Errorf("%s/ has no place in the root: see Folders in ARCHITECTURE.md", name)
		} else if !e.IsDir() && strings.HasSuffix(name, ".go") && name != "main.go" {
			t.Errorf("%s stands in the root, where main.go is alone", name)
		}
	}
}

// deploy/ has no programs.
func TestDeployHasNoGo(t *testing.T) {
	t.Parallel()
	files := 0
	err := filepath.WalkDir("../deploy", func(path string, _ fs.DirEntry, err error) error {
		if files++; strings.HasSuffix(path, ".go") {
			t.Errorf("%s is Go", path)
		}
		return err
	})
	if err != nil || files < 2 {
		t.Errorf("%d files, %v", files, err)
	}
}
