// Package dirlock lets one process at a time use a directory. It knows nothing of its content.
//
// The lock is the kernel's (flock) on a file in the directory. It ends with its process, however that ends. Programs
// that the process starts do not inherit it. Directories that several machines mount, for example by NFS, are not
// supported.
package dirlock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// name is the file that is locked. It stays when the lock ends: if it were removed, two processes could lock it at
// once.
const name = "lock"

var (
	// ErrTaken means that another process has the directory.
	ErrTaken = errors.New("the directory is in use")
	// ErrGone means that the directory was removed or replaced while it was locked.
	ErrGone = errors.New("the directory was removed or replaced while it was in use")
)

// Lock gives this process a directory for itself.
type Lock struct {
	dir  string
	file *os.File
}

// Acquire locks a directory that exists, or fails at once: with ErrTaken if somebody else has it, this process
// included. The caller releases the lock.
func Acquire(dir string) (*Lock, error) {
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // G304: the caller's user names it
	if err != nil {
		return nil, fmt.Errorf("lock directory: %w", err)
	}
	l := &Lock{dir: dir, file: file}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case err == nil:
		err = l.Check() // somebody may have removed the file before it was locked
	case errors.Is(err, syscall.EWOULDBLOCK):
		err = ErrTaken
	case errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS):
		err = fmt.Errorf("%w: its file system has no locks: choose one on a local disk", err)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock directory %s: %w", dir, err), file.Close())
	}
	return l, nil
}

// Left reports whether a directory was once locked and is free now. If its owner removes some files whenever it ends
// in order, those that are still there are leftovers.
func Left(dir string) bool {
	file, err := os.Open(filepath.Join(dir, name)) //nolint:gosec // G304: the caller's user names it
	if err != nil {
		return false
	}
	defer file.Close() // this ends the lock too
	return syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil
}

// Check fails with ErrGone if the directory is no longer the one that was locked. Somebody else may then have
// locked what is in its place.
func (l *Lock) Check() error {
	held, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("look at lock: %w", err)
	}
	there, err := os.Stat(filepath.Join(l.dir, name))
	if errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(held, there) {
		return ErrGone
	}
	if err != nil {
		return fmt.Errorf("look at lock: %w", err)
	}
	return nil
}

// Release ends the lock.
func (l *Lock) Release() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("release directory %s: %w", l.dir, err)
	}
	return nil
}
