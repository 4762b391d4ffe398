package cli

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/cli/command"
	"sluice/core/auth"
)

// programEnv makes the test binary the program itself.
const programEnv = "SLUICE_TEST_PROGRAM"

// patience is how long a test waits for one thing. A program that does not do what its test waits for is ended then: a test
// binary that ran out of time would leave it running.
const patience = 5 * time.Minute

func programIfAsked() {
	if os.Getenv(programEnv) != "" {
		os.Exit(Run(os.Args[1:], command.NewConsole(os.Stdin, os.Stdout, os.Stderr, os.LookupEnv)))
	}
}

// program is a service in a process of its own.
type program struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *bufio.Scanner
	pipe io.ReadCloser
	said strings.Builder
}

// startProgram starts a service by a shell, after the lines of its prelude.
func startProgram(t *testing.T, prelude string, args ...string) *program {
	t.Helper()
	p := &program{t: t}
	p.cmd = exec.CommandContext(t.Context(), "sh", append([]string{"-c", prelude + "\nexec \"$0\" \"$@\"", os.Args[0]}, args...)...)
	p.cmd.Env = append(os.Environ(), programEnv+"=1")
	var err error
	if p.pipe, err = p.cmd.StderrPipe(); err != nil {
		t.Fatal(err)
	}
	p.log = bufio.NewScanner(p.pipe)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Wait() }) // it ends with the test's context
	return p
}

// bounded ends the program after the time that a test waits for it, unless the returned function is called before.
func (p *program) bounded() (waited func() bool) {
	return time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() }).Stop
}

// until reads the log up to a line with a text, and returns the line.
func (p *program) until(text string) string {
	p.t.Helper()
	defer p.bounded()()
	for p.log.Scan() {
		p.said.WriteString(p.log.Text() + "\n")
		if strings.Contains(p.log.Text(), text) {
			return p.log.Text()
		}
	}
	p.t.Fatalf("%q is missing in the log (%v):\n%s", text, p.log.Err(), p.said.String())
	return ""
}

// addressIn returns the address in a log line.
func addressIn(line string) string {
	_, addr, _ := strings.Cut(line, " addr=")
	addr, _, _ = strings.Cut(addr, " ")
	return addr
}

func (p *program) signal(signals ...syscall.Signal) {
	p.t.Helper()
	for _, s := range signals {
		if err := p.cmd.Process.Signal(s); err != nil {
			p.t.Fatal(err)
		}
	}
}

// drain reads the log up to its end: else the program waits for the pipe.
func (p *program) drain() {
	for p.log.Scan() {
		p.said.WriteString(p.log.Text() + "\n")
	}
}

// end waits for the end of the program, and is its exit code; -1 if a signal has ended it.
func (p *program) end() int {
	p.t.Helper()
	defer p.bounded()()
	p.drain()
	_ = p.cmd.Wait() // its error is the exit code
	return p.cmd.ProcessState.ExitCode()
}

// service is a deployment's flags for a service, with a free port for each address.
func (d *deployment) service(name string) []string {
	d.t.Helper()
	keys := filepath.Join(d.t.TempDir(), "keys.json")
	key, err := auth.GenerateKey(auth.HS256)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := auth.WriteKeys(keys, key); err != nil {
		d.t.Fatal(err)
	}
	flags := map[string]string{
		"--listen": "127.0.0.1:0", "--ops-listen": "127.0.0.1:0", "--data-dir": d.t.TempDir(), "--token-key-file": keys,
	}
	for flag, value := range d.flags {
		flags[flag] = value
	}
	args := []string{name, "--log-format=text"}
	for _, leaf := range model().Leaves(false) {
		if leaf.Path() != name && (leaf.Parent.DefaultCmd != leaf || leaf.Parent.Path() != name) {
			continue
		}
		for _, f := range leaf.Flags {
			if value, ok := flags["--"+f.Name]; ok {
				args = append(args, "--"+f.Name+"="+value)
			}
		}
	}
	return args
}

// TestServicesDrainAtEachSignal ends services by each signal that asks for it, SIGHUP twice, as a closed terminal
// sends it. A request that the edge has begun to read is answered.
func TestServicesDrainAtEachSignal(t *testing.T) {
	t.Parallel()
	// Where the tests run under nohup, SIGHUP is ignored, and would be by the services. A signal that this process handles is
	// handed on as the default.
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(handled) })
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	for name, signals := range map[string][]syscall.Signal{
		"SIGINT": {syscall.SIGINT}, "SIGTERM": {syscall.SIGTERM}, "SIGHUP twice": {syscall.SIGHUP, syscall.SIGHUP},
		"SIGTERM and SIGHUP, as systemd can": {syscall.SIGTERM, syscall.SIGHUP},
	} {
		t.Run("edge, "+name, func(t *testing.T) {
			t.Parallel()
			p := startProgram(t, "", d.service("edge")...)
			c, err := net.Dial("tcp", addressIn(p.until("edge is up")))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := fmt.Fprint(c, "GET /v1/stock/1 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			answers := bufio.NewReader(c)
			answer, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			p.signal(signals...)
			p.until("draining")
			if code := p.end(); code != command.ExitDone || !strings.Contains(p.said.String(), "drained") {
				t.Errorf("exit code %d, and it said\n%s", code, p.said.String())
			}
		})
		t.Run("persister, "+name, func(t *testing.T) {
			t.Parallel()
			p := startProgram(t, "", d.service("persister")...)
			p.until("persister is up")
			p.signal(signals...)
			p.until("draining")
			if code := p.end(); code != command.ExitDone || !strings.Contains(p.said.String(), "drained") {
				t.Errorf("exit code %d, and it said\n%s", code, p.said.String())
			}
		})
	}
}

// TestNohup starts a service as nohup does.
func TestNohup(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	p := startProgram(t, "trap '' HUP", d.service("persister")...)
	p.until("persister is up")
	p.signal(syscall.SIGHUP, syscall.SIGTERM)
	p.until("draining")
	if code := p.end(); code != command.ExitDone {
		t.Errorf("exit code %d", code)
	}
}

// TestServiceOutlivesItsReader closes the pipe of a service's log, which then has more to say.
func TestServiceOutlivesItsReader(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	for _, name := range []string{"edge", "persister"} {
		p := startProgram(t, "", d.service(name)...)
		p.until(name + " is up")
		_ = p.pipe.Close()
		p.signal(syscall.SIGTERM)
		if code := p.end(); code != command.ExitDone {
			t.Errorf("%s: exit code %d", name, code)
		}
	}
}

// TestTooFewFiles starts edges that may have fewer open files than they are to have connections.
func TestTooFewFiles(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	for _, c := range []struct {
		limits string
		said   string
		code   int
	}{
		{"ulimit -Sn 600", "edge is up", command.ExitDone}, // the hard limit is enough
		{"ulimit -n 700", "connections_max=10000 connections=188 files=700", command.ExitDone},
		{"ulimit -n 300", "the process may have 300 open files, and needs more than 512", command.ExitFailed},
	} {
		p := startProgram(t, c.limits, d.service("edge")...)
		p.until(c.said)
		if c.code == command.ExitDone { // all others end by themselves
			if !strings.Contains(p.said.String(), "edge is up") {
				p.until("edge is up")
			}
			p.signal(syscall.SIGTERM)
		}
		if code := p.end(); code != c.code {
			t.Errorf("%s: exit code %d, and it said\n%s", c.limits, code, p.said.String())
		}
	}
}
