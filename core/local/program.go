package local

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// ProgramOptions say what StartProgram starts.
type ProgramOptions struct {
	Path string
	Args []string
	// Addrs is how many free addresses the program listens on.
	Addrs int
	// Env is the program's whole environment.
	Env func(addrs []string) []string
	// Ready is nil once the program serves.
	Ready func(ctx context.Context, addrs []string) error
	// Grace is how long an orderly stop may take before the program is killed.
	Grace time.Duration
}

// Program is a running program that is none of the servers: a role of sluice, say.
type Program struct {
	server
	Addrs []string // host:port each; the same after a restart
}

// StartProgram starts a program with its log in dir and waits until it is ready. A program that ends
// because one of its addresses was taken a moment before is started again with others.
func StartProgram(ctx context.Context, dir string, o ProgramOptions) (*Program, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of program: %w", err)
	}
	p := &Program{}
	p.server = server{
		log:   filepath.Join(dir, filepath.Base(o.Path)+".log"),
		grace: o.Grace,
		command: func(ctx context.Context) *exec.Cmd {
			cmd := command(ctx, "", o.Path, o.Args...)
			cmd.Env = o.Env(p.Addrs)
			return cmd
		},
		ready: func(ctx context.Context, _ int) error { return o.Ready(ctx, p.Addrs) },
	}
	err := p.startOnFreePorts(ctx, func() error {
		p.Addrs = nil
		for range o.Addrs {
			port, err := FreePort(ctx)
			if err != nil {
				return err
			}
			p.Addrs = append(p.Addrs, address(port))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ExitCode is the code with which the program ended: -1 while it runs, or if a signal ended it.
func (p *Program) ExitCode() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.proc.done:
		return p.proc.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

// Log is the end of what the program printed.
func (p *Program) Log() string { return logTail(p.log) }
