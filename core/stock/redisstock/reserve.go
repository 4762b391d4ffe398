package redisstock

import (
	"bytes"

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
}

// addMarks adds what the callers have seen of the cells: once per cell where they agree, which they
// do if one batcher fills them in, else once per request.
func (c *call) addMarks(requests []stock.Request) {
	start := len(c.buf)
	known := byte(0) // places up to here have their mark
	for i := range requests {
		place := c.places[i]
		if place > known {
			c.buf = appendMark(c.buf, requests[i].Fence)
			known = place
			continue
		}
		var mark [markBytes]byte
		appendMark(mark[:0], requests[i].Fence)
		if at := start + markBytes*int(place-1); !bytes.Equal(c.buf[at:at+markBytes], mark[:]) {
			c.buf = c.buf[:start]
			for i := range requests {
				c.buf = appendMark(c.buf, requests[i].Fence)
			}
			break
		}
	}
	c.args = append(c.args, c.since(start))
}
