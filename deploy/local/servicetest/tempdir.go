package servicetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// tempDir is a directory whose lock is held by a living test binary. One without
// a holder was left by a test binary that died, and is removed by the next.
type tempDir struct {
	path string
	lock *os.File
}

const tempPattern = "sluice-servicetest-"

func newTempDir() (*tempDir, error) {
	left, err := filepath.Glob(filepath.Join(os.TempDir(), tempPattern+"*"))
	if err != nil {
		return nil, err
	}
	for _, path := range left {
		// Held by its owner, or removed by somebody else just now: no concern of ours.
		if d, err := lockDir(path); err == nil {
			_ = d.remove()
		}
	}
	// Locked before it has the name that others look for.
	fresh, err := os.MkdirTemp("", "new-"+tempPattern)
	if err != nil {
		return nil, fmt.Errorf("make directory of shared servers: %w", err)
	}
	d, err := lockDir(fresh)
	if err != nil {
		return nil, err
	}
	d.path = filepath.Join(os.TempDir(), filepath.Base(fresh)[len("new-"):])
	return d, os.Rename(fresh, d.path)
}

func lockDir(path string) (*tempDir, error) {
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), lock.Close())
	}
	return &tempDir{path: path, lock: lock}, nil
}

func (d *tempDir) remove() error {
	// First away from where others look: they would make its lock anew while it is being removed.
	gone := filepath.Join(filepath.Dir(d.path), "old-"+filepath.Base(d.path))
	if err := os.Rename(d.path, gone); err != nil {
		return errors.Join(fmt.Errorf("remove directory of shared servers: %w", err), d.lock.Close())
	}
	d.path = gone
	return errors.Join(os.RemoveAll(d.path), d.lock.Close())
}
