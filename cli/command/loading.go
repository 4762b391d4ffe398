package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"sluice/cli/command/stockfile"
	"sluice/core/stock"
)

const (
	// batchLines are decided in one call of the store. Over the usual 64 partitions that is half a
	// vector each, and a call takes a few hundredths of a second.
	batchLines = 4096
	// batchesAhead are read while a call is under way.
	batchesAhead = 2
	loadTries    = 6
	faultsMax    = 1000                   // wrong lines that a result names
	loadPause    = 200 * time.Millisecond // before the second try; doubled for each one after
)

// loading is one run of stock load.
type loading struct {
	store    stock.Store
	reopen   func(context.Context) (shut []int, err error) // for a server that restarted meanwhile
	shut     []int                                         // partitions of which nothing is loaded
	progress *progress
	fault    func(error) // reports one line
	dryRun   bool

	seen   map[int64]uint32 // in a dry run, which creates nothing: SKUs of earlier lines, and their fingerprints
	result loaded

	atReplica bool // some SKUs have that acknowledge level
}

// batch is some lines of the file, in their order.
type batch struct {
	lines    []stockfile.Line
	requests []stock.Request // of the lines
	faults   []*stockfile.LineError
	err      error // that ends the reading
}

// run loads all lines. It returns what it did even if it fails.
func (l *loading) run(ctx context.Context, lines *stockfile.Reader) (*loaded, error) {
	l.progress.begin()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	batches := make(chan batch, batchesAhead)
	// It ends with ctx, or at the latest with the process: a read from a pipe cannot be cut off.
	go readBatches(ctx, lines, l.store.Partitions(), batches)
	for {
		select {
		case <-ctx.Done():
			return &l.result, context.Cause(ctx)
		case b, more := <-batches:
			if !more {
				return &l.result, nil
			}
			if err := l.load(ctx, &b); err != nil {
				return &l.result, err
			}
			l.progress.show(l.result.Lines)
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

// load loads one batch, and gives back the error that ended the reading, if any.
func (l *loading) load(ctx context.Context, b *batch) error {
	for _, fault := range b.faults {
		l.wrong(fault)
	}
	if err := l.loadLines(ctx, b); err != nil {
		return err
	}
	return b.err
}

// readBatch reads the next lines. more reports whether there may be others.
func readBatch(lines *stockfile.Reader, partitions int) (b batch, more bool) {
	for len(b.lines)+len(b.faults) < batchLines {
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
			b.lines = append(b.lines, line)
			b.requests = append(b.requests, requestOf(line, partitions))
		}
	}
	return b, true
}

func (l *loading) wrong(fault *stockfile.LineError) {
	l.result.Wrong++
	l.name(fault)
}

// name reports a line that is not loaded.
func (l *loading) name(fault *stockfile.LineError) {
	l.result.Lines++
	if len(l.result.Faults) < faultsMax {
		l.result.Faults = append(l.result.Faults, lineFault{fault.Number, fault.Err.Error()})
	}
	l.fault(fault)
}

// loadLines decides the lines of a batch, trying again what was not decided. That is safe: every line has its own id.
func (l *loading) loadLines(ctx context.Context, b *batch) error {
	if l.dryRun {
		return l.look(ctx, l.withoutShut(b))
	}
	pause := loadPause
	for try := 1; ; try++ {
		left, err := l.decide(ctx, l.withoutShut(b), try > 1)
		if err == nil {
			return nil
		}
		if try == loadTries || errors.Is(err, stock.ErrProtocol) {
			return fmt.Errorf("load from line %d on: %w", left.lines[0].Number, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("load from line %d on: %w", left.lines[0].Number, context.Cause(ctx))
		case <-time.After(pause):
		}
		if errors.Is(err, stock.ErrShut) {
			if l.shut, err = l.reopen(ctx); err != nil {
				return err
			}
		}
		b, pause = left, 2*pause
	}
}

// decide asks the store once, and gives back what it did not decide, with the first reason.
func (l *loading) decide(ctx context.Context, b *batch, again bool) (left *batch, err error) {
	open, err := l.withoutClosed(ctx, b)
	if err != nil {
		return b, err
	}
	b, left = open, &batch{}
	for i, d := range stock.DoAll(ctx, l.store, stock.OpAdjust, b.requests) {
		if d.Err != nil {
			left.lines = append(left.lines, b.lines[i])
			left.requests = append(left.requests, b.requests[i])
			if err == nil {
				err = d.Err
			}
			continue
		}
		l.count(b.lines[i], d.Verdict, again)
	}
	return left, err
}

// withoutShut is the batch without the lines of partitions that are shut: the others need not wait for them.
func (l *loading) withoutShut(b *batch) *batch {
	if len(l.shut) == 0 {
		return b
	}
	kept := &batch{}
	for i := range b.lines {
		line, partition := &b.lines[i], b.requests[i].Cell.Partition(l.store.Partitions())
		if !slices.Contains(l.shut, partition) {
			kept.lines, kept.requests = append(kept.lines, b.lines[i]), append(kept.requests, b.requests[i])
			continue
		}
		l.result.Shut++
		l.name(&stockfile.LineError{Number: line.Number, Err: fmt.Errorf(
			"SKU %d is not loaded: partition %d of Redis, where its stock would be, is shut", line.SKU, partition)})
	}
	return kept
}

// withoutClosed is the batch without the lines whose closing has passed, by Redis' clock: their SKUs would never sell. A SKU
// that is loaded is left to the store, so that the same file can be loaded again at any time.
func (l *loading) withoutClosed(ctx context.Context, b *batch) (*batch, error) {
	var cells []stock.Cell
	for i := range b.lines {
		if b.lines[i].Settings.ClosesAtMS != 0 {
			cells = append(cells, b.requests[i].Cell)
		}
	}
	if len(cells) == 0 {
		return b, nil
	}
	states, nowMS, err := l.store.Cells(ctx, cells)
	if err != nil {
		return nil, fmt.Errorf("look whether closings have passed: %w", err)
	}
	kept := &batch{}
	for i := range b.lines {
		if line := &b.lines[i]; line.Settings.ClosesAtMS != 0 {
			state := &states[0]
			states = states[1:]
			if neverSells(line, state, nowMS) {
				l.wrong(line.ClosingPassed())
				continue
			}
		}
		kept.lines, kept.requests = append(kept.lines, b.lines[i]), append(kept.requests, b.requests[i])
	}
	return kept, nil
}

func neverSells(line *stockfile.Line, state *stock.CellState, nowMS int64) bool {
	return !state.Loaded && line.Settings.OverAt(nowMS)
}

func (l *loading) count(line stockfile.Line, v stock.Verdict, again bool) {
	switch {
	case v == stock.VerdictOK, v == stock.VerdictReplayed && again: // again: this run's own first try
		l.result.Lines++
		l.result.Loaded++
		l.result.Units += line.Quantity
		l.atReplica = l.atReplica || line.Settings.Ack == stock.AckReplica
	case v == stock.VerdictReplayed:
		l.result.Lines++
		l.result.Already++
	case v == stock.VerdictWrongState:
		l.result.Lines++
		l.result.Exist++
	case v == stock.VerdictMismatch:
		l.wrong(&stockfile.LineError{Number: line.Number, Err: fmt.Errorf(
			"SKU %d was loaded with other values, by an earlier line or an earlier load: change it with stock adjust", line.SKU)})
	default:
		l.wrong(&stockfile.LineError{Number: line.Number, Err: fmt.Errorf("SKU %d: %s", line.SKU, explain(v))})
	}
}

// look is load for a dry run.
func (l *loading) look(ctx context.Context, b *batch) error {
	if len(b.lines) == 0 {
		return nil
	}
	cells := make([]stock.Cell, len(b.lines))
	for i, line := range b.lines {
		cells[i] = stock.Cell{SKU: line.SKU}
	}
	states, nowMS, err := l.store.Cells(ctx, cells)
	if err != nil {
		return fmt.Errorf("look up line %d and those after it: %w", b.lines[0].Number, err)
	}
	for i, state := range states {
		if neverSells(&b.lines[i], &state, nowMS) {
			l.wrong(b.lines[i].ClosingPassed())
			continue
		}
		l.count(b.lines[i], l.foresee(&state, b.requests[i].Fingerprint), false)
	}
	return nil
}

// foresee returns what would become of a line. Only Redis' own decision shows with which values an SKU was loaded before.
func (l *loading) foresee(state *stock.CellState, fingerprint uint32) stock.Verdict {
	earlier, again := l.seen[state.Cell.SKU]
	switch {
	case state.Loaded:
		return stock.VerdictWrongState
	case !again:
		if l.seen == nil {
			l.seen = map[int64]uint32{}
		}
		l.seen[state.Cell.SKU] = fingerprint
		return stock.VerdictOK
	case earlier == fingerprint:
		return stock.VerdictReplayed
	}
	return stock.VerdictMismatch
}
