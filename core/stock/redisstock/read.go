package redisstock

import (
	"context"
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
