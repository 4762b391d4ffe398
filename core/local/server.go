package local

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

const host = "127.0.0.1"

// server is one process that can be stopped, killed and started again, at the same address and with its data. All kinds
// of servers embed it.
type server struct {
	log     string                                   // path of its log, which has its output
	grace   time.Duration                            // for an orderly stop, before it is killed
	command func(ctx context.Context) *exec.Cmd      // to start it
	ready   func(ctx context.Context, pid int) error // returns nil once this very process serves
	nudge   bool                                     // ask it to stop again and again until it does

	mu   sync.Mutex
	proc *process // nil before the first start
}

// Restart stops the server if it runs and starts it again, at the same address
// and with the same data.
func (s *server) Restart(ctx context.Context) error {
	if err := s.Stop(); err != nil {
		return err
	}
	return s.start(ctx)
}

// Stop ends the server in an orderly way. A server that has ended already is no
// error.
func (s *server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	return s.proc.stop(s.grace, s.nudge)
}

// Kill ends the server with SIGKILL, as a crash would, and returns when it is
// gone.
func (s *server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	return s.proc.kill()
}

// PID returns the process id of the server's last start, 0 before the first.
func (s *server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.pid()
}

// Ended returns a channel that closes once the process of the server's last start has ended.
func (s *server) Ended() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.done
}

func (s *server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log of server: %w", err)
	}
	defer log.Close() // the child has its own descriptor
	cmd := s.command(ctx)
	cmd.Stdout, cmd.Stderr = log, log
	proc, err := startProcess(cmd)
	if err != nil {
		return err
	}
	s.proc = proc
	err = proc.waitReady(ctx, func(ctx context.Context) error { return s.ready(ctx, proc.pid()) })
	if err != nil {
		return fmt.Errorf("%w; last lines of its log %s:\n%s", err, s.log, logTail(s.log))
	}
	return nil
}

// startOnFreePorts lets choose write a configuration with new ports, and starts the server. If somebody else takes a
// port in between, the server ends, and startOnFreePorts tries other ports.
func (s *server) startOnFreePorts(ctx context.Context, choose func() error) error {
	const triesMax = 10
	var err error
	for range triesMax {
		if err := choose(); err != nil {
			return err
		}
		err = s.start(ctx)
		if !errors.Is(err, errEnded) || !strings.Contains(strings.ToLower(err.Error()), "address already in use") {
			return err
		}
	}
	return fmt.Errorf("no free port in %d tries: %w", triesMax, err)
}

// FreePort returns a port of 127.0.0.1 that was free a moment ago. It is below the range that kernels use for
// outgoing connections, so a killed server finds its port free when it restarts.
func FreePort(ctx context.Context) (int, error) {
	const low, high, triesMax = 15000, 32000, 100
	var err error
	for range triesMax {
		port := low + rand.IntN(high-low) //nolint:gosec // G404: needs no secrecy
		var listener net.Listener
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", address(port)); err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("no free port between %d and %d in %d tries: %w", low, high, triesMax, err)
}

func address(port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
