package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"sluice/bench/baseline"
	"sluice/bench/compare"
	"sluice/bench/report"
	"sluice/core/config"
	"sluice/core/local"
	"sluice/core/text"
)

// BenchCompare sells in several ways and compares them.
type BenchCompare struct {
	Output `embed:""`

	For    time.Duration `name:"for" default:"2s" between:"200ms-30s" placeholder:"DURATION" help:"Length of a turn, 200ms to 30s."`
	Rounds int           `default:"3" between:"1-15" placeholder:"N" help:"How many turns each way has, 1 to 15."`
	Only   []string      `placeholder:"NAMES" help:"Compare these ways only, and the empty handler; without it all."`
	HTML   string        `name:"html" placeholder:"PATH" help:"Also write the comparison as a page into this file."`

	Against string `placeholder:"OLD.json" help:"Say what has changed since an older comparison, which -o json has written."`
}

// Help is called by kong.
func (BenchCompare) Help() string {
	var names []string
	for _, w := range baseline.Ways() {
		names = append(names, fmt.Sprintf("  %-18s %s", w.Name, w.Title))
	}
	return `Sells one hot SKU in several ways, in turns on this machine, and shows for each: accepted purchases per second, how
long one takes, the CPU of all processes per purchase, and how its rate compares with that of an empty HTTP handler.
Redis, MariaDB, a broker and sluice itself run as private processes on loopback, with files in a temporary directory, and end
with the command.

Each way first sells a small stock to its last unit. Each turn ends with a count in the stores. If a store has
sold what it did not have, or lacks what was sold, the exit code is 11. Ctrl-C shows what was measured so far.

The ways:
` + strings.Join(names, "\n") + `

Examples:
  sluice bench compare
  sluice bench compare --only engine,http --for 5s --rounds 5
  sluice bench compare -o json --html compare.html > compare.json
  sluice bench compare --against compare.json`
}

// totalMax bounds the turns of a way, because Redis keeps each reservation of them.
const totalMax = 2 * time.Minute

// Validate joins all faults.
func (c *BenchCompare) Validate() error {
	var f config.Faults
	if total := c.For * time.Duration(c.Rounds); total > totalMax {
		f.Add("for", c.For.String(), fmt.Sprintf("at most %v together with the other rounds", totalMax))
	}
	var names []string
	for _, w := range baseline.Ways() {
		names = append(names, w.Name)
	}
	for _, name := range c.Only {
		if !slices.Contains(names, name) {
			f.Add("only", fmt.Sprintf("%q", name), strings.Join(names, ", "))
		}
	}
	return f.Err()
}

// ways are those that are wanted, and always the one that the others are divided by.
func (c *BenchCompare) ways() []baseline.Way {
	return slices.DeleteFunc(baseline.Ways(), func(w baseline.Way) bool {
		return len(c.Only) > 0 && w.Name != baseline.Empty && !slices.Contains(c.Only, w.Name)
	})
}

// Run is called by kong.
func (c *BenchCompare) Run(ctx context.Context, console *Console) (err error) {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find sluice itself: %w", err)
	}
	if err := canWrite("html", c.HTML); err != nil {
		return usage(err)
	}
	var old *compare.Report
	if c.Against != "" {
		if old, err = compare.ReadFile(c.Against); err != nil {
			return usage(fmt.Errorf("against: %w", text.OfFile(err)))
		}
	}
	dir, err := os.MkdirTemp("", "sluice-compare-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	place := baseline.NewPlace(dir, program)
	defer func() { err = errors.Join(err, place.Close(context.WithoutCancel(ctx))) }()

	r, err := compare.Run(ctx, place, compare.Config{Ways: c.ways(), For: c.For, Rounds: c.Rounds, Tell: console.Notef})
	if missing := new(local.MissingError); errors.As(err, &missing) {
		return fmt.Errorf("%w, or leave out what needs it with --only", err)
	}
	if !r.Measured() {
		return errors.Join(err, coded(r.Err()))
	}
	if old != nil {
		r.Compare(old)
	}
	return errors.Join(err, c.show(console, r), coded(r.Err()))
}

// show shows a comparison in all ways that are wanted.
func (c *BenchCompare) show(console *Console, r *compare.Report) error {
	var page error
	if c.HTML != "" {
		if page = report.WriteWhole(c.HTML, r.HTML); page == nil {
			console.Notef("wrote %s", c.HTML)
		}
	}
	if c.json() {
		return errors.Join(page, console.JSON(r))
	}
	for _, table := range r.Tables() {
		console.Table(table...)
		console.Printf("\n")
	}
	for _, line := range r.Notes() {
		console.Printf("%s\n", line)
	}
	return page
}

// coded gives an error its exit code.
func coded(err error) error {
	if errors.Is(err, compare.ErrWrong) {
		return codedError{err, report.ExitTruth}
	}
	return err
}
