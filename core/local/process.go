package local

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// process is a child that runs until it is stopped or this process dies.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once the child has ended
}

// command builds a command that works in a directory and outlives the context that it is built with. ctx bounds the
// start of a server, not its life.
func command(ctx context.Context, dir, path string, args ...string) *exec.Cmd {
	//nolint:gosec // G204: paths come from find, arguments from this package
	cmd := exec.CommandContext(context.WithoutCancel(ctx), path, args...)
	cmd.Dir, cmd.Env = dir, environment()
	return cmd
}

// environment returns the environment of this process, with a locale in which Java finds files whose names are not
// ASCII.
func environment() []string { return append(os.Environ(), "LC_ALL=C.UTF-8") }

// Unset returns the environment of this process without the settings of some other sluice: no program that starts one of its
// own may be changed by them. What says which programs of this machine to run stays: RedisServerEnv, KafkaVersionEnv,
// and SLUICE_TEST_PROGRAM, by which tests run their own binary as sluice.
func Unset() []string {
	return slices.DeleteFunc(os.Environ(), func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return strings.HasPrefix(name, "SLUICE_") && name != RedisServerEnv && name != KafkaVersionEnv && name != "SLUICE_TEST_PROGRAM"
	})
}

// startProcess starts cmd in a process group of its own. A Ctrl-C in the terminal then reaches only this process,
// which stops its servers in order.
func startProcess(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = childAttr()
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// On Linux the kernel kills the child when the *thread* that started it ends. So this goroutine keeps its
		// thread until the child has ended. On a shared thread the child would die as soon as any goroutine ended
		// that had locked the thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait() // how it ended stays in cmd.ProcessState
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// runTool runs a program in a directory to its end. The program and its children end with ctx, and with this process.
func runTool(ctx context.Context, dir, path string, args ...string) error {
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // G204: as for command
	cmd.Dir, cmd.Env = dir, environment()
	cmd.SysProcAttr = childAttr()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	runtime.LockOSThread() // as in startProcess
	defer runtime.UnlockOSThread()
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run %s: %w\n%s", path, err, output)
	}
	return nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop asks the child to end, once or repeatedly. After grace it kills the child.
func (p *process) stop(grace time.Duration, repeatedly bool) error {
	deadline := time.After(grace)
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	if !repeatedly {
		again.Stop()
	}
	for {
		if err := p.signal(syscall.SIGTERM); err != nil {
			return err
		}
		select {
		case <-p.done:
			return nil
		case <-again.C:
		case <-deadline:
			return errors.Join(fmt.Errorf("%s did not stop within %s, killed", p.cmd.Path, grace), p.kill())
		}
	}
}

// kill ends the child with SIGKILL, like a crash, and waits until it is gone.
func (p *process) kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

func (p *process) signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.cmd.Path, err)
	}
	return nil
}

const (
	readyPoll = 10 * time.Millisecond
	readyMax  = 60 * time.Second // a cold JVM on a loaded machine needs a good part of it
	answerMax = 2 * time.Second  // for one question whether a server is ready
)

// errEnded says that a server ended instead of becoming ready.
var errEnded = errors.New("server ended while starting")

// waitReady polls until ready succeeds. It fails if the child ends first or time runs out. Then the child is gone.
func (p *process) waitReady(ctx context.Context, ready func(context.Context) error) error {
	err := poll(ctx, p.done, ready)
	switch {
	case errors.Is(err, errEnded):
		return fmt.Errorf("%s: %w: %s", p.cmd.Path, err, p.cmd.ProcessState)
	case err != nil:
		return errors.Join(fmt.Errorf("wait for %s: %w", p.cmd.Path, err), p.kill())
	}
	return nil
}

// poll calls ready until it succeeds. If ended closes first, the error is errEnded.
func poll(ctx context.Context, ended <-chan struct{}, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyMax)
	defer cancel()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	var last error // the last error of ready that came before time ran out
	for {
		attempt, cancel := context.WithTimeout(ctx, answerMax)
		err := ready(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ended:
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("%w; last answer: %w", ctx.Err(), cmp.Or(last, err))
		case <-tick.C:
		}
	}
}

// logTail returns the last lines of a log, for error messages.
func logTail(path string) string {
	const linesMax, bytesMax = 15, 4 << 10
	text, err := os.ReadFile(path) //nolint:gosec // G304: the log of a server that this package started
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	text = bytes.TrimSpace(text)
	text = text[max(0, len(text)-bytesMax):]
	lines := bytes.Split(text, []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-linesMax):], []byte("\n")))
}
