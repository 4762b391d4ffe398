package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"sluice/core/ledger"
	"sluice/core/stock"
)

// The bounds of what a close look reads from MySQL.
const (
	walkOften   = 2_000_000 // events above a cell's mark that each sweep reads
	walkEvery   = time.Hour // in which a sweep reads more than that
	stretchMax  = 200       // events of a cell that are read if the ones before are known to be whole, and no dead letter is about it
	eventsMax   = 400_000   // events of the ledger that the cells of one look have in memory
	eventsMost  = 50_000    // events of one cell in memory, at the most
	eventsLeast = 400       // events of one cell in memory, however many cells there are
	walkMax     = 5_000_000 // events of one cell that are read
	walkPage    = 10_000    // events that one statement reads
	foundMax    = 10_000    // gaps and breaks of one cell
	adjustedMax = 100_000   // changes of the settings of one cell
	heldMax     = 200_000   // reservations of the cells of one look
	heldFew     = 10_000    // units of a cell whose reservations are read at once if users are in doubt
)

// stock reads the projections, and decides from where on to read each cell's events.
func (r *closeLook) stock(ctx context.Context, s *ledger.Snapshot) error {
	whole := map[stock.Cell]stock.Position{} // the position up to which the ledger has no gap, though no mark says so yet
	err := s.Briefs(ctx, r.cells, func(b *ledger.Brief) error {
		v := r.views[b.Cell]
		v.Projection, v.UpdatedMS = &State{b.Position, b.Balances}, b.UpdatedMS
		if b.Whole() {
			whole[b.Cell] = b.Position
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.archived(ctx, s); err != nil || r.whole {
		return err
	}
	marks := map[stock.Cell]stock.Position{}
	err = s.Marks(ctx, r.cells, func(c stock.Cell, mark stock.Position) { marks[c] = mark })
	for _, v := range r.views {
		if v.recorded {
			v.begins(marks[v.Cell], whole[v.Cell])
			r.often(v)
			r.condensed(v)
		}
	}
	return err
}

// often leaves out a cell with too many events to read in each sweep, if they were all read a short while ago.
func (r *closeLook) often(v *View) {
	if v.Projection == nil || v.Projection.Seq <= v.From.Seq+cmp.Or(r.walkOften, walkOften) { // the seq goes on over epochs
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, walked := r.walked[v.Cell]; walked && r.Now().Sub(at) < walkEvery {
		v.Unread = fmt.Sprintf("the ledger has %d events of it from %d.%d on, which are compared once an hour: see what keeps its applied mark from moving",
			v.Projection.Seq-v.From.Seq, v.From.Epoch, v.From.Seq)
		return
	}
	r.walking = append(r.walking, v.Cell)
}

// condensed compares the reservations of a cell as the sweep has condensed them, if there is room for the events that this needs.
// If nothing else is in doubt, that is enough.
func (r *closeLook) condensed(v *View) {
	p := r.of(v.Cell)
	h, d := p.holds[v.Cell], p.doubts[v.Cell]
	if h == nil || d.uneven {
		return
	}
	from, ok := h.first()
	if !ok || v.Redis == nil || v.Redis.Epoch != from.Epoch || v.Projection == nil || v.Unread != "" || from.Less(v.Archived) ||
		from.Less(v.From) && v.Projection.Seq >= from.Seq+uint64(r.page()) {
		d.uneven, v.unsummed = true, true
		return
	}
	v.condensed = h
	if v.brief = r.brief(v); v.brief {
		v.rowsFrom = v.From
	}
	if from.Less(v.From) {
		v.From = from
	}
}

// brief reports whether the held reservations of a cell need not be read one by one. A brief look reports nothing: where it finds that
// a user's count is wrong, another look reads them all. Where few are held, one look that reads them is cheaper.
func (w *sweep) brief(v *View) bool {
	h, d := w.of(v.Cell).holds[v.Cell], w.of(v.Cell).doubts[v.Cell]
	passes := len(d.users) == 0 || v.Redis != nil && v.Redis.Held > heldFew
	return passes && h != nil && h.known && h.plain && !d.closely && !d.uneven && len(d.ids)+len(v.Letters) == 0
}

// keep is how many events of each cell are in memory.
func (r *closeLook) keep() int { return min(eventsMost, max(eventsLeast, eventsMax/len(r.cells)/2)) }

// page is how many events of each cell one statement reads.
func (r *closeLook) page() int { return min(walkPage, r.keep()) }

// begins decides where to begin reading the events: at the applied mark. If the ledger has no gap up to a higher
// position, the last events before that are enough.
func (v *View) begins(mark, whole stock.Position) {
	if mark.Less(v.Archived) {
		mark = v.Archived
	}
	if len(v.Letters) == 0 && whole.Epoch == mark.Epoch && whole.Seq > mark.Seq+stretchMax {
		mark.Seq = whole.Seq - stretchMax // persisters walk along the rest, and make a dead letter of an event that does not follow
	}
	if v.From = mark; v.Redis != nil && v.Redis.Less(mark) {
		v.From = v.Redis.Position
	}
	if v.From.Seq > 0 { // somebody may have removed that row; the row before it shows its effect
		v.From.Seq--
	}
	if v.From.Seq == 0 {
		v.From = stock.Position{}
	}
	if v.From.Less(v.Archived) {
		v.From = v.Archived
	}
}

// archived reads the position up to which events have left the ledger for files. Nothing is known of each of these
// events.
func (r *closeLook) archived(ctx context.Context, s *ledger.Snapshot) error {
	found, err := s.Checkpoints(ctx, r.cells)
	if err != nil {
		return err
	}
	for c, at := range found {
		v := r.views[c]
		v.Archived, v.From = at.Position, at.Position
		if len(v.Buyers) == 0 {
			continue
		}
		v.Left = map[int64]int64{}
		if err := s.ArchivedBuyers(ctx, c, v.users(), func(user, units int64) { v.Left[user] = units }); err != nil {
			return err
		}
	}
	return nil
}

// events reads the ledger. If a cell has many events, it reads the older ones one by one, and keeps only its findings.
func (r *closeLook) events(ctx context.Context, s *ledger.Snapshot) error {
	keep, page := r.keep(), r.page()
	var cells []stock.Cell
	var from []stock.Position
	for _, c := range r.cells {
		if v := r.views[c]; v.Unread == "" {
			cells, from = append(cells, c), append(from, v.From)
		}
	}
	n, last := map[stock.Cell]int{}, map[stock.Cell]stock.Position{}
	err := s.EventsFrom(ctx, cells, from, page, func(e *ledger.Recorded) {
		v := r.views[e.Cell]
		v.Events = append(v.Events, Event{e.Event, e.TimeMS, InLedger})
		n[e.Cell]++
		last[e.Cell] = e.Position
	})
	for _, c := range cells {
		if err == nil && n[c] == page {
			err = r.readOn(ctx, s, r.views[c], last[c], keep, page)
		}
	}
	return err
}

// readOn reads the events of one cell after a position, and keeps about so many in memory. read is the number of events
// up to the position.
func (r *closeLook) readOn(ctx context.Context, s *ledger.Snapshot, v *View, last stock.Position, keep, read int) (err error) {
	all := read
	for kept, n := read, walkPage; n == walkPage && v.Unread == ""; {
		n = 0
		err = s.Events(ctx, v.Cell, stock.Position{Epoch: last.Epoch, Seq: last.Seq + 1}, walkPage, func(e *ledger.Recorded) {
			v.Events = append(v.Events, Event{e.Event, e.TimeMS, InLedger})
			n, last = n+1, e.Position
		})
		if err != nil {
			return err
		}
		all, kept = all+n, kept+n
		switch {
		case kept <= 2*keep:
			continue
		case r.quick:
			v.Unread = fmt.Sprintf("the ledger has more than %d events of it from %d.%d on: the next sweep walks along them", all, v.began().Epoch, v.began().Seq)
			return nil
		case v.ends == nil:
			if v.ends, err = epochEnds(ctx, s, v.Cell); err != nil {
				return err
			}
		}
		v.shorten(last, keep)
		kept = v.inLedger()
		switch {
		case all >= walkMax:
			v.Unread = fmt.Sprintf("the ledger has more than %d events of it from %d.%d on: look again once persisters have moved its applied mark",
				walkMax, v.began().Epoch, v.began().Seq)
		case v.past != nil && v.past.found() > foundMax:
			v.Unread = fmt.Sprintf("more than %d places of its history do not follow from each other: sluice reconcile --all-rows --sku %d has the first ones", foundMax, v.Cell.SKU)
		case v.past != nil && len(v.past.open) > heldMax:
			v.Unread = fmt.Sprintf("more than %d reservations of it are held", heldMax)
		}
	}
	return nil
}

// epochEnds reads the last seq of each epoch of a cell that a rebase has ended.
func epochEnds(ctx context.Context, s *ledger.Snapshot, c stock.Cell) (map[uint32]uint64, error) {
	ends := map[uint32]uint64{}
	return ends, s.Rebases(ctx, c, stock.Position{}, func(e *ledger.Recorded) { ends[e.Change.From.Epoch] = e.Change.From.Seq })
}

// rows reads MySQL's rows of reservations that may be held, and of those in doubt.
func (r *closeLook) rows(ctx context.Context, s *ledger.Snapshot) error {
	have := map[stock.ReservationID]bool{}
	take := func(row *ledger.Row) {
		v := r.views[row.Cell]
		if have[row.ID] {
			return
		}
		if v == nil { // somebody may have edited the row: its cell is the one that the record or the events name
			if v = r.views[r.about[row.ID]]; v == nil {
				return
			}
		}
		have[row.ID] = true
		v.Rows = append(v.Rows, *row)
		r.about[row.ID] = v.Cell
	}
	closely := slices.DeleteFunc(slices.Clone(r.cells), func(c stock.Cell) bool { return r.views[c].brief })
	if len(closely) > 0 {
		if err := s.Held(ctx, closely, heldMax, take); err != nil {
			return err
		}
	}
	if len(have) >= heldMax {
		for _, v := range r.views {
			v.Unread = fmt.Sprintf("more than %d reservations of cells like it are held", heldMax)
		}
		return nil
	}
	for _, v := range r.views {
		for i := range v.Events {
			if e := &v.Events[i]; !e.Kind.Adjusts() && !e.Less(v.rowsFrom) {
				r.about[e.Reservation] = v.Cell
			}
		}
		for id := range r.of(v.Cell).doubts[v.Cell].ids {
			r.about[id] = v.Cell
		}
		for id := range v.open() {
			r.about[id] = v.Cell
		}
	}
	if err := r.owned(ctx, s, take); err != nil {
		return err
	}
	var ids []stock.ReservationID
	for id := range r.about {
		if !have[id] {
			ids = append(ids, id)
		}
	}
	return s.Reservations(ctx, ids, take)
}

// owned reads the reservations of the users in doubt.
func (r *closeLook) owned(ctx context.Context, s *ledger.Snapshot, take func(*ledger.Row)) error {
	var cells []stock.Cell
	var users [][]int64
	for _, c := range r.cells {
		if v := r.views[c]; len(v.Buyers) > 0 {
			cells, users = append(cells, c), append(users, v.users())
		}
	}
	read := map[stock.Cell]int{}
	err := s.OwnedBy(ctx, cells, users, heldMax, func(row *ledger.Row) {
		read[row.Cell]++
		take(row)
	})
	for c, n := range read {
		if v := r.views[c]; n == heldMax {
			v.Unread = fmt.Sprintf("its %d users in doubt have more than %d reservations", len(v.Buyers), heldMax)
		}
	}
	return err
}

// limits reads since when a limit applies to cells, if a user in doubt has a reservation whose record does not say whether it counts,
// or if a step returns a hold: it reads all events of the cell for that.
func (r *closeLook) limits(ctx context.Context, s *ledger.Snapshot) error {
	for _, v := range r.views {
		if !v.returns && !v.forgotten() {
			continue
		}
		err := s.Adjustments(ctx, v.Cell, adjustedMax, func(e *ledger.Recorded) {
			v.Limits = append(v.Limits, Limit{e.TimeMS, e.Change.Settings.Limit > 0})
		})
		if err != nil {
			return err
		}
		if len(v.Limits) == adjustedMax {
			v.Unread = fmt.Sprintf("its settings were changed more than %d times: nobody can tell when a limit applied", adjustedMax)
		}
	}
	return nil
}

// forgotten reports whether a user in doubt has a reservation of which Redis has no record.
func (v *View) forgotten() bool {
	users, known := map[int64]bool{}, map[stock.ReservationID]bool{}
	for i := range v.Buyers {
		users[v.Buyers[i].User] = true
	}
	for i := range v.Records {
		known[v.Records[i].ID] = true
	}
	return slices.ContainsFunc(v.Rows, func(r Row) bool { return users[r.User] && !known[r.ID] }) ||
		slices.ContainsFunc(v.Events, func(e Event) bool { return !e.Kind.Adjusts() && users[e.User] && !known[e.Reservation] })
}

// spots reads the ledger for reservations whose row and record disagree.
func (r *closeLook) spots(ctx context.Context, s *ledger.Snapshot) error {
	var at []ledger.Place
	for _, v := range r.views {
		v.Spots = v.unlisted()
		for _, position := range v.Doubtful() {
			at = append(at, ledger.Place{Cell: v.Cell, At: position})
		}
	}
	return s.EventsOf(ctx, at, func(e *ledger.Recorded) {
		v := r.views[e.Cell]
		v.Spots = append(v.Spots, Event{e.Event, e.TimeMS, InLedger})
	})
}
