package devstack

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A stack and its commands are those of the sources, whatever settings this process's environment has.
func TestAStrangersEnvironmentChangesNothing(t *testing.T) {
	t.Setenv("SLUICE_KAFKA_BROKERS", "127.0.0.1:1")
	t.Setenv("SLUICE_RATE_PER_USER", "1")
	t.Setenv("SLUICE_REDIS_SERVER", "/usr/bin/valkey-server") // which program runs is no setting of a deployment
	dir := t.TempDir()
	s := &Stack{Dir: dir, binary: filepath.Join(dir, "sluice")}
	want := []string{"SLUICE_REDIS_SERVER=/usr/bin/valkey-server", "SLUICE_DEV_DIR=" + filepath.Join(dir, "data"), "SLUICE_LISTEN=a", "SLUICE_OPS_LISTEN=b", "SLUICE_DEV_LISTEN=c", "SLUICE_CATALOG_LISTEN=d", "SLUICE_CATALOG_OPS_LISTEN=e"}
	var got []string
	for _, line := range s.env([]string{"a", "b", "c", "d", "e"}) {
		if len(line) > 7 && line[:7] == "SLUICE_" {
			got = append(got, line)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the stack is told %q, want %q", got, want)
	}
	if err := os.WriteFile(s.binary, []byte("#!/bin/sh\nenv | grep SLUICE_ | sort"), 0o700); err != nil {
		t.Fatal(err)
	}
	said, err := s.Sluice(t.Context())
	if want := "SLUICE_DEV_FILE=" + s.DevFile() + "\nSLUICE_REDIS_SERVER=/usr/bin/valkey-server"; said != want || err != nil {
		t.Errorf("a command is told %q, want %q, %v", said, want, err)
	}
}
