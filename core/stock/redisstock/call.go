package redisstock

import (
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/redis/rueidis"

	"sluice/core/event"
	"sluice/core/stock"
)

// call is the memory of one pipeline. The store uses it again for later pipelines.
type call struct {
	commands []rueidis.Completed
	unproven string       // argument: the levels that this pipeline does not prove
	trusted  []stock.Mark // for each vector, the mark that its command carries
	buf      []byte       // the bytes of all arguments; each argument is a string that points into it

	// The rest is about the vector that add is adding.
	keys, args []string
	cells      []stock.Cell        // each cell of the requests once; its place is its index plus 1
	placeOf    map[stock.Cell]byte // the place of each cell
	places     []byte              // for each request, the place of its cell
	fences     []stock.Position    // for each cell
	pools      []uint32            // each pool once; its place is its index plus 1
}

func newCall() *call {
	return &call{placeOf: map[stock.Cell]byte{}}
}

func (c *call) reset() {
	clear(c.commands)
	c.commands, c.trusted, c.buf = c.commands[:0], c.trusted[:0], c.buf[:0]
}

// add appends the command of a vector. Its partition must be one that the store trusts.
func (c *call) add(s *Store, v *stock.Vector) {
	c.keys, c.args, c.cells, c.places, c.pools = c.keys[:0], c.args[:0], c.cells[:0], c.places[:0], c.pools[:0]
	p := &s.partitions[v.Partition]
	switch v.Op {
	case stock.OpReserve:
		c.reserve(s, p, v.Requests)
	case stock.OpDeduct:
		c.deduct(s, p, v.Requests)
	case stock.OpConfirm:
		c.confirm(s, p, v.Requests)
	case stock.OpRelease:
		c.release(s, p, v.Requests)
	case stock.OpAdjust:
		c.adjust(s, p, v.Requests)
	case stock.OpExtend:
		c.extend(s, p, v.Requests)
	case stock.OpReturn:
		c.giveBack(s, p, v.Requests)
	case stock.OpGather:
		c.gather(s, p, v.Requests)
	case stock.OpVoid:
		c.void(s, p, v.Requests)
	case stock.OpDecide:
		c.decide(p, v.Requests)
	}
	trusted, start := s.marks.of(v.Partition), len(c.buf)
	c.buf = appendMark(c.buf, trusted)
	c.trusted = append(c.trusted, trusted)
	c.commands = append(c.commands, s.evalsha(s.scripts[v.Op.String()], v.Partition, c.since(start), c.keys, c.args))
}

// since returns an argument: the bytes that were appended to buf since it had this length. If buf moves when it grows
// later, the argument keeps its old array alive.
func (c *call) since(length int) string { return text(c.buf[length:]) }

// findCells fills cells and places from the requests.
func (c *call) findCells(requests []stock.Request) {
	clear(c.placeOf)
	for i := range requests {
		cell := requests[i].Cell
		if i > 0 && cell == requests[i-1].Cell { // most vectors have one cell only
			c.places = append(c.places, c.places[i-1])
			continue
		}
		place, known := c.placeOf[cell]
		if !known {
			c.cells = append(c.cells, cell)
			place = byte(len(c.cells)) // fits: a vector has at most stock.VectorMax cells
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

// addIDs adds the reservation id of every request. It copies the ids: after a failed call, the caller may reuse its
// requests while the command is still in the client's queue.
func (c *call) addIDs(requests []stock.Request) {
	for i := range requests {
		start := len(c.buf)
		c.buf = append(c.buf, requests[i].ID[:]...)
		c.args = append(c.args, c.since(start))
	}
}

// addPlaces adds one argument: the places of the requests' cells.
func (c *call) addPlaces() {
	start := len(c.buf)
	c.buf = append(c.buf, c.places...)
	c.args = append(c.args, c.since(start))
}

// pool returns the place of a pool. It adds the key of the pool's buyers if the pool is new.
func (c *call) pool(p *partition, pool uint32) byte {
	place := slices.Index(c.pools, pool)
	if place < 0 {
		place = len(c.pools)
		c.pools = append(c.pools, pool)
		c.keys = append(c.keys, p.buyers(pool))
	}
	return byte(place + 1)
}

// reserve makes the call of reserve.lua.
func (c *call) reserve(s *Store, p *partition, requests []stock.Request) {
	c.keys = append(c.keys, p.cells, p.res, p.due, p.outbox)
	c.take(s, p, requests)
	c.args = append(c.args, c.unproven)
}

// take adds the arguments that reserve, deduct and gather have in common, and the buyers keys.
func (c *call) take(s *Store, p *partition, requests []stock.Request) {
	c.findCells(requests)
	c.args = append(c.args, p.head, s.outboxMax, s.retentionMS)
	c.addPoolOfCells(p)
	c.addRegistered(p)
	c.addFences(requests)
	c.addPlaces()
	c.addCells()
	c.addIDs(requests)
	c.addAsks(requests)
}

// addPoolOfCells adds one argument: for each cell, the place of its pool.
func (c *call) addPoolOfCells(p *partition) {
	start := len(c.buf)
	for _, cell := range c.cells {
		c.buf = append(c.buf, c.pool(p, cell.Pool))
	}
	c.args = append(c.args, c.since(start))
}

// addRegistered adds the keys of the users who are registered, one for each pool, if a pool is a sale's. Behind them is the key
// that tells which of them are whole.
func (c *call) addRegistered(p *partition) {
	if len(c.pools) == 1 && c.pools[0] == 0 {
		return
	}
	for _, pool := range c.pools {
		c.keys = append(c.keys, p.registered(pool))
	}
	c.keys = append(c.keys, p.whole)
}

// addAsks adds the members of each request.
func (c *call) addAsks(requests []stock.Request) {
	for i := range requests {
		start := len(c.buf)
		c.buf = appendAsk(c.buf, &requests[i])
		c.args = append(c.args, c.since(start))
	}
}

// unproven returns the argument that names the levels which nobody proves without a wait for a replica, a bit for each.
func unproven(deployment stock.Ack) string {
	levels := 1 << stock.AckReplica
	if deployment == stock.AckReplica {
		levels |= 1 << stock.AckDefault
	}
	return strconv.Itoa(levels)
}

// addFences adds one argument: for each cell, the highest position that any of its requests' callers has seen. If the
// script judged each request by its own fence, it would accept one whose caller has seen less. Its effect would then
// hide the lost effects from the others.
func (c *call) addFences(requests []stock.Request) {
	c.fences = c.fences[:0]
	for i := range requests {
		place := int(c.places[i])
		if place > len(c.fences) {
			c.fences = append(c.fences, requests[i].Fence)
		} else if c.fences[place-1].Less(requests[i].Fence) {
			c.fences[place-1] = requests[i].Fence
		}
	}
	start := len(c.buf)
	for _, fence := range c.fences {
		c.buf = appendPosition(c.buf, fence)
	}
	c.args = append(c.args, c.since(start))
}

// deduct makes the call of deduct.lua.
func (c *call) deduct(s *Store, p *partition, requests []stock.Request) {
	c.keys = append(c.keys, p.cells, p.res, p.gone, p.outbox)
	c.take(s, p, requests)
	c.args = append(c.args, c.unproven)
}

// confirm makes the call of confirm.lua.
func (c *call) confirm(s *Store, p *partition, requests []stock.Request) {
	c.keys = append(c.keys, p.cells, p.res, p.gone, p.outbox)
	c.args = append(c.args, p.head, s.retentionMS)
	c.addUsers(requests)
	c.addIDs(requests)
}

// addUsers adds one argument: the users of the requests.
func (c *call) addUsers(requests []stock.Request) {
	start := len(c.buf)
	for i := range requests {
		c.buf = binary.BigEndian.AppendUint64(c.buf, uint64(requests[i].User))
	}
	c.args = append(c.args, c.since(start))
}

// release makes the call of release.lua.
func (c *call) release(s *Store, p *partition, requests []stock.Request) {
	c.keys = append(c.keys, p.cells, p.res, p.gone, p.outbox)
	for i := range requests {
		c.pool(p, requests[i].Cell.Pool)
	}
	c.args = append(c.args, p.head, s.retentionMS)
	c.addUsers(requests)
	c.addPools()
	c.addIDs(requests)
}

// extend makes the call of extend.lua.
func (c *call) extend(s *Store, p *partition, requests []stock.Request) {
	c.keys = append(c.keys, p.cells, p.res, p.due, p.outbox)
	c.args = append(c.args, p.head, s.outboxMax)
	c.addUsers(requests)
	start := len(c.buf)
	for i := range requests {
		c.buf = append(c.buf, binary.BigEndian.AppendUint64(nil, uint64(requests[i].DeadlineMS))[2:]...)
	}
	c.args = append(c.args, c.since(start))
	c.addIDs(requests)
}

// giveBack makes the call of return.lua.
func (c *call) giveBack(s *Store, p *partition, requests []stock.Request) {
	c.keys = append(c.keys, p.cells, p.res, p.gone, p.outbox)
	c.findCells(requests)
	c.args = append(c.args, p.head, s.outboxMax, s.retentionMS)
	c.addPoolOfCells(p)
	c.addPlaces()
	c.addCells()
	c.addIDs(requests)
	c.addAsks(requests)
	for i := range requests {
		start := len(c.buf)
		c.buf = append(c.buf, requests[i].Reason...)
		c.args = append(c.args, c.since(start))
	}
}

// addPools adds one argument: the pools of the buyers keys.
func (c *call) addPools() {
	start := len(c.buf)
	for _, pool := range c.pools {
		c.buf = binary.BigEndian.AppendUint32(c.buf, pool)
	}
	c.args = append(c.args, c.since(start))
}

// adjust makes the call of adjust.lua.
func (c *call) adjust(s *Store, p *partition, requests []stock.Request) {
	c.keys = append(c.keys, p.cells, p.res, p.gone, p.outbox)
	c.findCells(requests)
	c.args = append(c.args, p.head, s.retentionMS)
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

// appendAdjustment appends kind 1, create 1, delta 8, fields 1, settings 24 and reason.
func appendAdjustment(dst []byte, a *stock.Adjustment) []byte {
	create, settings := byte(1), a.Settings
	if !a.Create { // leave out the settings that the adjustment does not set: they need not be in range
		create, settings = 0, stock.Settings{}.With(a.Fields, a.Settings)
	}
	dst = append(dst, byte(a.Kind), create)
	dst = binary.BigEndian.AppendUint64(dst, uint64(a.Delta))
	dst = append(dst, byte(a.Fields))
	dst = event.AppendSettings(dst, settings, 0)
	if !event.LongSettings(settings) {
		dst = append(dst, make([]byte, event.ExtendBytes)...)
	}
	return append(dst, a.Reason...)
}
