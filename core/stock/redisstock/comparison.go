package redisstock

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"sluice/core/stock"
)

// worstMax is how many cells that are behind, and how many with a fork, a report names.
const worstMax = 10

// comparison has what the comparison of cells with the evidence has found so far.
type comparison struct {
	positions int64        // compared
	behind    int64        // cells that are behind MySQL or Kafka
	worst     []Behind     // those of them that lack the most, at most worstMax
	behindIn  map[int]bool // partitions with a cell that is behind
	heldIn    map[int]bool // partitions with a cell that has units held

	forked   map[stock.Cell]bool // cells with an unresolved fork
	forkedIn map[int]bool        // their partitions
	forks    []string            // some of the forks, at most worstMax
}

func newComparison() comparison {
	return comparison{behindIn: map[int]bool{}, heldIn: map[int]bool{}, forked: map[stock.Cell]bool{}, forkedIn: map[int]bool{}}
}

// note counts the comparison of one position of a cell. A cell that the evidence yields twice counts twice, unless it is
// among the worst.
func (c *comparison) note(partition int, b Behind, held bool) {
	c.positions++
	if held {
		c.heldIn[partition] = true
	}
	if !b.Redis.Less(b.Known) {
		return
	}
	c.behindIn[partition] = true
	if at := slices.IndexFunc(c.worst, func(w Behind) bool { return w.Cell == b.Cell }); at >= 0 {
		if c.worst[at].Known.Less(b.Known) {
			c.worst[at] = b
		}
	} else {
		c.behind++
		c.worst = append(c.worst, b)
	}
	slices.SortFunc(c.worst, func(a, b Behind) int { return cmp.Compare(b.lost(), a.lost()) })
	c.worst = c.worst[:min(len(c.worst), worstMax)]
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
