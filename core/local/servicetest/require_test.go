package servicetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"sluice/core/local"
)

// probe is a testing.TB that records how a test would have ended.
type probe struct {
	testing.TB
	skipped, failed bool
}

func (p *probe) Helper()      {}
func (p *probe) Skip(...any)  { p.skipped = true }
func (p *probe) Fatal(...any) { p.failed = true }

func TestRequire(t *testing.T) {
	missing := fmt.Errorf("start: %w", &local.MissingError{Program: "redis-server", Install: "Redis"})
	for _, c := range []struct {
		name, env       string
		err             error
		skipped, failed bool
	}{
		{"no error", "", nil, false, false},
		{"missing", "", missing, true, false},
		{"missing but required", "1", missing, false, true},
		{"broken", "", errors.New("disk full"), false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			notes := filepath.Join(t.TempDir(), "skipped")
			if err := os.WriteFile(notes, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("REQUIRE_SERVICES", c.env)
			t.Setenv("SLUICE_SKIPPED", notes)
			p := &probe{TB: t}
			require(p, c.err)
			// The real Skip and Fatal do not return: the first one counts.
			if p.skipped != c.skipped || (!p.skipped && p.failed != c.failed) {
				t.Errorf("skipped %v, failed %v; want %v, %v", p.skipped, p.failed, c.skipped, c.failed)
			}
			want := ""
			if c.skipped {
				want = "tests skipped: redis-server not found; install Redis\n"
			}
			if got, err := os.ReadFile(notes); string(got) != want || err != nil {
				t.Errorf("noted %q (%v), want %q", got, err, want)
			}
		})
	}
}

func TestTempDirOfADeadOwnerIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	living, err := newTempDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = living.remove() })
	dead, err := newTempDir()
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.lock.Release(); err != nil { // as the kernel does for a dead process
		t.Fatal(err)
	}
	next, err := newTempDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = next.remove() })
	if _, err := os.Stat(dead.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory of the dead owner: %v, want not exist", err)
	}
	for _, d := range []*tempDir{living, next} {
		if _, err := os.Stat(filepath.Join(d.path, "lock")); err != nil {
			t.Errorf("directory of a living owner: %v", err)
		}
	}
}
