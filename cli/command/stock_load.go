package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"sluice/cli/command/stockfile"
	"sluice/core/operate"
	"sluice/core/stock"
	"sluice/core/text"
)

// loadCallTimeout is how long a load waits for Redis: nobody's purchase waits behind it.
const loadCallTimeout = 5 * time.Second

// StockLoad loads SKUs from a file.
type StockLoad struct {
	Writer  `embed:""`
	Output  `embed:""`
	Consent `embed:""`

	File string `arg:"" default:"-" help:"CSV with a header row, or JSON lines; - is the standard input."`
}

// Help is called by kong.
func (StockLoad) Help() string {
	return `Each line is one SKU. It needs sku_id and quantity, and may have limit (units per user), hold_seconds, opens_at,
closes_at, ack, shopper_deducts and frozen. Loading creates SKUs and never changes one that exists. So you can load
the same file again after an interruption. A wrong line is reported with its number and loads nothing, and so is a line
whose SKU is in a partition of Redis that is shut, because it has lost something. The other lines are loaded, and the
exit code is 1. A closes_at that has passed is wrong, unless its SKU is loaded already.

CSV may come from a spreadsheet: with commas, semicolons or tabs, in UTF-8 or UTF-16, and with TRUE, yes or 1 for true.

Examples:
  sluice stock load catalog.csv
  sluice stock load --dry-run catalog.jsonl
  printf 'sku_id,quantity,limit\n1001,100000,\n1002,500,1\n' | sluice stock load --yes

With -o json the result counts the lines that were loaded, already_loaded (with the same values), exist (with values
that cannot be compared: by a dry run, or a day later), wrong and shut. In faults it has the numbers and errors
of the first 1,000 lines that are wrong or shut. The first 20 are printed on stderr, all others are in a file. Stderr and
faults_file name the file.

In JSON lines, ids and times are strings, everything else is not:
  {"sku_id":"1002","quantity":500,"limit":1}`
}

// Run is called by kong.
func (l *StockLoad) Run(ctx context.Context, c *Console) (err error) {
	file, size, err := l.source(c)
	if err != nil {
		return usage(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := l.check(c); err != nil {
		return err
	}
	counted := &countingReader{r: file}
	if !l.DryRun {
		if err := l.ask(c, fmt.Sprintf("About to create the SKUs of %s in deployment %s", l.File, l.Stock.Deployment), "load"); err != nil {
			return err
		}
	}
	lines, err := stockfile.NewReader(counted)
	if err != nil {
		return usage(fmt.Errorf("%s: %w", l.File, err))
	}
	l.Redis.CallTimeout = max(l.Redis.CallTimeout, loadCallTimeout)
	o, store, shut, err := l.open(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()

	faults := &lineFaults{}
	p := &progress{c: c, total: size, done: counted.count, now: time.Now}
	load := &loading{
		store:    store,
		reopen:   func(ctx context.Context) ([]int, error) { return l.reopen(ctx, c, o) },
		shut:     shut,
		progress: p,
		fault:    faults.add,
		dryRun:   l.DryRun,
		result:   loaded{Faults: []lineFault{}},
	}
	faults.tell = func(err error) { p.clear(); c.Notef("%s: %v", l.File, err) }
	result, err := load.run(ctx, lines)
	p.clear()
	result.FaultsFile = faults.close()
	if rest := faults.summary(result.FaultsFile); rest != "" {
		c.Notef("%s: %s", l.File, rest)
	}
	if load.atReplica {
		o.warnOfReplicas(ctx, c, stock.AckReplica)
	}
	result.Seconds = time.Since(p.start).Seconds()
	if l.json() {
		err = errors.Join(err, c.JSON(result))
	} else {
		result.print(c, l.DryRun)
	}
	if err != nil && !l.DryRun {
		return fmt.Errorf("%w\nWhat was loaded stays. To go on, load the same file again", err)
	}
	switch {
	case err != nil:
		return err
	case result.Lines == 0:
		return usage(fmt.Errorf("%s has a header and no lines: want a line for each SKU", l.File))
	}
	return result.fault()
}

// source opens the file. Its size is 0 where it is not known.
func (l *StockLoad) source(c *Console) (io.ReadCloser, int64, error) {
	if l.File == "-" {
		if c.InIsTerminal {
			c.Notef("reading from the terminal, up to Ctrl-D")
		}
		return io.NopCloser(c.In), 0, nil
	}
	file, err := os.Open(l.File)
	if err != nil {
		return nil, 0, fmt.Errorf("stock file %w", text.OfFile(err))
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return file, 0, nil //nolint:nilerr // without a size there is no end to tell, nothing worse
	}
	return file, info.Size(), nil
}

// loaded is what a load did, or in a dry run would do.
type loaded struct {
	Lines      int64       `json:"lines"`          // read, wrong ones included
	Loaded     int64       `json:"loaded"`         // SKUs that were created
	Already    int64       `json:"already_loaded"` // by an earlier load or line, with the same values
	Exist      int64       `json:"exist"`          // with values that are not known: a dry run, or an old load, cannot tell
	Wrong      int64       `json:"wrong"`
	Shut       int64       `json:"shut"`                  // of SKUs whose partition of Redis is shut
	Faults     []lineFault `json:"faults"`                // of the first wrong lines, at most faultsMax
	FaultsFile string      `json:"faults_file,omitempty"` // of those that were not told of
	Units      int64       `json:"units"`
	Seconds    float64     `json:"seconds"`
}

// fault is why not all lines are loaded; nil: they are.
func (r *loaded) fault() error {
	var faults []error
	if r.Wrong > 0 {
		faults = append(faults, fmt.Errorf("%d lines are wrong, and nothing of them is loaded", r.Wrong))
	}
	if r.Shut > 0 {
		faults = append(faults, fmt.Errorf("%d lines are of SKUs whose partition of Redis is shut, and nothing of them is loaded: "+
			"sluice doctor says what it lacks. Once it is open, load the same file again", r.Shut))
	}
	return errors.Join(faults...)
}

type lineFault struct {
	Line  int    `json:"line"`
	Error string `json:"error"`
}

func (r *loaded) print(c *Console, dryRun bool) {
	t := c.table()
	if dryRun {
		t.row("would be loaded", number(r.Loaded), "SKUs with "+number(r.Units)+" units")
		if r.Already > 0 {
			t.row("repeated", number(r.Already), "with the values of an earlier line")
		}
	} else {
		t.row("loaded", number(r.Loaded), "SKUs with "+number(r.Units)+" units")
		t.row("already loaded", number(r.Already), "with the same values; nothing was changed")
	}
	if r.Exist > 0 {
		t.row("exist", number(r.Exist), "with whatever values; they are not changed: see stock show, stock adjust")
	}
	if r.Wrong > 0 {
		t.row(c.paint(red, "wrong"), number(r.Wrong), "nothing of these lines is loaded")
	}
	if r.Shut > 0 {
		t.row(c.paint(red, "shut"), number(r.Shut), "not loaded: their partition of Redis is shut")
	}
	t.flush()
	if r.Seconds > 0 {
		c.Printf("%s lines in %.1f s (%s/s)\n", number(r.Lines), r.Seconds, number(int64(float64(r.Lines)/r.Seconds)))
	}
}

// requestOf is the request that loads a line, always under the same id: however often a file is loaded,
// each of its SKUs is created once.
func requestOf(line stockfile.Line, partitions int) stock.Request {
	load := operate.Load(line.SKU, line.Quantity, line.Settings, "load", operate.Call{Scope: stock.ScopeFile})
	return load.Request(partitions)
}
