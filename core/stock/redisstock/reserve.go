package redisstock

import (
	"strconv"

	"sluice/core/stock"
)

// reserve makes the call of reserve.lua.
func (c *call) reserve(s *Store, shard *shard, requests []stock.Request) {
	c.keys = append(c.keys, shard.cells, shard.res, shard.due, shard.outbox)
	c.take(s, shard, requests)
}

// take adds what reserve and deduct have in common: the arguments, and the buyers keys.
func (c *call) take(s *Store, shard *shard, requests []stock.Request) {
	c.findCells(requests)
	c.args = append(c.args, shard.head, s.outboxMax, s.retentionMS)
	start := len(c.buf)
	for _, cell := range c.cells {
		c.buf = append(c.buf, c.pool(shard, cell.Pool))
	}
	c.args = append(c.args, c.since(start))
	c.addMarks(requests)
	c.addPlaces()
	c.addCells()
	c.addIDs(requests)
	for i := range requests {
		start := len(c.buf)
		c.buf = appendAsk(c.buf, &requests[i])
		c.args = append(c.args, c.since(start))
	}
	c.args = append(c.args, c.unproven)
}

// unproven is the argument of the levels that are not proven without a replica, a bit for each.
func unproven(deployment stock.Ack) string {
	levels := 1 << stock.AckReplica
	if deployment == stock.AckReplica {
		levels |= 1 << stock.AckDefault
	}
	return strconv.Itoa(levels)
}

// addMarks adds the highest mark of each cell that its callers have seen. Judged by its own, one who has
// seen less would be let through, and its effect hide from the others that effects were lost.
func (c *call) addMarks(requests []stock.Request) {
	c.marks = c.marks[:0]
	for i := range requests {
		place := int(c.places[i])
		if place > len(c.marks) {
			c.marks = append(c.marks, requests[i].Fence)
		} else if c.marks[place-1].Less(requests[i].Fence) {
			c.marks[place-1] = requests[i].Fence
		}
	}
	start := len(c.buf)
	for _, mark := range c.marks {
		c.buf = appendMark(c.buf, mark)
	}
	c.args = append(c.args, c.since(start))
}
