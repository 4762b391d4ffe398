package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// errNoCache means that the user has no place to keep files, for example no home.
var errNoCache = errors.New("there is no cache directory")

// cached returns a directory of the user's cache. The first caller makes it with make. Other processes that need it
// wait meanwhile. The directory gets its name when it is complete.
func cached(ctx context.Context, name string, make func(ctx context.Context, dir string) error) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoCache, err)
	}
	parent := filepath.Join(cache, "sluice")
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", fmt.Errorf("%w: %w", errNoCache, err)
	}
	dir := filepath.Join(parent, name)
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // G304: in the user's cache
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoCache, err)
	}
	defer lock.Close() // which also unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock cache directory: %w", err)
	}
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	fresh := dir + ".new"
	if err := errors.Join(os.RemoveAll(fresh), os.Mkdir(fresh, 0o700)); err != nil {
		return "", fmt.Errorf("make cache directory: %w", err)
	}
	if err := make(ctx, fresh); err != nil {
		return "", err
	}
	return dir, os.Rename(fresh, dir)
}
