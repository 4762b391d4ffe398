package local

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// ProgramOptions say how StartProgram starts a program.
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

// Program is a running program other than the servers, for example a role of sluice.
type Program struct {
	server
	Addrs []string // host:port each; the same after a restart
}

// StartProgram starts a program with its log in dir and waits until it is ready. If the program ends because somebody
// has just taken one of its addresses, StartProgram starts it again with other addresses.
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

// Done is closed once the program has ended.
func (p *Program) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc.done
}

// Log returns the end of the program's output.
func (p *Program) Log() string { return logTail(p.log) }
