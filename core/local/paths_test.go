package local_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/core/local"
	"sluice/core/local/servicetest"
)

// oddDirs are directories whose names a shell, a file of options or a socket cannot take as they are.
func oddDirs(t *testing.T) map[string]string {
	t.Helper()
	real := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"space":       "two words ",
		"quotes":      `it's "so"`,
		"signs":       `a # b;c\d$e%f&g=h,i:j'k"`,
		"pattern":     "a*b?c[d]",
		"letters":     "läden 店\u00a0x",
		"line break":  "a\nb",
		"long":        filepath.Join(strings.Repeat("long", 30), strings.Repeat("path", 30)),
		"longest":     filepath.Join(strings.Repeat("long", 50), strings.Repeat("path", 50)),
		"symlink":     link,
		"not unicode": "a\xffb",
	}
}

// TestServersInAnyDirectory starts each server with its data in directories with odd names, again with the data that
// are there then.
func TestServersInAnyDirectory(t *testing.T) {
	t.Parallel()
	servicetest.MariaDB(t) // so that the test is skipped where servers are missing
	for name, dir := range oddDirs(t) {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(t.TempDir(), dir)
		}
		t.Run("redis, "+name, func(t *testing.T) {
			t.Parallel()
			r, err := local.StartRedis(t.Context(), filepath.Join(dir, "redis"), local.RedisOptions{})
			if refused(t, err, name == "pattern" || name == "longest") {
				return
			}
			goesOn(t, r)
			exists(t, filepath.Join(dir, "redis", "appendonlydir"))
		})
		t.Run("mariadb, "+name, func(t *testing.T) {
			t.Parallel()
			m, err := local.StartMariaDB(t.Context(), filepath.Join(dir, "mariadb"))
			if refused(t, err, name == "longest") {
				return
			}
			goesOn(t, m)
			exists(t, filepath.Join(dir, "mariadb", "data", "ibdata1"))
		})
		if name != "signs" && name != "letters" && name != "longest" {
			continue // it is slow, and has its own way with paths only in these; Java cannot name what is no Unicode
		}
		t.Run("kafka, "+name, func(t *testing.T) {
			t.Parallel()
			servicetest.Kafka(t) // so that the test is skipped where it is missing
			k, err := local.StartKafka(t.Context(), filepath.Join(dir, "kafka"))
			if refused(t, err, name == "longest") {
				return
			}
			goesOn(t, k)
			exists(t, filepath.Join(dir, "kafka", "data", "meta.properties"))
		})
	}
}

// TestMariaDBWithOddSurroundings starts a first MariaDB of a user whose home and temporary directory are missing, or
// cannot be written to, or have odd names.
func TestMariaDBWithOddSurroundings(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "")
	odd := filepath.Join(t.TempDir(), `two 'words': "ü"`)
	if err := os.Mkdir(odd, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"", "/dev/null/nowhere", odd} {
		t.Setenv("HOME", where)
		t.Setenv("TMPDIR", where)
		m, err := local.StartMariaDB(t.Context(), t.TempDir())
		if err != nil {
			t.Errorf("HOME and TMPDIR %s: %v", where, err)
			continue
		}
		if err := errors.Join(m.CreateDatabase(t.Context(), "shop"), m.Stop()); err != nil {
			t.Errorf("HOME and TMPDIR %s: %v", where, err)
		}
	}
}

// refused tells that a server does not start in a directory, and checks that another one is asked for.
func refused(t *testing.T, err error, want bool) bool {
	t.Helper()
	if want && !errors.Is(err, local.ErrDir) {
		t.Errorf("%v, want it refused as the directory's fault", err)
	}
	if !want && err != nil {
		t.Fatal(err)
	}
	return want
}

// goesOn starts a server again, and stops it.
func goesOn(t *testing.T, server interface {
	Restart(ctx context.Context) error
	Stop() error
},
) {
	t.Helper()
	if err := errors.Join(server.Restart(t.Context()), server.Stop()); err != nil {
		t.Error(err)
	}
}

func exists(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
