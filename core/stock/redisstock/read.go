package redisstock

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// readMax is how many values one call of read.lua fetches.
const readMax = 128

// Cells reads cells in the order asked for. The time is that of the earliest of the calls that it
// takes.
func (s *Store) Cells(ctx context.Context, cells []stock.Cell) ([]stock.CellState, int64, error) {
	states := make([]stock.CellState, len(cells))
	nowMS, err := s.read(ctx, lookup{
		n:         len(cells),
		cells:     true,
		partition: func(i int) int { return cells[i].Partition(len(s.partitions)) },
		field:     func(i int) string { return text(cells[i].Append(nil)) },
		value: func(i int, value string) (err error) {
			states[i], err = cellFrom(cells[i], value)
			return err
		},
	})
	return states, nowMS, err
}

// Reservations reads reservations in the order asked for. The time is that of the earliest of the
// calls that it takes.
func (s *Store) Reservations(ctx context.Context, ids []stock.ReservationID) ([]stock.Reservation, int64, error) {
	found := make([]stock.Reservation, len(ids))
	nowMS, err := s.read(ctx, lookup{
		n:         len(ids),
		partition: func(i int) int { return ids[i].Partition() },
		field:     func(i int) string { return string(ids[i][:]) },
		value: func(i int, value string) (err error) {
			found[i], err = recordFrom(ids[i], value)
			return err
		},
	})
	return found, nowMS, err
}

// lookup is a list of n values to read, of cells or of reservations.
type lookup struct {
	n         int
	cells     bool
	partition func(i int) int
	field     func(i int) string
	value     func(i int, value string) error // receives value i
}

// read reads values in one pipeline, with as few calls as their partitions allow.
func (s *Store) read(ctx context.Context, r lookup) (nowMS int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	if ctx.Err() != nil {
		return 0, notSent(ctx, "read")
	}
	byPartition := map[int][]int{}
	for i := range r.n {
		p := r.partition(i)
		if err := s.checkPartition(p); err != nil {
			return 0, err
		}
		byPartition[p] = append(byPartition[p], i)
	}
	script := s.scripts["read"]
	var commands []rueidis.Completed
	var places [][]int // for each command, the places of its values
	for p, all := range byPartition {
		trusted := s.marks.of(p)
		if trusted.Nonce == 0 {
			return 0, untrusted("read")
		}
		mark := string(appendMark(nil, trusted))
		for len(all) > 0 {
			some := all[:min(len(all), readMax)]
			all = all[len(some):]
			args := append(make([]string, 0, 1+len(some)), "0")
			if r.cells {
				args[0] = strconv.Itoa(len(some))
			}
			for _, i := range some {
				args = append(args, r.field(i))
			}
			k := &s.partitions[p].keys
			commands = append(commands, s.evalsha(script, p, mark, []string{k.cells, k.res}, args))
			places = append(places, some)
		}
	}
	started := s.now()
	for c, answer := range s.client.DoMulti(ctx, commands...) {
		atMS, err := r.fill(places[c], answer)
		script.called(s.now().Sub(started), err)
		if err != nil {
			return 0, err
		}
		if nowMS == 0 || atMS < nowMS {
			nowMS = atMS
		}
	}
	return nowMS, nil
}

// fill passes on the values of one call, which has read some places.
func (r *lookup) fill(places []int, answer rueidis.RedisResult) (nowMS int64, err error) {
	elements, err := answer.ToArray()
	if err != nil {
		return 0, wrap("read", err)
	}
	if len(elements) != 1+len(places) {
		return 0, wrapProtocol("read", elementsError(len(elements)))
	}
	if nowMS, err = elements[0].ToInt64(); err != nil {
		return 0, wrapProtocol("read", err)
	}
	for k, i := range places {
		packed, err := elements[1+k].ToString()
		if err != nil {
			return 0, wrapProtocol("read", err)
		}
		if err := r.value(i, packed); err != nil {
			return 0, err
		}
	}
	return nowMS, nil
}

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
