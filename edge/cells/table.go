package cells

import (
	"time"

	"sluice/core/stock"
)

// entry is one remembered cell. It holds no pointers, so that the garbage collector does not walk a large table.
type entry struct {
	state stock.CellState
	asOf  time.Duration  // on the cache's clock
	fence stock.Position // never goes back
	used  bool           // since the hand last passed
}

// table is a bounded map of cells. It forgets an entry that nobody used during one turn of the clock's hand.
type table struct {
	max     int
	index   map[stock.Cell]int32
	entries []entry
	hand    int
}

func newTable(maxEntries int) table {
	return table{max: maxEntries, index: make(map[stock.Cell]int32)}
}

func (t *table) len() int { return len(t.entries) }

// find returns the entry of a cell, or nil. The entry is valid until the next observe.
func (t *table) find(cell stock.Cell) *entry {
	i, ok := t.index[cell]
	if !ok {
		return nil
	}
	e := &t.entries[i]
	e.used = true
	return e
}

func (t *table) observe(state *stock.CellState, asOf time.Duration) {
	e := t.find(state.Cell)
	if e == nil {
		if state.Loaded { // made-up SKUs must not push real ones out
			t.remember(state, asOf)
		}
		return
	}
	if e.fence.Less(state.Position) {
		e.fence = state.Position
	}
	// If two calls are in flight at once, the one that was made first may be decided last. It then has the higher
	// position, and is at least as young as the other.
	if asOf > e.asOf {
		if !state.Loaded { // Redis has lost it, and nobody else may know what it was
			e.state.Loaded, e.asOf = false, asOf
			return
		}
		e.state, e.asOf = *state, asOf
	} else if e.state.Less(state.Position) {
		e.state = *state
	}
}

// remember adds a cell that is not in the table.
func (t *table) remember(state *stock.CellState, asOf time.Duration) {
	*t.insert(state.Cell) = entry{state: *state, asOf: asOf, fence: state.Position, used: true}
}

func (t *table) insert(cell stock.Cell) *entry {
	if len(t.entries) < t.max {
		t.index[cell] = int32(len(t.entries))
		t.entries = append(t.entries, entry{})
		return &t.entries[len(t.entries)-1]
	}
	for t.entries[t.hand].used {
		t.entries[t.hand].used = false
		t.hand = (t.hand + 1) % t.max
	}
	e := &t.entries[t.hand]
	delete(t.index, e.state.Cell)
	t.index[cell] = int32(t.hand)
	t.hand = (t.hand + 1) % t.max
	return e
}
