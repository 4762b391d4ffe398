package stack

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"sluice/core/local"
)

// Process is a program that a test runs beside itself, on addresses of its own.
type Process struct {
	*local.Program
	name string
}

const stopWithin = time.Minute

// StartProcess starts a program and waits until it is ready. It ends with the test at the latest; a test
// that has not killed it fails if it does not end in good order then.
func StartProcess(t testing.TB, name string, o local.ProgramOptions) *Process {
	t.Helper()
	o.Grace = stopWithin
	program, err := local.StartProgram(t.Context(), t.TempDir(), o)
	must(t, err)
	p := &Process{Program: program, name: name}
	t.Cleanup(func() {
		if p.running() {
			if err := p.Stop(); err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", p.name, p.Log())
		}
	})
	return p
}

// Addr is where an edge serves shoppers.
func (p *Process) Addr() string { return p.Addrs[0] }

// Stop asks the process to drain and end, and reports if it did not do so in good order.
func (p *Process) Stop() error {
	if err := p.Program.Stop(); err != nil {
		return err
	}
	if code := p.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with exit code %d", p.name, code)
	}
	return nil
}

func (p *Process) running() bool {
	_, err := p.CPU()
	return err == nil
}

// CPU is the processor time that the process has used so far.
func (p *Process) CPU() (time.Duration, error) { return local.CPU(p.PID()) }

// Memory is how many bytes of memory the process uses, from /proc.
func (p *Process) Memory() (int64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID()) + "/statm")
	if err != nil {
		return 0, err
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0, fmt.Errorf("/proc/%d/statm: %q: %w", p.PID(), text, err)
	}
	return resident * int64(os.Getpagesize()), nil
}
