package redisstock

import (
	"context"
	"fmt"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// evidenceChunk is how many positions a vetting compares at once, and keeps in memory.
const evidenceChunk = 4096

// compareAll compares the cells of Redis with MySQL and Kafka.
func (v *vetting) compareAll(ctx context.Context) error {
	chunk := make([]Behind, 0, evidenceChunk)
	err := v.cfg.Evidence.Highest(ctx, func(cell stock.Cell, known stock.Position) error {
		chunk = append(chunk, Behind{Cell: cell, Known: known})
		if len(chunk) < evidenceChunk {
			return nil
		}
		err := v.compare(ctx, chunk)
		chunk = chunk[:0]
		return err
	})
	if err == nil {
		err = v.compare(ctx, chunk)
	}
	if err == nil {
		err = v.cfg.Evidence.Forks(ctx, func(cell stock.Cell, position stock.Position) error {
			v.fork(cell.Partition(v.cfg.Partitions), cell, position)
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("compare with evidence: %w", err)
	}
	return nil
}

// compare reads the cells of a chunk and notes those that are behind. It reads without scripts, because these are not
// loaded yet.
func (v *vetting) compare(ctx context.Context, chunk []Behind) error {
	byPartition := map[int][]int{}
	for i := range chunk {
		p := chunk[i].Cell.Partition(v.cfg.Partitions)
		switch found := &v.partitions[p]; {
		case found.restoring: // it does not open, even if it is complete
		case !found.stored:
			v.noteBare(p, chunk[i])
		default:
			byPartition[p] = append(byPartition[p], i)
		}
	}
	for _, server := range v.primaries {
		var places [][]int
		var commands []rueidis.Completed
		for _, p := range server.partitions {
			indexes := byPartition[p]
			if len(indexes) == 0 {
				continue
			}
			fields := make([]string, len(indexes))
			for k, i := range indexes {
				fields[k] = string(chunk[i].Cell.Append(nil))
			}
			places = append(places, indexes)
			commands = append(commands, server.conn.B().Hmget().Key(keysOf(p).cells).Field(fields...).Build())
		}
		for c, answer := range server.conn.DoMulti(ctx, commands...) {
			if err := v.noteAll(chunk, places[c], answer); err != nil {
				return fmt.Errorf("%s: %w", server, err)
			}
		}
	}
	return nil
}

// noteAll notes the answer of one server about the cells at some places of a chunk.
func (v *vetting) noteAll(chunk []Behind, places []int, answer rueidis.RedisResult) error {
	values, err := answer.AsStrSlice()
	if err != nil {
		return err
	}
	for k, i := range places {
		state, err := cellFrom(chunk[i].Cell, values[k])
		if err != nil {
			return err
		}
		chunk[i].Redis = state.Position
		v.note(state.Cell.Partition(v.cfg.Partitions), chunk[i], state.Held > 0, state.Fenced)
	}
	return nil
}
