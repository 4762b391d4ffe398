package dev_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The script's installing half needs a machine of its own; CI starts on one.
func TestDeps(t *testing.T) {
	t.Parallel()
	have := t.TempDir() // all programs that the script can find
	for _, program := range []string{"redis-server", "java"} {
		if err := os.WriteFile(filepath.Join(have, program), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		parts []string
		says  string // "": all is there
	}{
		{"all there", []string{"redis", "java"}, ""},
		{"missing", []string{"redis", "maven", "luacheck"}, "install these (names of Debian's packages), then try again: maven lua-check"},
		{"unknown part", []string{"postgres"}, "unknown part: postgres"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "/bin/sh", append([]string{"deps.sh"}, c.parts...)...)
			cmd.Env = []string{"PATH=" + have}
			out, err := cmd.CombinedOutput()
			if (err == nil) != (c.says == "") || !strings.Contains(string(out), c.says) {
				t.Errorf("%v: %s\nwant %q", err, out, c.says)
			}
		})
	}
}
