package persister

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"sluice/core/event"
	"sluice/core/stock"
)

// history makes up what scripts would have done: valid events of some cells, each following from the one
// before.
type history struct {
	seed   uint64
	rand   *rand.Rand
	cells  []*cellHistory
	nextID uint64
	nowMS  int64
	rebase int // percent of events that begin a new epoch
}

type cellHistory struct {
	last event.Event   // balances and position so far
	held []event.Event // reservations that are open

	ended []stock.ReservationID // of reservations whose retention may have ended too
}

const testPartitions = 64

// newHistory has so many cells. The first event of each loads it with stock. Two differ in nothing but their
// bucket.
func newHistory(seed uint64, cells int) *history {
	h := &history{seed: seed, rand: rand.New(rand.NewPCG(seed, seed)), nowMS: 1_700_000_000_000}
	for i := range cells {
		c := stock.Cell{SKU: int64(1001 + i/2), Pool: uint32(i / 2 % 3), Bucket: uint16(i % 2)}
		h.cells = append(h.cells, &cellHistory{last: event.Event{Cell: c}})
	}
	return h
}

// id is a new one, or that of a reservation which was forgotten.
func (h *history) id(c *cellHistory) stock.ReservationID {
	if n := len(c.ended); n > 0 && h.rand.IntN(4) == 0 {
		i := h.rand.IntN(n)
		id := c.ended[i]
		c.ended = slices.Delete(c.ended, i, i+1)
		return id
	}
	var id stock.ReservationID
	h.nextID++
	binary.BigEndian.PutUint16(id[:], uint16(c.last.Cell.Partition(testPartitions)))
	binary.BigEndian.PutUint64(id[2:], h.nextID*0x9e3779b97f4a7c15) // spread like a hash
	return id
}

// next makes the next event of a cell.
func (h *history) next(c *cellHistory) event.Event {
	h.nowMS++
	e := event.Event{
		Cell: c.last.Cell, Position: stock.Position{Epoch: 1, Seq: c.last.Seq + 1},
		Avail: c.last.Avail, Held: c.last.Held, Sold: c.last.Sold,
		User: 1 + h.rand.Int64N(1000), Quantity: 1 + h.rand.Int64N(3), Fingerprint: h.rand.Uint32(),
	}
	if h.rand.IntN(100) < h.rebase && e.Seq > 1 {
		e.Epoch = c.last.Epoch + 1
	} else if c.last.Epoch > 0 {
		e.Epoch = c.last.Epoch
	}
	switch dice := h.rand.IntN(100); {
	case e.Seq == 1 || e.Avail < e.Quantity:
		e.Kind, e.Quantity, e.Fingerprint = event.KindAdjust, 0, 0
		e.Change = event.Change{Delta: 1000, Reason: "it's \"quoted\" \\ ✓", Settings: stock.Settings{Limit: 3, Hold: stock.HoldDefault}}
		e.Avail += e.Change.Delta
		e.Reservation = h.id(c)
	case dice < 50 || len(c.held) == 0:
		e.Kind, e.DeadlineMS = event.KindReserve, h.nowMS+900_000
		e.Avail, e.Held = e.Avail-e.Quantity, e.Held+e.Quantity
		e.Reservation = h.id(c)
		c.held = append(c.held, e)
	case dice < 55:
		e.Kind = event.KindDeduct
		e.Avail, e.Sold = e.Avail-e.Quantity, e.Sold+e.Quantity
		e.Reservation = h.id(c)
		c.ended = append(c.ended, e.Reservation)
	default:
		i := h.rand.IntN(len(c.held))
		r := c.held[i]
		c.held = append(c.held[:i], c.held[i+1:]...)
		c.ended = append(c.ended, r.Reservation)
		e.Reservation, e.User, e.Quantity, e.Fingerprint, e.DeadlineMS = r.Reservation, r.User, r.Quantity, r.Fingerprint, r.DeadlineMS
		e.Held -= e.Quantity
		switch {
		case dice < 80:
			e.Kind = event.KindConfirm
			e.Sold += e.Quantity
		case dice < 90:
			e.Kind = event.KindRelease
			e.Avail += e.Quantity
		default:
			e.Kind = event.KindExpire
			e.Avail += e.Quantity
		}
	}
	c.last = e
	return e
}

// batch makes the events of one vector: of cells of one partition, like a script.
func (h *history) batch(size int) event.Batch {
	first := h.cells[h.rand.IntN(len(h.cells))]
	b := event.Batch{Partition: first.last.Cell.Partition(testPartitions)}
	for range size {
		c := h.cells[h.rand.IntN(len(h.cells))]
		if c.last.Cell.Partition(testPartitions) != b.Partition {
			c = first
		}
		b.Events = append(b.Events, h.next(c))
	}
	b.TimeMS = h.nowMS
	return b
}
