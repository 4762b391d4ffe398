package redisstock

import (
	"encoding/binary"

	"sluice/core/stock"
)

// confirm makes the call of confirm.lua.
func (c *call) confirm(s *Store, shard *shard, requests []stock.Request) {
	c.keys = append(c.keys, shard.cells, shard.res, shard.gone, shard.outbox)
	c.args = append(c.args, shard.head, s.retentionMS)
	c.addUsers(requests)
	c.addIDs(requests)
}

// addUsers adds the argument of every request's user.
func (c *call) addUsers(requests []stock.Request) {
	start := len(c.buf)
	for i := range requests {
		c.buf = binary.BigEndian.AppendUint64(c.buf, uint64(requests[i].User))
	}
	c.args = append(c.args, c.since(start))
}
