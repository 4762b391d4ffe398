package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Earlier builds the program as it was before a file came into the checkout at top, once per user, and returns its
// path. If the checkout's history does not go back so far, the error is a *MissingError.
func Earlier(ctx context.Context, top, file string) (string, error) {
	const program = "sluice"
	git, err := find("git", "git")
	if err != nil {
		return "", err
	}
	commit, err := before(ctx, git, top, file)
	if err != nil {
		return "", err
	}
	dir, err := cached(ctx, program+"-"+commit, func(ctx context.Context, dir string) error {
		goTool, err := find("go", "Go")
		if err != nil {
			return err
		}
		source, packed := filepath.Join(dir, "source"), filepath.Join(dir, "source.tar")
		if err := os.Mkdir(source, 0o700); err != nil {
			return fmt.Errorf("build %s of %s: %w", program, commit, err)
		}
		for _, step := range [][]string{
			{top, git, "archive", "--format=tar", "--output=" + packed, commit},
			{source, "tar", "-xf", packed},
			{source, goTool, "build", "-buildvcs=false", "-o", filepath.Join(dir, program), "."},
		} {
			if err := runTool(ctx, step[0], step[1], step[2:]...); err != nil {
				return fmt.Errorf("build %s of %s: %w", program, commit, err)
			}
		}
		return errors.Join(os.RemoveAll(source), os.Remove(packed))
	})
	return filepath.Join(dir, program), err
}

// before is the commit before the one that added a file.
func before(ctx context.Context, git, top, file string) (string, error) {
	ask := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, git, append([]string{"-C", top}, args...)...).Output() //nolint:gosec // G204: as for command
		return strings.TrimSpace(string(out)), err
	}
	commit, err := ask("log", "-1", "--diff-filter=A", "--format=%H", "--", file)
	if err == nil && commit != "" {
		commit, err = ask("rev-parse", "--verify", "--quiet", commit+"^")
	}
	if err != nil || commit == "" {
		return "", &MissingError{Program: "the version before " + file, Install: "the whole history of the checkout (git fetch --unshallow)"}
	}
	return commit, nil
}
