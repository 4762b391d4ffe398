package redisstock

import "sluice/core/stock"

// deduct makes the call of deduct.lua.
func (c *call) deduct(s *Store, shard *shard, requests []stock.Request) {
	c.keys = append(c.keys, shard.cells, shard.res, shard.gone, shard.outbox)
	c.take(s, shard, requests)
}
