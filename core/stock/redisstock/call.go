package redisstock

import (
	"slices"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// call is the memory of one pipeline, used again by later ones.
type call struct {
	commands []rueidis.Completed
	unproven string          // levels that it does not prove, as an argument
	trusted  []PartitionMark // of each vector

	// Of the vector being added.
	keys, args []string
	buf        []byte // what the arguments of all vectors point into
	cells      []stock.Cell
	places     []byte       // of each request's cell, from 1
	marks      []stock.Mark // by place
	placeOf    map[stock.Cell]byte
	pools      []uint32
}

func newCall() *call {
	return &call{placeOf: map[stock.Cell]byte{}}
}

func (c *call) reset() {
	clear(c.commands)
	c.commands, c.trusted, c.buf = c.commands[:0], c.trusted[:0], c.buf[:0]
}

// add appends a vector's command. Only those of partitions that the store trusts are added.
func (c *call) add(s *Store, v *stock.Vector) {
	c.keys, c.args, c.cells, c.places, c.pools = c.keys[:0], c.args[:0], c.cells[:0], c.places[:0], c.pools[:0]
	shard := &s.shards[v.Partition]
	switch v.Op {
	case stock.OpReserve:
		c.reserve(s, shard, v.Requests)
	case stock.OpDeduct:
		c.deduct(s, shard, v.Requests)
	case stock.OpConfirm:
		c.confirm(s, shard, v.Requests)
	case stock.OpRelease:
		c.release(s, shard, v.Requests)
	case stock.OpAdjust:
		c.adjust(s, shard, v.Requests)
	}
	trusted, start := s.marks.of(v.Partition), len(c.buf)
	c.buf = trusted.append(c.buf)
	c.trusted = append(c.trusted, trusted)
	c.commands = append(c.commands, s.evalsha(s.scripts[v.Op.String()], v.Partition, c.since(start), c.keys, c.args))
}

// since is what was appended to the buffer since it had a length, as an argument. If the buffer moves
// later, the argument keeps the old one alive.
func (c *call) since(length int) string { return text(c.buf[length:]) }

// findCells lists the cells of requests, each once, and every request's place among them.
func (c *call) findCells(requests []stock.Request) {
	clear(c.placeOf)
	for i := range requests {
		cell := requests[i].Cell
		if i > 0 && cell == requests[i-1].Cell { // the usual vector is full of one cell
			c.places = append(c.places, c.places[i-1])
			continue
		}
		place, known := c.placeOf[cell]
		if !known {
			c.cells = append(c.cells, cell)
			place = byte(len(c.cells)) // stock.VectorMax of them at most
			c.placeOf[cell] = place
		}
		c.places = append(c.places, place)
	}
}

func (c *call) addCells() {
	for _, cell := range c.cells {
		start := len(c.buf)
		c.buf = cell.Append(c.buf)
		c.args = append(c.args, c.since(start))
	}
}

// addIDs adds every request's reservation. It copies them: a caller whose call has failed may use its
// requests again while the command is still in the client's queue.
func (c *call) addIDs(requests []stock.Request) {
	for i := range requests {
		start := len(c.buf)
		c.buf = append(c.buf, requests[i].ID[:]...)
		c.args = append(c.args, c.since(start))
	}
}

// addPlaces adds the argument of every request's place.
func (c *call) addPlaces() {
	start := len(c.buf)
	c.buf = append(c.buf, c.places...)
	c.args = append(c.args, c.since(start))
}

// pool is the place of a pool's buyers among the vector's, from 1. It adds their key if it is new.
func (c *call) pool(shard *shard, pool uint32) byte {
	place := slices.Index(c.pools, pool)
	if place < 0 {
		place = len(c.pools)
		c.pools = append(c.pools, pool)
		c.keys = append(c.keys, shard.buyers(pool))
	}
	return byte(place + 1)
}
