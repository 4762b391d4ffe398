package local

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// GoTool builds a program from the Go module proxy, once per user and version, and returns its path. The package is
// given as for go install, with its version.
func GoTool(ctx context.Context, pkg string) (string, error) {
	path, version, _ := strings.Cut(pkg, "@")
	name := filepath.Base(path)
	dir, err := cached(ctx, name+"-"+version, func(ctx context.Context, dir string) error {
		goTool, err := find("go", "Go")
		if err != nil {
			return err
		}
		// A flag that is meant for sluice's own module would stand in the way.
		if err := runTool(ctx, dir, "env", "GOBIN="+dir, "GOFLAGS=", goTool, "install", pkg); err != nil {
			return fmt.Errorf("build %s: %w", pkg, err)
		}
		return nil
	})
	return filepath.Join(dir, name), err
}
