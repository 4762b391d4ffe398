package redisstock

import (
	"context"
	"strconv"

	"sluice/core/stock"
)

// readMax is how many values one call of read.lua fetches.
const readMax = 128

// Cells reads cells in the order asked for. The time is that of the earliest of the calls.
func (s *Store) Cells(ctx context.Context, cells []stock.Cell) ([]stock.CellState, int64, error) {
	states := make([]stock.CellState, len(cells))
	nowMS, err := s.read(ctx, len(cells),
		func(i int) int { return cells[i].Partition(len(s.shards)) },
		func(i int) string { return text(cells[i].Append(nil)) },
		true,
		func(i int, value string) (err error) {
			states[i], err = cellFrom(cells[i], value)
			return err
		})
	if err != nil {
		return nil, 0, err
	}
	return states, nowMS, nil
}

// Reservations reads reservations in the order asked for. The time is that of the earliest of the
// calls.
func (s *Store) Reservations(
	ctx context.Context, ids []stock.ReservationID,
) ([]stock.Reservation, int64, error) {
	found := make([]stock.Reservation, len(ids))
	nowMS, err := s.read(ctx, len(ids),
		func(i int) int { return ids[i].Partition() },
		func(i int) string { return string(ids[i][:]) },
		false,
		func(i int, value string) (err error) {
			found[i], err = recordFrom(ids[i], value)
			return err
		})
	if err != nil {
		return nil, 0, err
	}
	return found, nowMS, nil
}

// read fetches n values, of cells or of reservations, with as few calls as their partitions allow.
func (s *Store) read(
	ctx context.Context, n int, partition func(i int) int, field func(i int) string, cells bool,
	value func(i int, value string) error,
) (nowMS int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	byPartition := map[int][]int{}
	for i := range n {
		p := partition(i)
		if err := s.checkPartition(p); err != nil {
			return 0, err
		}
		byPartition[p] = append(byPartition[p], i)
	}
	for p, all := range byPartition {
		for len(all) > 0 {
			some := all[:min(len(all), readMax)]
			all = all[len(some):]
			args := make([]string, 1, 1+len(some))
			args[0] = "0"
			if cells {
				args[0] = strconv.Itoa(len(some))
			}
			for _, i := range some {
				args = append(args, field(i))
			}
			k := &s.shards[p].keys
			reply, err := s.eval(ctx, "read", []string{k.cells, k.res}, args, 1+len(some))
			if err != nil {
				return 0, err
			}
			at, err := reply[0].ToInt64()
			if err != nil {
				return 0, wrapProtocol("read", err)
			}
			if nowMS == 0 || at < nowMS {
				nowMS = at
			}
			for k, i := range some {
				packed, err := reply[1+k].ToString()
				if err != nil {
					return 0, wrapProtocol("read", err)
				}
				if err := value(i, packed); err != nil {
					return 0, err
				}
			}
		}
	}
	return nowMS, nil
}
