package local

import (
	"fmt"
	"syscall"
)

// Room returns the number of bytes that this user can still write below a directory.
func Room(dir string) (int64, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, fmt.Errorf("ask for the room on the disk of %s: %w", dir, err)
	}
	return int64(disk.Bavail) * int64(disk.Bsize), nil //nolint:unconvert // the type differs between systems
}
