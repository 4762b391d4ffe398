package auth_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"sluice/core/auth"
	"sluice/core/local/servicetest"
)

// TestNoHalfKeyFile: one on a full disk would be read by the next edge, and never be overwritten.
func TestNoHalfKeyFile(t *testing.T) {
	t.Parallel()
	disk, here := servicetest.SmallDisk(t, 1<<20)
	if !here {
		return
	}
	key, err := auth.GenerateKey(auth.HS256)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(disk, "keys.json")
	free := servicetest.Fill(t, disk)
	if err := auth.WriteKeys(path, key); !errors.Is(err, auth.ErrNotWritten) {
		t.Errorf("on a full disk: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was not written is there: %v", err)
	}
	free()
	if err := auth.WriteKeys(path, key); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if _, err := auth.ReadKeys(path); err != nil {
		t.Error(err)
	}
}
