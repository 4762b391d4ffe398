package reconcile

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"sluice/core/show"
	"sluice/core/stock"
)

// ShutFinder looks for shut cells; it is part of redisstock.Store.
type ShutFinder interface {
	Partitions() int
	ShutCells(ctx context.Context, partition int, cursor uint64) (found []stock.CellState, next uint64, err error)
}

// Clock tells the time of Redis; it is part of redisstock.Store.
type Clock interface {
	Now(ctx context.Context) (nowMS int64, err error)
}

// Place is where a look at all cells goes on; zero is the beginning.
type Place struct {
	Partition int
	Cursor    uint64
}

// ShutStep has the shut cells that one call of Redis has found. A cell may be in several steps.
type ShutStep struct {
	Found []stock.CellState
	Next  Place // of the partition after the last: that was all
	Shut  error // why nothing is known of the partition's cells: it is shut as a whole; nil: it is not
}

// ShutSteps looks at all cells from a place on, one call of Redis a step, and ends at the first error. A partition that is
// shut as a whole is a step that has found nothing, and tells why.
func ShutSteps(ctx context.Context, store ShutFinder, from Place) iter.Seq2[ShutStep, error] {
	return func(yield func(ShutStep, error) bool) {
		for at := from; at.Partition < store.Partitions(); {
			found, next, err := store.ShutCells(ctx, at.Partition, at.Cursor)
			var closed error
			if err != nil {
				err = fmt.Errorf("look for shut cells: %w", err)
				if !errors.Is(err, stock.ErrShut) {
					yield(ShutStep{}, err)
					return
				}
				next, closed = 0, err
			}
			if at.Cursor = next; next == 0 {
				at.Partition++
			}
			if !yield(ShutStep{found, at, closed}, nil) {
				return
			}
		}
	}
}

// Shut counts the cells to which nothing may happen until they are repaired, each once, and keeps some.
type Shut struct {
	Fenced, Breached int64
	Some             []stock.CellState
	AsOfMS           int64 // Redis time: all is there that has been shut since then
	Partitions       []int // partitions that are shut as a whole: nothing is known of their cells

	keep int
	seen map[stock.Cell]bool
}

// NewShut counts cells and keeps so many.
func NewShut(keep int) *Shut { return &Shut{keep: keep, seen: map[stock.Cell]bool{}} }

// Add counts shut cells that are not counted yet.
func (s *Shut) Add(cells []stock.CellState) {
	for _, cell := range cells {
		if s.seen[cell.Cell] {
			continue
		}
		s.seen[cell.Cell] = true
		if cell.Shut() == stock.VerdictFenced {
			s.Fenced++
		} else {
			s.Breached++
		}
		if len(s.Some) < s.keep {
			s.Some = append(s.Some, cell)
		}
	}
}

// Total is how many cells are shut.
func (s *Shut) Total() int64 { return s.Fenced + s.Breached }

// Show returns the findings in their JSON form.
func (s *Shut) Show() show.Shut {
	v := show.Shut{AsOf: show.Moment(s.AsOfMS), Fenced: s.Fenced, Breached: s.Breached, Data: make([]show.Cell, len(s.Some)), Partitions: s.Partitions}
	for i := range s.Some {
		v.Data[i] = show.CellOf(&s.Some[i])
	}
	return v
}

// FindShut looks at all cells, counts those that are shut and keeps some. It fails if all of Redis is shut.
func FindShut(ctx context.Context, store interface {
	ShutFinder
	Clock
}, keep int,
) (*Shut, error) {
	all := NewShut(keep)
	var err error
	if all.AsOfMS, err = store.Now(ctx); err != nil {
		return nil, fmt.Errorf("look for shut cells: %w", err)
	}
	for step, err := range ShutSteps(ctx, store, Place{}) {
		if err != nil {
			return nil, err
		}
		all.Add(step.Found)
		if step.Shut == nil {
			continue
		}
		if all.Partitions = append(all.Partitions, step.Next.Partition-1); len(all.Partitions) == store.Partitions() {
			return nil, step.Shut
		}
	}
	return all, nil
}
