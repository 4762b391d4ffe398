package memstock

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"sluice/core/stock"
)

// partition models the keys of Redis with one hash tag.
type partition struct {
	number       int
	cells        map[stock.Cell]stock.CellState
	reservations map[stock.ReservationID]stock.Reservation
	buyers       map[buyer]int64 // counted units that are held or sold
	registered   map[registration]bool
	whole        map[uint32]int64 // how many users of a sale there were when somebody found that they were all
	due          []member         // of deadlines, in order
	gone         []member         // of ends of retention, in order
	baskets      map[stock.ReservationID]stock.BasketRecord
	undecided    []stock.Undecided // baskets that are begun or refusing, oldest first
	outbox       []stock.Entry
	lastMS       int64 // of the outbox' last entry
	lastN        int
}

type buyer struct {
	cell stock.Cell
	user int64
}

// registration is a user who may take from the sale's cells.
type registration struct {
	sale uint32
	user int64
}

func newPartition(number int) *partition {
	return &partition{
		number:       number,
		cells:        map[stock.Cell]stock.CellState{},
		reservations: map[stock.ReservationID]stock.Reservation{},
		buyers:       map[buyer]int64{},
		registered:   map[registration]bool{},
		whole:        map[uint32]int64{},
		baskets:      map[stock.ReservationID]stock.BasketRecord{},
	}
}

// users is how many users are registered for a sale.
func (p *partition) users(sale uint32) (n int64) {
	for r := range p.registered {
		if r.sale == sale {
			n++
		}
	}
	return n
}

// isWhole reports whether all users are known who are registered for a sale.
func (p *partition) isWhole(sale uint32) bool {
	found, known := p.whole[sale]
	return known && p.users(sale) >= found
}

func (p *partition) cell(c stock.Cell) stock.CellState {
	state := p.cells[c]
	state.Cell = c
	return state
}

// appendEntry puts an entry at the end of the outbox, under an id as a Redis stream gives it.
func (p *partition) appendEntry(nowMS int64, data []byte) stock.Entry {
	if nowMS > p.lastMS {
		p.lastMS, p.lastN = nowMS, -1
	}
	p.lastN++
	e := stock.Entry{Partition: p.number, ID: fmt.Sprintf("%d-%d", p.lastMS, p.lastN), Data: data}
	p.outbox = append(p.outbox, e)
	return e
}

func (p *partition) deleteEntries(ids []string) int64 {
	before := len(p.outbox)
	p.outbox = slices.DeleteFunc(p.outbox, func(e stock.Entry) bool { return slices.Contains(ids, e.ID) })
	return int64(before - len(p.outbox))
}

// entryLess orders stream ids; the empty one is before all others.
func entryLess(a, b string) bool {
	var aMS, bMS int64
	var aN, bN int
	_, _ = fmt.Sscanf(a, "%d-%d", &aMS, &aN)
	_, _ = fmt.Sscanf(b, "%d-%d", &bMS, &bN)
	return a == "" || cmp.Or(cmp.Compare(aMS, bMS), cmp.Compare(aN, bN)) < 0
}

// member is a member of a sorted set: the reservations of one vector and pool that share a time.
type member struct {
	atMS int64
	pool uint32
	ids  []stock.ReservationID
	key  string // the bytes by which Redis orders members of the same time
}

func newMember(atMS int64, pool uint32, ids []stock.ReservationID) member {
	key := binary.BigEndian.AppendUint32(nil, pool)
	for _, id := range ids {
		key = append(key, id[:]...)
	}
	return member{atMS: atMS, pool: pool, ids: ids, key: string(key)}
}

// add puts m in its place; a member that is there already moves to its new time.
func add(set []member, m member) []member {
	set = slices.DeleteFunc(set, func(other member) bool { return other.key == m.key })
	at, _ := slices.BinarySearchFunc(set, m, func(a, b member) int {
		return cmp.Or(cmp.Compare(a.atMS, b.atMS), strings.Compare(a.key, b.key))
	})
	return slices.Insert(set, at, m)
}
