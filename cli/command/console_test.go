package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/core/ledger"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/core/text"
)

func TestConfirmWantsTheAnswer(t *testing.T) {
	t.Parallel()
	for typed, ok := range map[string]bool{"1001\n": true, "1001\r\n": true, "1001": true, "y\n": false, "\n": false, "": false, "10011\n": false} {
		var asked bytes.Buffer
		c := &Console{In: strings.NewReader(typed), Err: &asked, InIsTerminal: true, ErrIsTerminal: true}
		if err := c.Confirm(t.Context(), "Sure?", "1001"); (err == nil) != ok {
			t.Errorf("typed %q: %v", typed, err)
		}
		if !strings.Contains(asked.String(), "Sure?\nType 1001") {
			t.Errorf("asked %q", asked.String())
		}
	}
	c := &Console{In: strings.NewReader("1001\n"), Err: &bytes.Buffer{}, ErrIsTerminal: true}
	if err := c.Confirm(t.Context(), "Sure?", "1001"); ExitCode(t.Context(), err) != ExitUsage || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("without a terminal: %v", err)
	}
}

// Texts of old rows or of servers must not act on the terminal that shows them.
func TestTextsOfAnybodyShowThemselves(t *testing.T) {
	t.Parallel()
	const hostile = "a\x1b[2Jb\u009b2Kc\u202ed\u2028e\U000E0041f\ng\xff"
	const want = `a\u001b[2Jb\u009b2Kc\u202ed\u2028e\udb40\udc41f\u000ag\xff`
	for name, show := range map[string]func(c *Console){
		"result":   func(c *Console) { c.Printf("%s", hostile) },
		"word":     func(c *Console) { c.Printf("%v", sale.Phase(hostile)) },
		"note":     func(c *Console) { c.Notef("%s", hostile) },
		"question": func(c *Console) { _ = c.Confirm(t.Context(), hostile, "x") },
		"paint":    func(c *Console) { c.Printf("%s", c.paint(red, hostile)) },
		"event": func(c *Console) {
			(&reservationReport{Ledger: []ledger.Event{{Reason: hostile}}}).print(c)
		},
		"sale":    func(c *Console) { printSale(c, &sale.Sale{Plan: sale.Plan{Name: hostile}}) },
		"finding": func(c *Console) { e := examination{}; e.fail("x", hostile, "y"); e.print(c) },
	} {
		var out bytes.Buffer
		c := &Console{In: strings.NewReader(""), Out: &out, Err: &out, InIsTerminal: true, ErrIsTerminal: true}
		show(c)
		if !strings.Contains(out.String(), want) || strings.ContainsFunc(out.String(), func(r rune) bool { return r != '\n' && !text.Plain(r) }) {
			t.Errorf("%s: %q", name, out.String())
		}
	}
	var out bytes.Buffer
	c := &Console{Out: &out, Err: &out}
	c.Notef("%v", errors.Join(errors.New("one\u009b"), errors.New("two")))
	if got, want := out.String(), "one\\u009b\ntwo\n"; got != want {
		t.Errorf("errors: %q, want %q", got, want)
	}
	out.Reset()
	if err := c.JSON(map[string]string{"reason": "a\u202eb\u009b\U000E0041"}); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "{\n  \"reason\": \"a\\u202eb\\u009b\\udb40\\udc41\"\n}\n"; got != want {
		t.Errorf("JSON: %q, want %q", got, want)
	}
}

func TestColor(t *testing.T) {
	t.Parallel()
	if got := (&Console{Color: true}).paint(red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("coloured: %q", got)
	}
	if got := (&Console{}).paint(red, "x"); got != "x" {
		t.Errorf("plain: %q", got)
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0) // a character device, as terminals are
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, none := range []*os.File{file, null} {
		if c := NewConsole(none, none, none, os.LookupEnv); c.Color || c.InIsTerminal || c.ErrIsTerminal {
			t.Errorf("%s is no terminal: %+v", none.Name(), c)
		}
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal to be had: %v", err)
	}
	defer terminal.Close()
	for env, want := range map[string]bool{"": true, "NO_COLOR=": true, "NO_COLOR=1": false, "TERM=dumb": false, "TERM=xterm": true} {
		lookup := func(key string) (string, bool) {
			if name, value, _ := strings.Cut(env, "="); name == key {
				return value, true
			}
			return "", false
		}
		if c := NewConsole(terminal, terminal, terminal, lookup); c.Color != want {
			t.Errorf("with %q: colour %v", env, c.Color)
		}
	}
}

func TestWrittenTellsOfLostResults(t *testing.T) {
	t.Parallel()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	c := NewConsole(file, file, file, os.LookupEnv)
	c.Printf("a")
	if err := c.Written(); err != nil {
		t.Errorf("after a write: %v", err)
	}
	_ = file.Close()
	c.Printf("b")
	if err := c.Written(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after a write to a closed file: %v", err)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	var done int64
	for _, c := range []struct {
		terminal bool
		total    int64
		want     []string
	}{
		{true, 1000, []string{"\r\x1b[K", "[######..................]  25%, 2,000 lines, 1,000/s, 6s left"}},
		{true, 0, []string{"\r\x1b[K", "2,000 lines, 1,000/s"}},
		{false, 1000, []string{"loading: 62%, 5,000 lines, 1,000/s, 3s left\n"}},
		{false, 0, []string{"loading: 5,000 lines, 1,000/s\n"}},
	} {
		var out bytes.Buffer
		now, done = time.Unix(0, 0), 0
		p := &progress{c: &Console{Err: &out, ErrIsTerminal: c.terminal}, total: c.total, done: func() int64 { return done }, now: func() time.Time { return now }}
		p.begin()
		for second := int64(1); second <= 5; second++ {
			now, done = now.Add(time.Second), second*125
			p.show(second * 1000)
		}
		p.clear()
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("terminal %v, total %d: %q lacks %q", c.terminal, c.total, out.String(), want)
			}
		}
		if c.terminal != strings.Contains(out.String(), "\r") {
			t.Errorf("terminal %v: %q", c.terminal, out.String())
		}
	}
}

// TestStepProgress says how long a plan will take, if that is long.
func TestStepProgress(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	began := time.Unix(0, 0)
	s := stepProgress{c: &Console{Err: &out}, all: 1200, began: began}
	for done := 1; done <= s.all; done++ {
		s.tell(done, began.Add(time.Duration(done)*10*time.Millisecond))
	}
	if got, want := out.String(), "500 of 1,200 steps, about 7s left\n1,000 of 1,200 steps, about 2s left\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", 100: "100", -100: "-100"} {
		if got := number(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	goes := t.Context()
	ended, end := context.WithCancel(t.Context())
	end()
	failed := errors.New("x")
	for _, c := range []struct {
		err               error
		want, interrupted int
	}{
		{nil, ExitDone, ExitDone},
		{failed, ExitFailed, ExitFailed},
		{usage(failed), ExitUsage, ExitUsage},
		{fmt.Errorf("x: %w", notFound(failed)), ExitNotFound, ExitNotFound},
		{errors.Join(failed, refused(failed)), ExitRefused, ExitRefused},
		{codedError{failed, ExitDrift}, ExitDrift, ExitDrift},
		{fmt.Errorf("x: %w", stock.ErrUnknown), ExitUnknown, ExitInterrupted},
		{fmt.Errorf("x: %w: %w", stock.ErrUnknown, context.Canceled), ExitUnknown, ExitInterrupted},
		{fmt.Errorf("x: %w", context.Canceled), ExitFailed, ExitInterrupted}, // by something else than a signal
		{inPart(fmt.Errorf("x: %w", context.Canceled)), ExitFailed, ExitInterrupted},
	} {
		if got := ExitCode(goes, c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
		if got := ExitCode(ended, c.err); got != c.interrupted {
			t.Errorf("%v after a signal: %d, want %d", c.err, got, c.interrupted)
		}
	}
}

// A signal ends what waits for somebody who types nothing, or for a pipe into which nobody writes.
func TestWaitsForInputEndWithASignal(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	for name, wait := range map[string]func(context.Context, *Console) error{
		"question": func(ctx context.Context, c *Console) error { return c.Confirm(ctx, "Sure?", "1001") },
		"standard input": func(ctx context.Context, c *Console) error {
			in, _, err := c.input(ctx, "-", "file")
			if err == nil {
				_, err = in.Read(make([]byte, 10))
			}
			return err
		},
		"pipe with a name": func(ctx context.Context, c *Console) error {
			in, _, err := c.input(ctx, fifo, "file")
			if err == nil {
				defer in.Close()
				_, err = in.Read(make([]byte, 10))
			}
			return err
		},
	} {
		in, typed := io.Pipe()
		ctx, interrupt := context.WithCancel(t.Context())
		c := &Console{In: in, Err: io.Discard, InIsTerminal: true, ErrIsTerminal: true}
		ended := make(chan error, 1)
		go func() { ended <- wait(ctx, c) }()
		interrupt()
		if err := <-ended; ExitCode(ctx, err) != ExitInterrupted {
			t.Errorf("%s: %v", name, err)
		}
		_ = typed.Close()
	}
}

// Every verdict has words of its own for an operator who may get it.
func TestExplain(t *testing.T) {
	t.Parallel()
	for v := range stock.Verdict(stock.Verdicts) {
		if text := explain(v); !strings.HasPrefix(text, "refused: ") {
			t.Errorf("%v: %q", v, text)
		}
	}
	if text := Explain(fmt.Errorf("x: %w", stock.ErrShut)).Error(); !strings.Contains(text, "start an edge") {
		t.Errorf("shut: %q", text)
	}
	var out strings.Builder
	c := &Console{Err: &out}
	c.Notef("warning: %v", Explain(fmt.Errorf("\x1b: %w", stock.ErrShut)))
	if lines := strings.Split(out.String(), "\n"); len(lines) != 3 || strings.Contains(out.String(), "\x1b") || strings.Contains(out.String(), `\u000a`) {
		t.Errorf("the remedy is not in a line of its own: %q", out.String())
	}
}
