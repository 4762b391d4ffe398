package redisstock

import (
	"encoding/binary"
	"strconv"

	"sluice/core/event"
	"sluice/core/stock"
)

// adjust makes the call of adjust.lua.
func (c *call) adjust(s *Store, shard *shard, requests []stock.Request) {
	c.keys = append(c.keys, shard.cells, shard.res, shard.gone, shard.outbox)
	c.findCells(requests)
	c.args = append(c.args, shard.head, s.retentionMS)
	c.addPlaces()
	c.args = append(c.args, strconv.Itoa(len(c.cells)))
	c.addCells()
	c.addIDs(requests)
	for i := range requests {
		r := requests[i]
		r.Quantity = 0 // an event that carries a change has none
		start := len(c.buf)
		c.buf = appendAsk(c.buf, &r)
		c.args = append(c.args, c.since(start))
	}
	for i := range requests {
		start := len(c.buf)
		c.buf = appendAdjustment(c.buf, requests[i].Adjustment)
		c.args = append(c.args, c.since(start))
	}
}

// appendAdjustment appends kind 1, create 1, delta 8, fields 1, settings 20 and reason.
func appendAdjustment(dst []byte, a *stock.Adjustment) []byte {
	create, settings := byte(1), a.Settings
	if !a.Create { // what is not to be set need not be in range
		create, settings = 0, stock.Settings{}.With(a.Fields, a.Settings)
	}
	dst = append(dst, byte(a.Kind), create)
	dst = binary.BigEndian.AppendUint64(dst, uint64(a.Delta))
	dst = append(dst, byte(a.Fields))
	dst = event.AppendSettings(dst, settings, 0)
	return append(dst, a.Reason...)
}
