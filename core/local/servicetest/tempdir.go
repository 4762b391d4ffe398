package servicetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sluice/core/dirlock"
)

// tempDir is a directory with a lock that its living test binary holds. If nobody holds the lock, the test binary has
// died, and the next one removes the directory.
type tempDir struct {
	path string
	lock *dirlock.Lock
}

const tempPattern = "sluice-servicetest-"

func newTempDir() (*tempDir, error) {
	left, err := filepath.Glob(filepath.Join(os.TempDir(), tempPattern+"*"))
	if err != nil {
		return nil, err
	}
	for _, path := range left {
		// Its owner holds it, or somebody else has just removed it: leave it alone.
		if lock, err := dirlock.Acquire(path); err == nil {
			_ = (&tempDir{path, lock}).remove()
		}
	}
	// Lock it before it gets the name that others look for.
	fresh, err := os.MkdirTemp("", "new-"+tempPattern)
	if err != nil {
		return nil, fmt.Errorf("make directory of shared servers: %w", err)
	}
	lock, err := dirlock.Acquire(fresh)
	if err != nil {
		return nil, err
	}
	d := &tempDir{filepath.Join(os.TempDir(), filepath.Base(fresh)[len("new-"):]), lock}
	return d, os.Rename(fresh, d.path)
}

func (d *tempDir) remove() error {
	// First move it away from where others look: they would make its lock anew while it is being removed.
	gone := filepath.Join(filepath.Dir(d.path), "old-"+filepath.Base(d.path))
	if err := os.Rename(d.path, gone); err != nil {
		return errors.Join(fmt.Errorf("remove directory of shared servers: %w", err), d.lock.Release())
	}
	d.path = gone
	return errors.Join(os.RemoveAll(d.path), d.lock.Release())
}
