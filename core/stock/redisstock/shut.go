package redisstock

import (
	"context"

	"sluice/core/stock"
)

// ShutCells looks at some cells of a partition, and returns those that Shut tells to be shut, and where to go on:
// the first call has the cursor 0, and after the last one it is 0 again. Every shut cell that is there throughout
// is found, some perhaps more than once. A value of an unknown version counts as breached, as scripts take it.
// Of data that the store does not trust nothing is told: in an empty Redis no cell would be shut.
func (s *Store) ShutCells(ctx context.Context, partition int, cursor uint64) (found []stock.CellState, next uint64, err error) {
	if err := s.checkPartition(partition); err != nil {
		return nil, 0, err
	}
	if err := s.checkMark(ctx, partition); err != nil {
		return nil, 0, err
	}
	key := s.shards[partition].cells
	step, err := s.scanStep(ctx, key, cursor)
	if err != nil {
		return nil, 0, err
	}
	for i := 0; i+1 < len(step.Elements); i += 2 {
		if len(step.Elements[i]) != stock.CellBytes {
			return nil, 0, fieldError(key, step.Elements[i])
		}
		cell := stock.CellFrom(bytesOf(step.Elements[i]))
		state, err := cellFrom(cell, step.Elements[i+1])
		if err != nil || !state.Loaded {
			state = stock.CellState{Cell: cell, Loaded: true, Breached: true}
		}
		if why := state.Shut(); why != stock.VerdictOK {
			state.Breached = state.Breached || why == stock.VerdictBreached // also if no script has met it yet
			found = append(found, state)
		}
	}
	return found, step.Cursor, nil
}
