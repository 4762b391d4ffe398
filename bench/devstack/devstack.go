// Package devstack starts a sluice dev for programs of the bench: the binary, built from the sources, with servers and data of
// its own on loopback.
package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"sluice/core/local"
	"sluice/core/telemetry"
)

// Stack is a running sluice dev.
type Stack struct {
	Dir string // of everything that it makes; whoever started it may use it too

	binary  string
	program *local.Program
}

// Start builds the binary and starts it. The caller stops it.
func Start(ctx context.Context, name string) (*Stack, error) {
	dir, err := os.MkdirTemp("", "sluice-"+name+"-")
	if err != nil {
		return nil, err
	}
	s := &Stack{Dir: dir, binary: filepath.Join(dir, "sluice")}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) error {
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", s.binary, "sluice").CombinedOutput(); err != nil {
		return fmt.Errorf("build sluice: %w\n%s", err, out)
	}
	var err error
	s.program, err = local.StartProgram(ctx, s.Dir, local.ProgramOptions{
		Path: s.binary, Args: []string{"dev"}, Addrs: 5, Grace: time.Minute,
		Env: s.env,
		Ready: func(ctx context.Context, addrs []string) error {
			if _, err := os.Stat(s.DevFile()); err != nil { // its last step
				return err
			}
			return telemetry.AskReady(ctx, addrs[1])
		},
	})
	return err
}

// env is what sluice dev is told. No setting of this process's environment is among it.
func (s *Stack) env(addrs []string) []string {
	return append(local.Unset(), "SLUICE_DEV_DIR="+s.dataDir(), "SLUICE_LISTEN="+addrs[0], "SLUICE_OPS_LISTEN="+addrs[1],
		"SLUICE_DEV_LISTEN="+addrs[2], "SLUICE_CATALOG_LISTEN="+addrs[3], "SLUICE_CATALOG_OPS_LISTEN="+addrs[4])
}

// Stop stops it and removes what it has made.
func (s *Stack) Stop() error { return errors.Join(s.program.Stop(), os.RemoveAll(s.Dir)) }

// EdgeURL is where its edge serves.
func (s *Stack) EdgeURL() string { return "http://" + s.program.Addrs[0] }

// CatalogURL is where its shop serves.
func (s *Stack) CatalogURL() string { return "http://" + s.program.Addrs[3] }

// MessagesURL is where its shop shows the messages that it would send.
func (s *Stack) MessagesURL() string { return "http://" + s.program.Addrs[4] + "/messages" }

// DevFile is the file with its addresses.
func (s *Stack) DevFile() string { return filepath.Join(s.dataDir(), "dev.json") }

func (s *Stack) dataDir() string { return filepath.Join(s.Dir, "data") }

// Sluice runs a command to its end and returns what it printed.
func (s *Stack) Sluice(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Env = append(local.Unset(), "SLUICE_DEV_FILE="+s.DevFile())
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("sluice %s: %w\n%s%s", strings.Join(args, " "), err, out, errs.Bytes())
	}
	return string(bytes.TrimSpace(out)), nil
}
