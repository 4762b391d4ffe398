package redisstock

import (
	"context"
	"fmt"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// scanCount is about how many fields one step of a scan looks at.
const scanCount = 512

// CellCounts returns the number of cells of every partition. It is -1 for partitions that the error is about.
func (s *Store) CellCounts(ctx context.Context) ([]int64, error) {
	counts := make([]int64, len(s.partitions))
	var failed stock.PartitionErrors
	for p, a := range s.askAll(ctx, func(k keys) rueidis.Completed { return s.client.B().Hlen().Key(k.cells).Build() }) {
		n, err := a.AsInt64()
		if err != nil {
			n = -1
			failed.Add(p, wrap("count cells", err))
		}
		counts[p] = n
	}
	return counts, failed.Err()
}

// ReservationCount returns the number of records of a partition, in any state.
func (s *Store) ReservationCount(ctx context.Context, partition int) (n int64, err error) {
	err = s.within(ctx, partition, func(ctx context.Context, k *keys) (err error) {
		if n, err = s.client.Do(ctx, s.client.B().Hlen().Key(k.res).Build()).AsInt64(); err != nil {
			return wrap("count reservations", err)
		}
		return nil
	})
	return n, err
}

// ScanCells yields every cell that the partition has during the whole scan, some perhaps more than once.
func (s *Store) ScanCells(ctx context.Context, partition int, yield func(stock.Cell) error) error {
	if err := s.checkPartition(partition); err != nil {
		return err
	}
	return s.scan(ctx, s.partitions[partition].cells, stock.CellBytes, func(field, _ string) error {
		return yield(stock.CellFrom(bytesOf(field)))
	})
}

// ScanReservations yields the id of every record that the partition has during the whole scan, some perhaps more than
// once.
func (s *Store) ScanReservations(ctx context.Context, partition int, yield func(stock.ReservationID) error) error {
	if err := s.checkPartition(partition); err != nil {
		return err
	}
	return s.scan(ctx, s.partitions[partition].res, stock.ReservationBytes, func(field, _ string) error {
		return yield(stock.ReservationID(bytesOf(field)))
	})
}

// scan yields the fields and values of a hash. Each step has its own deadline.
func (s *Store) scan(ctx context.Context, key string, fieldBytes int, yield func(field, value string) error) error {
	for cursor := uint64(0); ; {
		step, err := s.scanStep(ctx, key, cursor)
		if err != nil {
			return err
		}
		for i := 0; i+1 < len(step.Elements); i += 2 {
			if len(step.Elements[i]) != fieldBytes {
				return fieldError(key, step.Elements[i])
			}
			if err := yield(step.Elements[i], step.Elements[i+1]); err != nil {
				return err
			}
		}
		if cursor = step.Cursor; cursor == 0 {
			return nil
		}
	}
}

func fieldError(key, field string) error {
	return fmt.Errorf("scan %s: %w: field of %d bytes", key, stock.ErrProtocol, len(field))
}

func (s *Store) scanStep(ctx context.Context, key string, cursor uint64) (rueidis.ScanEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	step, err := s.client.Do(ctx, s.client.B().Hscan().Key(key).Cursor(cursor).Count(scanCount).Build()).AsScanEntry()
	if err != nil {
		return step, wrap("scan "+key, err)
	}
	return step, nil
}

// ShutCells looks at some cells of a partition. It returns the shut ones among them, and a cursor for the next call. The
// first call has the cursor 0, and the last one returns 0. Together the calls find every shut cell that is there all the
// time, some perhaps more than once. A value of an unknown version counts as breached, as it does for scripts. For data
// that the store does not trust ShutCells fails: in an empty Redis no cell would be shut.
func (s *Store) ShutCells(ctx context.Context, partition int, cursor uint64) (found []stock.CellState, next uint64, err error) {
	if err := s.checkPartition(partition); err != nil {
		return nil, 0, err
	}
	if err := s.StillHas(ctx, partition, s.marks.of(partition)); err != nil {
		return nil, 0, err
	}
	key := s.partitions[partition].cells
	step, err := s.scanStep(ctx, key, cursor)
	if err != nil {
		return nil, 0, err
	}
	cells, err := cellHash.fields(key, step.Elements)
	if err != nil {
		return nil, 0, err
	}
	for i := range cells {
		state := cells[i].CellState
		if cells[i].Unreadable || !state.Loaded {
			state = stock.CellState{Cell: state.Cell, Loaded: true, Breached: true}
		}
		if why := state.Shut(); why != stock.VerdictOK {
			state.Breached = state.Breached || why == stock.VerdictBreached // even if no script has met the cell yet
			found = append(found, state)
		}
	}
	return found, step.Cursor, nil
}
