package redisstock

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// worstMax is how many cells that are behind, and how many with a fork, a report names.
const worstMax = 10

// comparison collects the differences between cells and the evidence.
type comparison struct {
	positions int64        // compared
	behind    int64        // cells that are behind MySQL or Kafka
	worst     []Behind     // those of them that lack the most, at most worstMax
	behindIn  map[int]bool // partitions with a cell that is behind
	heldIn    map[int]bool // partitions with a cell that has units held
	fencedIn  map[int]bool // partitions with a cell that is fenced and not behind, if mends is set

	mends   bool                  // fenced cells count as lost too, because this vetting rebuilds them
	lag     map[stock.Cell]Behind // cells that are behind or fenced, at most lagMax
	lagging bool                  // there are more

	forked   map[stock.Cell]bool // cells with an unresolved fork
	forkedIn map[int]bool        // their partitions
	forks    []string            // some of the forks, at most worstMax
}

func newComparison() comparison {
	return comparison{
		behindIn: map[int]bool{}, heldIn: map[int]bool{}, fencedIn: map[int]bool{}, lag: map[stock.Cell]Behind{},
		forked: map[stock.Cell]bool{}, forkedIn: map[int]bool{},
	}
}

// note counts the comparison of one position of a cell. A cell that the evidence yields twice counts twice, unless it is
// among the worst.
func (c *comparison) note(partition int, b Behind, held, fenced bool) {
	c.positions++
	if held {
		c.heldIn[partition] = true
	}
	behind := b.Redis.Less(b.Known)
	if behind || fenced && c.mends {
		c.lags(b)
	}
	if behind {
		c.fallsBehind(partition, b)
	} else if fenced && c.mends {
		c.fencedIn[partition] = true
	}
}

// noteBare counts a position of a cell whose partition holds no stock. Only a restore can bring the cell back.
func (c *comparison) noteBare(partition int, b Behind) {
	c.positions++
	if b.Redis.Less(b.Known) {
		c.fallsBehind(partition, b)
	}
}

func (c *comparison) fallsBehind(partition int, b Behind) {
	c.behindIn[partition] = true
	if at := slices.IndexFunc(c.worst, func(w Behind) bool { return w.Cell == b.Cell }); at >= 0 {
		if c.worst[at].Known.Less(b.Known) {
			c.worst[at] = b
		}
	} else {
		c.behind++
		if len(c.worst) == worstMax && b.lost() <= c.worst[worstMax-1].lost() {
			return
		}
		c.worst = append(c.worst, b)
	}
	slices.SortFunc(c.worst, func(a, b Behind) int { return cmp.Compare(b.lost(), a.lost()) })
	c.worst = c.worst[:min(len(c.worst), worstMax)]
}

// lags keeps a cell that is to be rebuilt, with the highest position that anybody knows.
func (c *comparison) lags(b Behind) {
	if known, kept := c.lag[b.Cell]; kept && !known.Known.Less(b.Known) {
		return
	} else if !kept && len(c.lag) == lagMax {
		c.lagging = true
		return
	}
	c.lag[b.Cell] = b
}

// fork counts the cell of a fork, once.
func (c *comparison) fork(partition int, cell stock.Cell, at stock.Position) {
	if c.forked[cell] {
		return
	}
	c.forked[cell], c.forkedIn[partition] = true, true
	if len(c.forks) < worstMax {
		c.forks = append(c.forks, fmt.Sprintf("%v has two events at epoch %d seq %d", cell, at.Epoch, at.Seq))
	}
}

func sortedKeys(set map[int]bool) []int { return slices.Sorted(maps.Keys(set)) }

// lost returns how many effects are missing at least.
func (b Behind) lost() uint64 {
	return max(b.Known.Seq, b.Redis.Seq+1) - b.Redis.Seq // the seq goes on over epochs
}

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
