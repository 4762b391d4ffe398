// Package command has the commands of an operator: look at stock, change it, run sales, make tokens, check a
// deployment. It is a thin shell over core, and holds no rules of its own.
package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"golang.org/x/term"

	"sluice/core/text"
)

// Console is how a command talks to its user: results on Out, everything else on Err.
type Console struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer

	// ErrIsTerminal and InIsTerminal say whether a person reads Err, and can answer on In.
	ErrIsTerminal, InIsTerminal bool
	// Color is true if Out may have colors.
	Color bool

	// Between is called by an edge before each step of a basket. Only programs of tests set it.
	Between func(stage string)
}

// NewConsole returns the process' own console. It has colors on a terminal, unless the environment says NO_COLOR or
// TERM=dumb.
func NewConsole(in, out, errs *os.File, lookup func(string) (string, bool)) *Console {
	noColor, _ := lookup("NO_COLOR")
	kind, _ := lookup("TERM")
	return &Console{
		In: in, Out: &results{w: out}, Err: errs,
		ErrIsTerminal: isTerminal(errs),
		InIsTerminal:  isTerminal(in),
		Color:         isTerminal(out) && noColor == "" && kind != "dumb",
	}
}

// isTerminal reports whether a file is a terminal. /dev/null is a character device too, and is none.
func isTerminal(file *os.File) bool { return term.IsTerminal(int(file.Fd())) }

// results remembers the first error of writing, so that its callers need not look at each one.
type results struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (r *results) Write(b []byte) (int, error) {
	n, err := r.w.Write(b)
	if r.err == nil {
		r.err = err
	}
	return n, err
}

// Written returns an error if a result could not be written, for example on a full disk.
func (c *Console) Written() error {
	if r, ok := c.Out.(*results); ok && r.err != nil {
		return fmt.Errorf("write result: %w", r.err)
	}
	return nil
}

// Printf writes a result; see Written. Anybody may have written the texts in its values; see shown.
func (c *Console) Printf(format string, values ...any) {
	_, _ = fmt.Fprintf(c.Out, format, shown(values)...)
}

// Notef writes a line that is not a result. Anybody may have written the texts in its values; see shown.
func (c *Console) Notef(format string, values ...any) {
	_, _ = fmt.Fprintf(c.Err, format+"\n", shown(values)...)
}

// painted is a text with terminal codes around it, and none of its own inside.
type painted string

// shown escapes what would act on the terminal in texts and errors. Only errors may have several lines.
func shown(values []any) []any {
	list := make([]any, len(values))
	for i, value := range values {
		switch v := value.(type) {
		case painted:
			list[i] = string(v)
		case error:
			lines := strings.Split(v.Error(), "\n")
			for j := range lines {
				lines[j] = text.Escape(lines[j])
			}
			list[i] = strings.Join(lines, "\n")
		default:
			if list[i] = value; reflect.ValueOf(value).Kind() == reflect.String {
				list[i] = text.Escape(fmt.Sprint(value))
			}
		}
	}
	return list
}

// Write writes a result as it is, in as many lines as it has.
func (c *Console) Write(document []byte) {
	_, _ = c.Out.Write(document) // see Written
}

// JSON writes a result as indented JSON, and escapes what would hide in a text.
func (c *Console) JSON(value any) error {
	document, err := json.MarshalIndent(value, "", "  ")
	if err == nil {
		_, err = c.Out.Write(append(text.EscapeJSON(document), '\n'))
	}
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// Color codes of the terminal.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (c *Console) paint(code, s string) painted {
	s = text.Escape(s)
	if c.Color {
		s = "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	return painted(s)
}

// Confirm asks the user to type the answer. If nobody can be asked, the error names --yes.
func (c *Console) Confirm(ctx context.Context, question, answer string) error {
	if !c.canAsk() {
		return errNobody
	}
	_, _ = fmt.Fprintf(c.Err, "%s\nType %s to go on: ", text.Escape(question), text.Escape(answer))
	line, err := bufio.NewReader(io.LimitReader(untilEnd(ctx, c.In), 256)).ReadString('\n')
	if ctx.Err() != nil {
		return fmt.Errorf("not confirmed: nothing was changed: %w", ctx.Err())
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read answer: %w", err)
	}
	if strings.TrimSpace(line) != answer {
		return errors.New("not confirmed: nothing was changed")
	}
	return nil
}

// canAsk reports whether somebody sees a question and can answer it.
func (c *Console) canAsk() bool { return c.InIsTerminal && c.ErrIsTerminal }

// Output says how a command shows its result.
type Output struct {
	Format string `name:"output" short:"o" enum:"table,json" default:"table" placeholder:"FORMAT" help:"Show the result as a table, or as json."`
}

func (o Output) json() bool { return o.Format == "json" }
