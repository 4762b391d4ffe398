package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is one running role of the binary.
type Process struct {
	Addr    string // where an edge serves shoppers
	OpsAddr string

	Env []string // of its next start

	name   string
	path   string
	args   []string
	ready  func(context.Context) error
	cmd    *exec.Cmd
	log    *logBuffer
	exited chan struct{}
	err    error // of Wait, once exited is closed
}

const (
	readyWithin = time.Minute
	stopWithin  = time.Minute
)

// NewProcess prepares a program to be started on a free address.
func NewProcess(t testing.TB, name, path string, args ...string) *Process {
	t.Helper()
	return &Process{Addr: freeAddress(t), OpsAddr: freeAddress(t), Env: os.Environ(), name: name, path: path, args: args, log: &logBuffer{}}
}

// Start starts the process and waits until it is ready. It ends with the test at the latest, and the test
// fails if it does not end in good order.
func (p *Process) Start(t testing.TB, ready func(context.Context) error) {
	t.Helper()
	p.ready = ready
	t.Cleanup(func() {
		select {
		case <-p.exited:
		default:
			if err := p.Stop(); err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", p.name, p.log)
		}
	})
	p.Restart(t)
}

// Restart starts the process again after its end, with the same settings, and waits until it is ready.
func (p *Process) Restart(t testing.TB) {
	t.Helper()
	p.cmd = exec.Command(p.path, p.args...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = p.Env, p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, p.cmd.Start())
	exited := make(chan struct{})
	p.exited = exited
	go func() {
		p.err = p.cmd.Wait()
		close(exited)
	}()
	p.waitReady(t)
}

func (p *Process) waitReady(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.ready(ctx)
		if err == nil {
			return
		}
		select {
		case <-p.exited:
			t.Fatalf("%s ended at its start: %v\n%s", p.name, p.err, p.log)
		case <-ctx.Done():
			t.Fatalf("%s was not ready within %v: %v\n%s", p.name, readyWithin, err, p.log)
		case <-tick.C:
		}
	}
}

// opsReady asks a role's ops port whether it is ready.
func (p *Process) opsReady(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.OpsAddr+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %s", answer.Status)
	}
	return nil
}

// Kill ends the process at once, as a crash would.
func (p *Process) Kill() error {
	err := p.cmd.Process.Kill()
	<-p.exited
	return err
}

// Stop asks the process to drain and end, and reports if it did not do so in good order.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.exited:
	case <-time.After(stopWithin):
		return errors.Join(fmt.Errorf("%s did not end within %v of SIGTERM", p.name, stopWithin), p.Kill())
	}
	if p.err != nil {
		return fmt.Errorf("%s ended badly: %w\n%s", p.name, p.err, p.log)
	}
	return nil
}

// CPU is the processor time that the process has used so far.
func (p *Process) CPU() (time.Duration, error) { return CPU(p.cmd.Process.Pid) }

// CPU is the processor time that a process of this machine has used so far, from /proc.
func CPU(pid int) (time.Duration, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	_, after, _ := bytes.Cut(text, []byte(") ")) // the name before it may hold spaces
	fields := strings.Fields(string(after))
	const utime, stime = 11, 12
	if len(fields) <= stime {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, text)
	}
	user, err1 := strconv.ParseInt(fields[utime], 10, 64)
	system, err2 := strconv.ParseInt(fields[stime], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

func freeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// logBuffer keeps the end of what a process printed.
type logBuffer struct {
	mu   sync.Mutex
	text []byte
}

const logBytesMax = 64 << 10

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	if over := len(b.text) - logBytesMax; over > 0 {
		b.text = b.text[over:]
	}
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}
