package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/core/operate/load"
	"sluice/core/operate/stockfile"
	"sluice/core/stock"
)

// loadCallTimeout is how long a load waits for Redis. It is long, because no shopper waits for a load.
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
the same file again after an interruption. A wrong line is reported with its number and loads nothing. So is a line whose
SKU is in a partition of Redis that is shut because it has lost something. The other lines are loaded, and the
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
	file, size, err := c.input(ctx, l.File, "stock file")
	if err != nil {
		return usage(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := l.check(c); err != nil {
		return err
	}
	counted := &countingReader{r: file}
	if !l.DryRun {
		if err := l.ask(ctx, c, fmt.Sprintf("About to create the SKUs of %s in deployment %s", l.File, l.Stock.Deployment), "load"); err != nil {
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

	p := &progress{c: c, total: size, done: counted.count, now: time.Now}
	faults := &lineFaults{tell: func(err error) { p.clear(); c.Notef("%s: %v", l.File, err) }}
	result := loaded{Faults: []lineFault{}}
	loader := &load.Loader{
		Store:    store,
		Shut:     shut,
		Reopen:   func(ctx context.Context) ([]int, error) { return l.reopen(ctx, c, o) },
		DryRun:   l.DryRun,
		Fault:    func(f *load.Fault) { result.name(f); faults.add(lineError(f)) },
		Progress: p.show,
	}
	p.begin()
	did, err := loader.Load(ctx, lines)
	p.clear()
	result.count(did)
	result.FaultsFile = faults.close()
	if rest := faults.summary(result.FaultsFile); rest != "" {
		c.Notef("%s: %s", l.File, rest)
	}
	if did.AtReplica {
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
