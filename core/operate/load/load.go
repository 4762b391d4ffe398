// Package load creates the SKUs of a file, each once, however often the file is loaded. It returns a typed result for
// each line, and its caller puts the results into words.
package load

import (
	"context"
	"errors"
	"io"

	"sluice/core/operate"
	"sluice/core/operate/stockfile"
	"sluice/core/stock"
)

const (
	// batchLines are decided in one call of the store. Over the usual 64 partitions that is half a
	// vector each, and a call takes a few hundredths of a second.
	batchLines = 4096
	// batchesAhead are read while a call is under way.
	batchesAhead = 2
)

// Loader loads one file.
type Loader struct {
	Store    stock.Store
	Shut     []int                                         // partitions of which nothing is loaded
	Reopen   func(context.Context) (shut []int, err error) // vets a server that restarted meanwhile
	DryRun   bool                                          // nothing is created
	Fault    func(*Fault)                                  // called with each line that is not loaded
	Progress func(lines int64)                             // called after each batch with the number of lines done
	seen     map[int64]uint32                              // of a dry run: SKUs of earlier lines, and their fingerprints
	result   Result
}

// Result counts what became of the lines. In a dry run it counts what would.
type Result struct {
	Lines   int64 // read, wrong ones included
	Loaded  int64 // SKUs that were created
	Already int64 // by an earlier load or line, with the same values
	Exist   int64 // with values that are not known: a dry run, or an old load, cannot tell
	Wrong   int64
	Shut    int64 // of SKUs whose partition of Redis is shut
	Units   int64 // of the SKUs that were created

	AtReplica bool // some of the created SKUs have that acknowledge level
}

// Why is the reason that a line is not loaded.
type Why uint8

// The reasons. Every line has one of its own at most.
const (
	WhyUnreadable Why = iota + 1 // the line says no SKU and quantity, or says them wrongly
	WhyOver                      // its closing has passed, by Redis' clock: it would never sell
	WhyOther                     // its SKU was loaded with other values
	WhyRefused                   // the store refuses it
	WhyShut                      // the partition that its SKU belongs to is shut
)

// Fault is a line that is not loaded.
type Fault struct {
	Number    int // of the line, from 1
	Why       Why
	Err       error         // of WhyUnreadable and WhyOver: what is wrong, in the words of the file
	SKU       int64         // of all others
	Verdict   stock.Verdict // of WhyRefused
	Partition int           // of WhyShut
}

// item is a line of the file, and the request that loads it.
type item struct {
	stockfile.Line

	change  *operate.Change
	request stock.Request
}

// batch is some lines of the file, in their order.
type batch struct {
	items  []item
	faults []*stockfile.LineError
	err    error // that ends the reading
}

// Load loads all lines. It returns the result even if it fails. It does not wait for a read that does not end.
func (l *Loader) Load(ctx context.Context, lines *stockfile.Reader) (Result, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	batches := make(chan batch, batchesAhead)
	// It ends with ctx, or at the latest with the process: a read from a pipe cannot be cut off.
	go readBatches(ctx, lines, l.Store.Partitions(), batches)
	for {
		select {
		case <-ctx.Done():
			return l.result, context.Cause(ctx)
		case b, more := <-batches:
			if !more {
				return l.result, nil
			}
			if err := l.load(ctx, &b); err != nil {
				return l.result, err
			}
			l.Progress(l.result.Lines)
		}
	}
}

func readBatches(ctx context.Context, lines *stockfile.Reader, partitions int, batches chan<- batch) {
	defer close(batches)
	for more := true; more; {
		var b batch
		b, more = readBatch(lines, partitions)
		select {
		case batches <- b:
		case <-ctx.Done():
			return
		}
	}
}

// readBatch reads the next lines. more reports whether there may be others.
func readBatch(lines *stockfile.Reader, partitions int) (b batch, more bool) {
	for len(b.items)+len(b.faults) < batchLines {
		line, err := lines.Next()
		var fault *stockfile.LineError
		switch {
		case errors.As(err, &fault):
			b.faults = append(b.faults, fault)
		case errors.Is(err, io.EOF):
			return b, false
		case err != nil:
			b.err = err
			return b, false
		default:
			b.items = append(b.items, itemOf(line, partitions))
		}
	}
	return b, true
}

// itemOf gives a line its request, always under the same id: so each SKU of a file is created once.
func itemOf(line stockfile.Line, partitions int) item {
	change := operate.Load(line.SKU, line.Quantity, line.Settings, "load", operate.Call{Scope: stock.ScopeFile})
	return item{line, change, change.Request(partitions)}
}

// load loads one batch, and gives back the error that ended the reading, if any.
func (l *Loader) load(ctx context.Context, b *batch) error {
	for _, fault := range b.faults {
		l.wrong(&Fault{Number: fault.Number, Why: WhyUnreadable, Err: fault.Err})
	}
	do := l.create
	if l.DryRun {
		do = l.foresee
	}
	if err := do(ctx, b.items); err != nil {
		return err
	}
	return b.err
}

// count counts a line that the store has decided. A line that the run itself tries again has its first try's answer.
func (l *Loader) count(i *item, v stock.Verdict, again bool) {
	switch {
	case v == stock.VerdictOK, v == stock.VerdictReplayed && again:
		l.result.Loaded++
		l.result.Units += i.Quantity
		l.result.AtReplica = l.result.AtReplica || i.Settings.Ack == stock.AckReplica
	case v == stock.VerdictReplayed:
		l.result.Already++
	case v == stock.VerdictWrongState:
		l.result.Exist++
	case v == stock.VerdictMismatch:
		l.wrong(&Fault{Number: i.Number, Why: WhyOther, SKU: i.SKU})
		return
	default:
		l.wrong(&Fault{Number: i.Number, Why: WhyRefused, SKU: i.SKU, Verdict: v})
		return
	}
	l.result.Lines++
}

func (l *Loader) wrong(f *Fault) {
	l.result.Wrong++
	l.leave(f)
}

// leave tells of a line that is not loaded.
func (l *Loader) leave(f *Fault) {
	l.result.Lines++
	l.Fault(f)
}
