package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/core/lifecycle"
	"sluice/core/stock"
)

const (
	tries = 6
	pause = 200 * time.Millisecond // before the second try; doubled for each one after
)

// create has lines decided, and tries again what was not. That is safe: every line has its own id.
func (l *Loader) create(ctx context.Context, items []item) error {
	pause := pause
	for try := 1; ; try++ {
		left, err := l.decide(ctx, l.withoutShut(items), try > 1)
		if err == nil {
			return nil
		}
		from := left[0].Number
		if try == tries || errors.Is(err, stock.ErrProtocol) {
			return fmt.Errorf("load from line %d on: %w", from, err)
		}
		if !lifecycle.Pause(ctx, pause) {
			return fmt.Errorf("load from line %d on: %w", from, context.Cause(ctx))
		}
		if errors.Is(err, stock.ErrShut) {
			if l.Shut, err = l.Reopen(ctx); err != nil {
				return err
			}
		}
		items, pause = left, 2*pause
	}
}

// decide asks the store once, and gives back what it did not decide, with the first reason.
func (l *Loader) decide(ctx context.Context, items []item, again bool) (left []item, err error) {
	allowed, err := l.allowed(ctx, items)
	if err != nil {
		return items, err
	}
	requests := make([]stock.Request, len(allowed))
	for i := range allowed {
		requests[i] = allowed[i].request
	}
	for i, d := range stock.DoAll(ctx, l.Store, stock.OpAdjust, requests) {
		if d.Err == nil {
			l.count(&allowed[i], d.Verdict, again)
			continue
		}
		left = append(left, allowed[i])
		if err == nil {
			err = d.Err
		}
	}
	return left, err
}

// withoutShut leaves out the lines of partitions that are shut: the others need not wait for them.
func (l *Loader) withoutShut(items []item) []item {
	if len(l.Shut) == 0 {
		return items
	}
	var kept []item
	for _, i := range items {
		partition := i.request.Cell.Partition(l.Store.Partitions())
		if !slices.Contains(l.Shut, partition) {
			kept = append(kept, i)
			continue
		}
		l.result.Shut++
		l.leave(&Fault{Number: i.Number, Why: WhyShut, SKU: i.SKU, Partition: partition})
	}
	return kept
}

// allowed leaves out the lines that the rules of operators' acts refuse.
func (l *Loader) allowed(ctx context.Context, items []item) ([]item, error) {
	var asked []item
	for _, i := range items {
		if i.change.NeedsCell() {
			asked = append(asked, i)
		}
	}
	if len(asked) == 0 {
		return items, nil
	}
	states, nowMS, err := l.cells(ctx, asked)
	if err != nil {
		return nil, fmt.Errorf("look whether closings have passed: %w", err)
	}
	var kept []item
	for _, i := range items {
		if i.change.NeedsCell() {
			state := &states[0]
			states = states[1:]
			if l.refused(&i, state, nowMS) {
				continue
			}
		}
		kept = append(kept, i)
	}
	return kept, nil
}

// refused reports whether the rules refuse a line, and reports the refusal. After a line was read, only its closing can
// be refused. The rules leave loaded SKUs to the store, so that the same file can be loaded again at any time.
func (l *Loader) refused(i *item, now *stock.CellState, nowMS int64) bool {
	if i.change.RefusedBy(now, nowMS) == nil {
		return false
	}
	l.wrong(&Fault{Number: i.Number, Why: WhyOver, Err: i.ClosingPassed().Err})
	return true
}

func (l *Loader) cells(ctx context.Context, items []item) ([]stock.CellState, int64, error) {
	cells := make([]stock.Cell, len(items))
	for n, i := range items {
		cells[n] = i.request.Cell
	}
	return l.Store.Cells(ctx, cells)
}

// foresee counts what create would do with lines.
func (l *Loader) foresee(ctx context.Context, items []item) error {
	if items = l.withoutShut(items); len(items) == 0 {
		return nil
	}
	states, nowMS, err := l.cells(ctx, items)
	if err != nil {
		return fmt.Errorf("look up line %d and those after it: %w", items[0].Number, err)
	}
	for n := range items {
		if i := &items[n]; !l.refused(i, &states[n], nowMS) {
			l.count(i, l.foreseen(&states[n], i.request.Fingerprint), false)
		}
	}
	return nil
}

// foreseen returns the result that a line would have. Only the store's own decision shows with which values an SKU was
// loaded before.
func (l *Loader) foreseen(state *stock.CellState, fingerprint uint32) stock.Verdict {
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
