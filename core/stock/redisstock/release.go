package redisstock

import (
	"encoding/binary"

	"sluice/core/stock"
)

// release makes the call of release.lua.
func (c *call) release(s *Store, shard *shard, requests []stock.Request) {
	c.keys = append(c.keys, shard.cells, shard.res, shard.gone, shard.outbox)
	for i := range requests {
		c.pool(shard, requests[i].Cell.Pool)
	}
	c.args = append(c.args, shard.head, s.retentionMS)
	c.addUsers(requests)
	c.addPools()
	c.addIDs(requests)
}

// addPools adds the argument that names the pools of the buyers keys.
func (c *call) addPools() {
	start := len(c.buf)
	for _, pool := range c.pools {
		c.buf = binary.BigEndian.AppendUint32(c.buf, pool)
	}
	c.args = append(c.args, c.since(start))
}
