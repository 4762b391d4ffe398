package localstore

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/buntdb"
	"go.uber.org/goleak"

	"sluice/core/dirlock"
)

func TestMain(m *testing.M) {
	// It notices within a second that its file was closed.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/tidwall/buntdb.(*DB).backgroundManager"))
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func openAt(t *testing.T, path string, log *slog.Logger) *Store {
	t.Helper()
	s, err := Open(path, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a test may have closed it
	return s
}

func TestRecordsSurviveAReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "edge.db")
	s := openAt(t, path, quiet())
	want := bytes.Repeat([]byte{0, 1, '\r', '\n', 255}, 1000)
	if err := s.Save("filter/7", 3, want, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Save("view", 1, []byte("x"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path, quiet())
	if got, ok := s.Load("filter/7", 3); !ok || !bytes.Equal(got, want) {
		t.Errorf("Load = %d bytes, %v; want what was saved", len(got), ok)
	}
	if got, ok := s.Load("view", 1); !ok || string(got) != "x" {
		t.Errorf("Load = %q, %v; want x", got, ok)
	}
	if _, ok := s.Load("filter/7", 4); ok {
		t.Error("Load gave back a record of another version")
	}
	if _, ok := s.Load("filter/8", 3); ok {
		t.Error("Load found a record that nobody saved")
	}
}

func TestRecordsExpire(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "edge.db")
	s := openAt(t, path, quiet())
	if err := s.Save("view", 1, []byte("x"), time.Nanosecond); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Load("view", 1); ok {
		t.Error("Load gave back an expired record")
	}
}

func TestDamagedFileStartsEmptyAndSaysSo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "edge.db")
	if err := os.WriteFile(path, []byte("this is no store\r\nat all\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	s := openAt(t, path, slog.New(slog.NewTextHandler(&said, nil)))
	if !strings.Contains(said.String(), "starting empty") {
		t.Errorf("the log says %q, want that the store starts empty", said.String())
	}
	if err := s.Save("k", 1, []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	if got, ok := s.Load("k", 1); !ok || string(got) != "v" {
		t.Errorf("Load = %q, %v after starting empty", got, ok)
	}
}

// Two writers of one file would ruin it: the second is refused, and changes nothing.
func TestDirectoryHasOneStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "edge.db")
	s := openAt(t, path, quiet())
	if err := s.Save("k", 1, []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, quiet()); !errors.Is(err, dirlock.ErrTaken) || !strings.Contains(err.Error(), "another edge uses it: stop that one") {
		t.Errorf("a second store: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, ok := openAt(t, path, quiet()).Load("k", 1); !ok || string(got) != "v" {
		t.Errorf("Load = %q, %v after another store was refused", got, ok)
	}
}

// TestDirectoryIsFreeAfterAFailure cannot move a damaged file aside at first.
func TestDirectoryIsFreeAfterAFailure(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "edge.db")
	if err := os.WriteFile(path, []byte("this is no store\r\nat all\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	obstacle := filepath.Join(path+".damaged", "x")
	if err := os.MkdirAll(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, quiet()); err == nil || errors.Is(err, dirlock.ErrTaken) {
		t.Errorf("Open: %v", err)
	}
	if err := os.RemoveAll(filepath.Dir(obstacle)); err != nil {
		t.Fatal(err)
	}
	openAt(t, path, quiet())
}

// TestDirectoryThatWasReplaced removes the directory of a store and lets another one have it. The first must
// not write there any more.
func TestDirectoryThatWasReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data", "edge.db")
	first := openAt(t, path, quiet())
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	second := openAt(t, path, quiet())
	if err := second.Save("k", 1, []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	first.grown = grownMax
	if err := first.Save("k", 1, []byte("old"), 0); !errors.Is(err, dirlock.ErrGone) {
		t.Errorf("the first saves: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if got, ok := openAt(t, path, quiet()).Load("k", 1); !ok || string(got) != "v" {
		t.Errorf("Load = %q, %v: not what the second has saved", got, ok)
	}
}

// Every byte of the file is damaged in turn: the store must open, and give back the record as it was
// or not at all.
func TestNoDamageGoesUnnoticed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "edge.db")
	want := []byte("a record of some length")
	s := openAt(t, path, quiet())
	if err := s.Save("k", 1, want, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x11
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, quiet())
		if err != nil {
			t.Fatalf("byte %d damaged: %v", i, err)
		}
		if got, ok := s.Load("k", 1); ok && !bytes.Equal(got, want) {
			t.Errorf("byte %d damaged: Load = %q", i, got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for n := range whole {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, quiet())
		if err != nil {
			t.Fatalf("cut off after %d bytes: %v", n, err)
		}
		if got, ok := s.Load("k", 1); ok {
			t.Errorf("cut off after %d bytes: Load = %q", n, got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRecordUnderAnotherKeyIsRefused(t *testing.T) {
	t.Parallel()
	s := openAt(t, filepath.Join(t.TempDir(), "edge.db"), quiet())
	if err := s.Save("a", 1, []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	err := s.db.Update(func(tx *buntdb.Tx) error {
		record, err := tx.Get("a")
		if err != nil {
			return err
		}
		_, _, err = tx.Set("b", record, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := s.Load("b", 1); ok {
		t.Errorf("Load = %q, a record that was saved under another key", got)
	}
}

func TestBoundsAreKept(t *testing.T) {
	t.Parallel()
	s := openAt(t, filepath.Join(t.TempDir(), "edge.db"), quiet())
	if err := s.Save("k", 1, make([]byte, recordMax+1), 0); err == nil {
		t.Error("a record over the bound was saved")
	}
}

func TestFileShrinks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "edge.db")
	s := openAt(t, path, quiet())
	data := make([]byte, 16<<20)
	for range grownMax/len(data) + 1 {
		if err := s.Save("k", 1, data, 0); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 3*int64(len(data)) {
		t.Errorf("the file has %d bytes for one record of %d", info.Size(), len(data))
	}
	if got, ok := s.Load("k", 1); !ok || len(got) != len(data) {
		t.Errorf("Load = %d bytes, %v after shrinking", len(got), ok)
	}
}

// TestBrokenFileIsMadeAnew breaks the library's hold of the file, as errors of the disk do: the next record begins anew.
func TestBrokenFileIsMadeAnew(t *testing.T) {
	t.Parallel()
	s := openAt(t, filepath.Join(t.TempDir(), "edge.db"), quiet())
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Save("k", 1, []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	if got, ok := s.Load("k", 1); !ok || string(got) != "v" {
		t.Errorf("Load = %q, %v", got, ok)
	}
}

// TestFileStaysItsOwners: nobody else may read it, also after it was made anew.
func TestFileStaysItsOwners(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "edge.db")
	s := openAt(t, path, quiet())
	s.grown = grownMax
	if err := s.Save("k", 1, []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}
}
