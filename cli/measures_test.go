package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentsNameTestsThatAre: each go test of the pages finds something to run in its packages.
func TestDocumentsNameTestsThatAre(t *testing.T) {
	t.Parallel()
	commands := 0
	for name, text := range pages(t) {
		if filepath.Ext(name) != ".md" {
			continue
		}
		for _, match := range regexp.MustCompile("go test ([^`\n]+)").FindAllStringSubmatch(text, -1) {
			words := strings.Fields(strings.ReplaceAll(match[1], "'", ""))
			pattern := ""
			for _, flag := range []string{"-run", "-bench"} { // who gives both wants no test
				if i := slices.Index(words, flag); i >= 0 && i+1 < len(words) {
					pattern = words[i+1]
				}
			}
			for _, pkg := range words {
				dir, local := strings.CutPrefix(pkg, "./")
				if !local || strings.HasSuffix(dir, "...") {
					continue
				}
				commands++
				if !hasTest(t, filepath.Join("..", dir), pattern) {
					t.Errorf("%s: go test %s: %s has nothing that matches %q", name, match[1], pkg, pattern)
				}
			}
		}
	}
	if commands < 20 {
		t.Errorf("the pages have %d commands: the test does not see them", commands)
	}
}

// hasTest tells whether a package has a test or a benchmark that a pattern of go test matches.
func hasTest(t *testing.T, dir, pattern string) bool {
	t.Helper()
	first, _, _ := strings.Cut(pattern, "/")
	wanted := regexp.MustCompile(first)
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			if wanted.MatchString(match[1]) {
				return true
			}
		}
	}
	return false
}
