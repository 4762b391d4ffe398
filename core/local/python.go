package local

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
)

// PythonTool installs packages of PyPI, once per user and list of packages. It returns the directory that Python
// needs as PYTHONPATH. The requirements are lines as pip takes them, each with its version.
func PythonTool(ctx context.Context, name, requirements string) (string, error) {
	sum := sha256.Sum256([]byte(requirements))
	return cached(ctx, fmt.Sprintf("%s-%x", name, sum[:4]), func(ctx context.Context, dir string) error {
		pip, err := find("pip3", installPipHint)
		if err != nil {
			return err
		}
		list := filepath.Join(dir, "requirements.txt")
		if err := os.WriteFile(list, []byte(requirements), 0o600); err != nil {
			return fmt.Errorf("write requirements: %w", err)
		}
		err = runTool(ctx, dir, pip, "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-deps",
			"--only-binary=:all:", "--target="+dir, "--requirement="+list)
		if err != nil {
			return fmt.Errorf("install %s with pip: %w", name, err)
		}
		return nil
	})
}
