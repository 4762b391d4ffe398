package redisstock

import (
	"encoding/binary"

	"sluice/core/stock"
)

// confirm makes the call of confirm.lua.
func (c *call) confirm(s *Store, shard *shard, requests []stock.Request) {
	c.keys = append(c.keys, shard.cells, shard.res, shard.gone, shard.outbox)
	c.args = append(c.args, shard.head, s.retentionMS)
	c.addSettled(requests)
}

// addSettled adds reservation and user of each request.
func (c *call) addSettled(requests []stock.Request) {
	for i := range requests {
		start := len(c.buf)
		c.buf = append(c.buf, requests[i].ID[:]...)
		c.buf = binary.BigEndian.AppendUint64(c.buf, uint64(requests[i].User))
		c.args = append(c.args, c.since(start))
	}
}
