package localstore

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestExpiryIsByTheClock: a record expires when it was told to, however often the file was written and read meanwhile,
// and one that came after another without an end expires too.
func TestExpiryIsByTheClock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "edge.db")
	s := openAt(t, path, quiet())
	for _, ttl := range []time.Duration{0, 3 * time.Second} {
		if err := s.Save("view", 1, []byte("x"), ttl); err != nil {
			t.Fatal(err)
		}
	}
	until := time.Now().Add(3 * time.Second)
	for i := range 3 {
		if err := s.Save("other", 1, []byte{byte(i)}, 0); err != nil {
			t.Fatal(err)
		}
		s.grown = grownMax // and made anew
		if err := s.Save("other", 1, []byte{byte(i)}, 0); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Hour) // by which no end may be counted
		if err := os.Chtimes(path, later, later); err != nil {
			t.Fatal(err)
		}
		s = openAt(t, path, quiet())
		if _, ok := s.Load("view", 1); !ok && time.Until(until) > 1500*time.Millisecond {
			t.Errorf("gone %v before its end", time.Until(until))
		}
	}
	time.Sleep(time.Until(until) + 1100*time.Millisecond)
	if _, ok := s.Load("view", 1); ok {
		t.Error("there after its end")
	}
}
