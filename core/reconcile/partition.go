package reconcile

import (
	"fmt"
	"hash/maphash"
	"maps"
	"slices"

	"sluice/core/ledger"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// partition is one partition of Redis during a sweep. While it is scanned, all its data below are in memory.
// Afterwards only the cells in doubt and the tail of Kafka are.
type partition struct {
	*sweep

	number          int
	failed          bool  // it could not be scanned
	entries         int64 // of its outbox, when the sweep began
	inRedis, inBoth fold  // the cells that Redis has, and those that both have
	passed          int64 // number of cells that were found plainly in sync page by page
	doubts          map[stock.Cell]*doubt
	tail            map[stock.Cell][]Event          // events that Kafka has and MySQL may lack
	lost            map[stock.Cell]*ledger.LostCell // cells that Redis alone had, and lost
	holds           map[stock.Cell]*holds           // the held reservations of cells, until a cell is found plainly in sync

	cells  map[stock.Cell]*seen
	held   map[stock.ReservationID]struct{} // already counted, because a scan may yield one twice
	counts map[buyer]int64                  // units of reservations that count
	unfit  []stock.BuyerCount               // counts that the records do not explain
	gave   map[buyer]int64                  // units that users have returned: their counts may be lower by so much
	ids    []stock.Reservation              // held ones, to compare with MySQL
	summed int64                            // number of held reservations that are condensed
	late   int                              // number of held reservations past their deadline
}

// fold is a condensed set of cells. Two equal folds were made from the same cells.
type fold uint64

func (f *fold) add(c stock.Cell) { *f += fold(maphash.Comparable(foldSeed, c)) }

var foldSeed = maphash.MakeSeed()

// seen is a cell, and the units held of it.
type seen struct {
	redisstock.CellView

	held    int64
	holds   *holds // its held records; nil: it has none, or they are compared with their rows one by one
	crowded bool   // there is no room for holds
}

type buyer struct {
	cell stock.Cell
	user int64
}

// doubt says why a cell needs a close look.
type doubt struct {
	ids   map[stock.ReservationID]struct{}
	users map[int64]struct{}

	moreIDs, moreUsers bool // there was no room for
	closely            bool // a look has to read all held reservations
	uneven             bool // and has to search for others, because the condensed reservations do not agree
}

// take adds the reasons of another doubt.
func (d *doubt) take(o *doubt) {
	maps.Copy(d.ids, o.ids)
	maps.Copy(d.users, o.users)
	d.closely = d.closely || o.closely
	d.moreIDs, d.moreUsers, d.uneven = d.moreIDs || o.moreIDs, d.moreUsers || o.moreUsers, d.uneven || o.uneven
}

// The bounds of one sweep. Its report names everything that it leaves out.
const (
	lateMax     = 2000   // reservations of a partition whose deadline has passed; if nobody sweeps, all have passed theirs
	oddMax      = 2000   // odd reservations of a cell
	oddUsersMax = 10_000 // odd users of a cell
)

func newPartition(w *sweep, number int) *partition {
	return &partition{
		sweep: w, number: number, cells: map[stock.Cell]*seen{}, held: map[stock.ReservationID]struct{}{},
		counts: map[buyer]int64{}, gave: map[buyer]int64{}, doubts: map[stock.Cell]*doubt{}, tail: map[stock.Cell][]Event{},
		lost: map[stock.Cell]*ledger.LostCell{}, holds: map[stock.Cell]*holds{},
	}
}

// conclude finds the cells that need a close look, and frees the memory of the scan.
func (p *partition) conclude() {
	if p.late > lateMax {
		p.unreadable(InRedis, p.number, fmt.Errorf("more than %d held reservations of a partition have passed their deadline: "+
			"whether lists of deadlines have the others is not compared", lateMax))
	}
	for c, s := range p.cells {
		p.inRedis.add(c)
		if p.whole || s.Unreadable || s.held != s.Held {
			p.doubtful(c)
		}
		if s.holds != nil {
			p.holds[c] = s.holds
		}
	}
	for c, events := range p.tail {
		if s := p.cells[c]; s == nil || slices.ContainsFunc(events, func(e Event) bool { return s.Less(e.Position) }) {
			p.doubtful(c)
		}
	}
	for _, c := range p.asked[p.number] {
		p.doubtful(c)
	}
	p.mu.Lock()
	p.report.Summary.Reservations += p.summed
	p.mu.Unlock()
	p.cells, p.held, p.counts, p.unfit, p.gave, p.ids = nil, nil, nil, nil, nil, nil
}

// fail notes that the partition could not be read, if there is an error and it is the first.
func (p *partition) fail(err error) {
	if err != nil && !p.failed {
		p.failed = true
		p.unreadable(storeOf(err), p.number, err)
	}
}

// doubtful marks a cell for a close look, if the scope has it.
func (p *partition) doubtful(c stock.Cell) *doubt {
	d := p.doubts[c]
	if d == nil {
		d = &doubt{ids: map[stock.ReservationID]struct{}{}, users: map[int64]struct{}{}}
		if p.scope.has(c) {
			p.doubts[c] = d
		}
	}
	return d
}

func (p *partition) odd(r *stock.Reservation) {
	p.doubtful(r.Cell).odd(r.ID)
}

func (d *doubt) odd(id stock.ReservationID) {
	if len(d.ids) < oddMax {
		d.ids[id] = struct{}{}
	} else if _, known := d.ids[id]; !known {
		d.moreIDs = true
	}
}

func (p *partition) oddUser(c stock.Cell, user int64) {
	if d := p.doubtful(c); len(d.users) < oddUsersMax {
		d.users[user] = struct{}{}
	} else if _, known := d.users[user]; !known {
		d.moreUsers = true
	}
}

func (p *partition) record(r *stock.Reservation) {
	if r.State == stock.StateAdjusted {
		p.transit(r)
		return
	}
	if _, again := p.held[r.ID]; again {
		return
	}
	cell := p.cells[r.Cell]
	summed := cell != nil && p.condense(cell, r)
	if !p.scope.has(r.Cell) || r.State != stock.StateHeld && r.State != stock.StateReturned && !r.Counted {
		return
	}
	p.held[r.ID] = struct{}{}
	if cell == nil || r.Seq > cell.Seq { // the record is later than the reading of the cell, which has another sum
		p.doubtful(r.Cell)
	}
	switch {
	case r.State == stock.StateReturned:
		p.gave[buyer{r.Cell, r.User}] += r.Quantity
	case r.Counted && (r.State == stock.StateHeld || r.State == stock.StateConfirmed):
		p.counts[buyer{r.Cell, r.User}] += r.Quantity
	}
	if r.State == stock.StateHeld {
		if r.DeadlineMS < int64(p.report.Summary.StartedAt)-overdueAfter.Milliseconds() {
			if p.late++; p.late <= lateMax { // perhaps no list of deadlines has it
				p.odd(r)
			}
		}
		if cell != nil {
			cell.held += r.Quantity
		}
		if summed {
			p.summed++
		} else {
			p.ids = append(p.ids, *r)
		}
	}
}

// pools are those of the cells.
func (p *partition) pools() (pools []uint32) {
	for c := range p.cells {
		if !slices.Contains(pools, c.Pool) {
			pools = append(pools, c.Pool)
		}
	}
	return pools
}

// count compares users' counts with the reservations that count, and notes those that do not fit. counted has the counts that were
// already compared, because a scan may yield one twice.
func (p *partition) count(found []stock.BuyerCount, counted map[buyer]struct{}) {
	for _, b := range found {
		key := buyer{b.Cell, b.User}
		if _, again := counted[key]; again || !p.scope.has(b.Cell) {
			continue
		}
		counted[key] = struct{}{}
		if sum := p.counts[key]; b.Units > sum || b.Units < sum-p.gave[key] {
			p.unfit = append(p.unfit, b)
		}
		delete(p.counts, key)
	}
}

// uncounted notes the users without a count in Redis.
func (p *partition) uncounted() {
	for key, sum := range p.counts {
		if sum > p.gave[key] {
			p.unfit = append(p.unfit, stock.BuyerCount{Cell: key.cell, User: key.user})
		}
	}
}
