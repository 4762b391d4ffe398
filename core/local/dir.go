package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// pathMax is the longest path of a directory that all servers accept. mariadbd has room for 512 bytes, which include
// the names of its files.
const pathMax = 400

// ErrDir means that a server cannot use a directory. Another directory helps.
var ErrDir = errors.New("choose another directory")

// makeDir makes the directory of a server and returns its absolute path.
func makeDir(server, dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find directory of %s: %w", server, err)
	}
	if len(dir) > pathMax {
		return "", fmt.Errorf("the path %s has %d bytes, and %s takes %d: %w", dir, len(dir), server, pathMax, ErrDir)
	}
	err = os.MkdirAll(dir, 0o700)
	if errors.Is(err, fs.ErrPermission) {
		return "", fmt.Errorf("make directory of %s: %w: %w", server, err, ErrDir)
	}
	if err != nil {
		return "", fmt.Errorf("make directory of %s: %w", server, err)
	}
	return dir, nil
}

// makeRedisDir refuses a path that redis-server would take for a pattern. The server would find no configuration, and
// serve at its default port.
func makeRedisDir(dir string) (string, error) {
	dir, err := makeDir("redis", dir)
	if err == nil && strings.ContainsAny(dir, "*?[") {
		err = fmt.Errorf("redis-server takes the *, ? and [ of %s for a pattern: %w", dir, ErrDir)
	}
	return dir, err
}
