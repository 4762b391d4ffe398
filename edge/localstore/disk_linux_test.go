package localstore

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sluice/core/local/servicetest"
)

// The tests of this file start processes, which have the locks of other tests' directories for a moment: so they do
// not run beside them.

// TestFullDisk keeps records on a disk that becomes full. One that finds no room is told, is not there as it was before, and
// is written once there is room. Smaller ones stay.
func TestFullDisk(t *testing.T) {
	disk, here := servicetest.SmallDisk(t, 8<<20)
	if !here {
		return
	}
	path := filepath.Join(disk, "edge.db")
	s := openAt(t, path, quiet())
	save := func(key string, bytes int) ([]byte, error) {
		data := make([]byte, bytes)
		copy(data, fmt.Sprint(key, bytes))
		return data, s.Save(key, 1, data, 0)
	}
	holds := func(key string, want []byte) {
		t.Helper()
		if got, ok := s.Load(key, 1); ok != (want != nil) || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v; want %d bytes", key, len(got), ok, len(want))
		}
	}
	reopen := func() {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		s = openAt(t, path, slog.New(slog.NewTextHandler(&said, nil)))
		if said.Len() > 0 {
			t.Errorf("the file is not whole: %s", said.String())
		}
	}
	must := func(data []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}

	must(save("big", 1<<20))
	must(save("small", 50))
	free := servicetest.Fill(t, disk)
	grown, err := save("big", 3<<20)
	if err == nil {
		t.Fatal("a record was saved for which there is no room")
	}
	small := must(save("small", 100)) // where the big one was
	holds("big", nil)
	holds("small", small)
	faults, err := s.Faults(t.Context())
	if err != nil || len(faults) != 1 || !strings.Contains(faults[0].String(), disk+" does not take 1 records, the first of them big: ") ||
		!strings.Contains(faults[0].String(), syscall.ENOSPC.Error()) {
		t.Errorf("faults %v, %v", faults, err)
	}

	free()
	small = must(save("small", 120))
	if faults, err := s.Faults(t.Context()); err != nil || len(faults) > 0 {
		t.Errorf("faults %v, %v with room again", faults, err)
	}
	reopen()
	holds("big", grown)
	holds("small", small)
}

// TestFullDiskKeepsNothingOld has no room at all: not even an emptied file takes a record. No reader may get an old
// record.
func TestFullDiskKeepsNothingOld(t *testing.T) {
	disk, here := servicetest.SmallDisk(t, 1<<20)
	if !here {
		return
	}
	path := filepath.Join(disk, "edge.db")
	s := openAt(t, path, quiet())
	if err := s.Save("marks", 1, []byte("old"), 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Save("marks", 1, make([]byte, 2<<20), 0); err == nil {
		t.Fatal("saved more than the disk has")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, ok := openAt(t, path, quiet()).Load("marks", 1); ok {
		t.Errorf("the next start finds %q", got)
	}
}

// TestStartOnAFullDisk: an edge that was here before starts, and says what it cannot keep.
func TestStartOnAFullDisk(t *testing.T) {
	disk, here := servicetest.SmallDisk(t, 1<<20)
	if !here {
		return
	}
	path := filepath.Join(disk, "edge.db")
	if err := openAt(t, path, quiet()).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	servicetest.Fill(t, disk)
	s := openAt(t, path, quiet())
	if err := s.Save("marks", 1, make([]byte, 8<<10), 0); err == nil {
		t.Error("saved without room")
	}
	if faults, _ := s.Faults(t.Context()); len(faults) != 1 {
		t.Errorf("faults %v", faults)
	}
}
