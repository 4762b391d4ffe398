package redisstock

import (
	"context"
	"fmt"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// scanCount is about how many fields one step of a scan looks at.
const scanCount = 512

// CellCounts is the number of cells of every partition, and -1 of those that the error is about.
func (s *Store) CellCounts(ctx context.Context) ([]int64, error) {
	counts := make([]int64, len(s.shards))
	var failed stock.PartitionErrors
	for p, a := range s.askAll(ctx, func(k keys) rueidis.Completed { return s.client.B().Hlen().Key(k.cells).Build() }) {
		n, err := int64(-1), a.err
		if err == nil {
			n, err = a.AsInt64()
		}
		if err != nil {
			n = -1
			failed.Add(p, wrap("count cells", err))
		}
		counts[p] = n
	}
	return counts, failed.Err()
}

// ReservationCount is the number of records of a partition, in any state.
func (s *Store) ReservationCount(ctx context.Context, partition int) (int64, error) {
	if err := s.checkPartition(partition); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	n, err := s.client.Do(ctx, s.client.B().Hlen().Key(s.shards[partition].res).Build()).AsInt64()
	if err != nil {
		return 0, wrap("count reservations", err)
	}
	return n, nil
}

// ScanCells yields every cell of a partition that is there throughout, some perhaps more than once.
func (s *Store) ScanCells(ctx context.Context, partition int, yield func(stock.Cell) error) error {
	if err := s.checkPartition(partition); err != nil {
		return err
	}
	return s.scan(ctx, s.shards[partition].cells, stock.CellBytes, func(field, _ string) error {
		return yield(stock.CellFrom(bytesOf(field)))
	})
}

// ScanReservations yields the id of every record of a partition that is there throughout, some
// perhaps more than once.
func (s *Store) ScanReservations(ctx context.Context, partition int, yield func(stock.ReservationID) error) error {
	if err := s.checkPartition(partition); err != nil {
		return err
	}
	return s.scan(ctx, s.shards[partition].res, stock.ReservationBytes, func(field, _ string) error {
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
