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
