package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"sluice/core/ledger"
	"sluice/core/lifecycle"
	"sluice/core/stock"
)

// The bounds of a close look.
const (
	looksMax     = 5                      // how often it looks at a cell that differs
	lookPause    = 400 * time.Millisecond // pause between two looks, in which events under way arrive
	lookers      = 16                     // portions whose pauses overlap
	cellsPerLook = 1000                   // that are read from MySQL at once
)

// portions divides the cells in doubt for close looks. A portion has all cells in doubt of its partitions, because each
// look reads the whole outboxes of these partitions. If a partition has few such cells, its portion has several
// partitions.
func (w *sweep) portions() (all [][]stock.Cell) {
	for _, p := range w.inScope() {
		for c, d := range p.doubts {
			if home := w.of(c); home != p { // somebody has edited the record that names the cell
				home.doubtful(c).take(d)
				delete(p.doubts, c)
			}
		}
	}
	var portion []stock.Cell
	entries := int64(0)
	for _, p := range w.inScope() {
		if len(p.doubts) == 0 {
			continue
		}
		if entries += p.entries; len(portion) > 0 && (len(portion)+len(p.doubts) > cellsPerLook || entries > entriesTogether) {
			all, portion, entries = append(all, portion), nil, p.entries
		}
		portion = slices.AppendSeq(portion, maps.Keys(p.doubts))
	}
	if len(portion) > 0 {
		all = append(all, portion)
	}
	for _, cells := range all {
		slices.SortFunc(cells, stock.Cell.Compare)
	}
	return all
}

// lookAt looks closely at cells. If a cell differs, it looks again, and reports only findings of two looks in a row. If
// held units seem to have no reservation, it first searches the partition for their records.
func (w *sweep) lookAt(ctx context.Context, cells []stock.Cell) {
	l := looks{sweep: w, before: map[stock.Cell]Judgement{}, searched: map[stock.Cell]bool{}, named: map[stock.Cell]bool{}, returns: map[stock.Cell]bool{}}
	for len(cells) > 0 {
		if l.n++; l.n > 1 && !lifecycle.Pause(ctx, lookPause) {
			return
		}
		w.turns <- struct{}{}
		again, err := l.look(ctx, cells)
		<-w.turns
		for _, c := range cells {
			w.of(c).fail(err)
		}
		cells = again
	}
}

// looks are the looks at some cells.
type looks struct {
	*sweep

	n        int // which look it is
	before   map[stock.Cell]Judgement
	searched map[stock.Cell]bool // for more reservations than were noted, or than the sums explain
	named    map[stock.Cell]bool // for those to whom held units belong
	returns  map[stock.Cell]bool // cells of which a step returns a hold
}

// look looks at cells once, keeps the certain judgements, and returns the cells that need another look.
func (l *looks) look(ctx context.Context, cells []stock.Cell) (again []stock.Cell, err error) {
	begun := l.Now()
	r, err := l.begin(ctx, cells)
	if err != nil {
		return nil, err
	}
	l.rest(ctx, begun)
	for c, v := range r.views {
		v.returns = l.returns[c]
	}
	nameless, kept := map[stock.Cell]*View{}, 0
	for left := r.cells; len(left) > 0; {
		some := r.readTogether(left)
		left = left[len(some):]
		begun := l.Now()
		part := r.part(some)
		if err := part.read(ctx); err != nil {
			return nil, err
		}
		for _, c := range part.cells {
			v := part.views[c]
			another, search := l.take(v)
			if another {
				again = append(again, c)
			}
			if search {
				nameless[c] = v
				kept += len(v.Rows) + len(v.Events)
			}
			delete(r.views, c)
		}
		l.rest(ctx, begun)
		if kept > l.heldTogether() {
			l.search(ctx, nameless)
			clear(nameless)
			kept = 0
		}
	}
	l.search(ctx, nameless)
	return again, nil
}

// heldTogether is how many reservations of the cells of one look are in memory.
func (s *Sweeper) heldTogether() int { return cmp.Or(s.heldMost, heldMax) }

// take judges a cell, and keeps a certain judgement. Otherwise it says that another look is needed, and whether a
// search is.
func (l *looks) take(v *View) (another, search bool) {
	if l.rested(v) {
		return false, false
	}
	j := l.judge(v)
	d := l.of(v.Cell).doubts[v.Cell]
	d.uneven = d.uneven || j.uneven
	for _, id := range j.odd {
		d.odd(id)
	}
	if v.brief && (j.uneven || j.Class != InSync && j.Class != InFlight) {
		d.closely = true
		return true, false
	}
	last, seen := l.before[v.Cell]
	l.before[v.Cell] = j
	switch {
	case v.unsummed && v.Unread != "": // a look with fewer cells like it reads it
		return true, false
	case v.Redis != nil && v.Unread == "" && (d.moreIDs || d.uneven) && !l.searched[v.Cell]:
		l.searched[v.Cell] = true
		return true, true
	case (j.Class == InSync || j.Class == InFlight) && (d.moreIDs || d.moreUsers):
		j = unverified(v, InRedis, fmt.Sprintf("more than %d of its reservations, or counts of more than %d of its users, differ from MySQL's: the others are not compared", oddMax, oddUsersMax))
	case j.Class == InSync, j.Class == InFlight, j.Class == Absent:
	case j.nameless && !l.named[v.Cell]: // also after another search: the mark may have moved, and this look has fewer events than that had
		l.named[v.Cell] = true
		return true, true
	case j.limitless && !l.returns[v.Cell]:
		l.returns[v.Cell] = true
		return true, false
	case !seen, !alike(last, j) && l.n < looksMax:
		return true, false
	default:
		j.Findings = slices.DeleteFunc(j.Findings, func(f Finding) bool { return !last.has(f.Type) })
		j.Steps = slices.DeleteFunc(j.Steps, func(s RepairStep) bool { return !last.has(s.Type) })
		if len(j.Findings) == 0 {
			j = unverified(v, InRedis, fmt.Sprintf("each of %d looks found something else: it changes faster than it is read", l.n))
		}
	}
	l.keep(v, j)
	return false, false
}

// judge judges a cell. It concludes nothing from parts that could not be read.
func (l *looks) judge(v *View) Judgement {
	j := l.withoutKafka(v, Judge(v))
	if j.nameless && !l.named[v.Cell] && (l.quick || l.n == looksMax) {
		return unverified(v, InRedis, "more is held than the reservations that were read: only a search of the whole partition tells whose it is")
	}
	return j
}

// rested reports whether nothing has happened to a cell since the time in the scope.
func (w *sweep) rested(v *View) bool {
	news := func(l Letter) bool { return l.TimeMS >= w.scope.SinceMS }
	return v.Projection != nil && v.UpdatedMS < w.scope.SinceMS && (v.Redis == nil || v.Redis.Position == v.Projection.Position) &&
		!slices.ContainsFunc(v.Letters, news)
}

// withoutKafka withdraws findings that Kafka could refute.
func (w *sweep) withoutKafka(v *View, j Judgement) Judgement {
	if w.tailRead || !j.has(Gap) {
		return j
	}
	return unverified(v, InKafka, "neither ledger nor outbox has an event that must have been, and Kafka cannot be read")
}

func (j *Judgement) has(t Type) bool {
	return slices.ContainsFunc(j.Findings, func(f Finding) bool { return f.Type == t })
}

// alike reports whether two looks have found the same, in type and size.
func alike(a, b Judgement) bool {
	return slices.EqualFunc(a.Findings, b.Findings, func(x, y Finding) bool { return x.Type == y.Type && x.Units == y.Units })
}

// closeLook is a close look that is under way.
type closeLook struct {
	*sweep

	cells []stock.Cell
	views map[stock.Cell]*View
	about map[stock.ReservationID]stock.Cell // reservations whose records have to be read
}

// begin reads the known positions, the counters and the outboxes of cells, in the order that the package comment
// demands.
func (w *sweep) begin(ctx context.Context, cells []stock.Cell) (*closeLook, error) {
	r := &closeLook{sweep: w, cells: cells, views: map[stock.Cell]*View{}}
	for _, c := range cells {
		r.views[c] = &View{Cell: c, Lost: r.of(c).lost[c]}
	}
	for _, step := range []func(context.Context) error{r.known, r.counters, r.buyers, r.outboxes} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// readTogether returns the first cells, as many as are read from MySQL at once.
func (r *closeLook) readTogether(cells []stock.Cell) []stock.Cell {
	rows := int64(0)
	for i, c := range cells[:min(len(cells), cellsPerLook)] {
		v := r.views[c]
		if r.brief(v) && v.Redis != nil {
			from, _ := r.of(c).holds[c].first()
			rows += int64(v.Redis.Seq-min(v.Redis.Seq, from.Seq)) + int64(len(v.Buyers))
		} else if v.Redis != nil {
			rows += v.Redis.Held
		}
		if i > 0 && rows > int64(r.heldTogether())/2 {
			return cells[:i]
		}
	}
	return cells[:min(len(cells), cellsPerLook)]
}

// part returns the look at some of the cells.
func (r *closeLook) part(cells []stock.Cell) *closeLook {
	part := &closeLook{sweep: r.sweep, cells: cells, views: map[stock.Cell]*View{}, about: map[stock.ReservationID]stock.Cell{}}
	for _, c := range cells {
		part.views[c] = r.views[c]
	}
	return part
}

// read reads the rest: MySQL at one moment, and the records.
func (r *closeLook) read(ctx context.Context) error {
	err := r.snapshot(ctx, func(s *ledger.Snapshot) error {
		for _, step := range []func(context.Context, *ledger.Snapshot) error{r.stock, r.events, r.rows, r.records, r.limits, r.spots} {
			if err := step(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		r.overdue(ctx)
	}
	return err
}

// leaveOut leaves out the cells of partitions that could not be read. errs has an error or nil for each of the cells.
func (r *closeLook) leaveOut(cells []stock.Cell, errs []error) {
	for i, err := range errs {
		r.of(cells[i]).fail(fromRedis(err))
	}
	r.cells = slices.DeleteFunc(slices.Clone(r.cells), func(c stock.Cell) bool {
		if r.of(c).failed {
			delete(r.views, c)
		}
		return r.of(c).failed
	})
}

// known reads which positions the ledger, Kafka and dead letters have, before Redis is read.
func (r *closeLook) known(ctx context.Context) error {
	for _, v := range r.views {
		for _, e := range r.of(v.Cell).tail[v.Cell] {
			v.Events = append(v.Events, e)
			if v.Known.Less(e.Position) {
				v.Known = e.Position
			}
		}
	}
	if err := r.letters(ctx, r.cells); err != nil {
		return err
	}
	return r.Books.Moments().Highest(ctx, r.cells, func(c stock.Cell, highest stock.Position) {
		v := r.views[c]
		v.recorded = true
		if v.Known.Less(highest) {
			v.Known = highest
		}
	})
}

// letters reads the dead letters about cells. If there are too many, it asks for fewer cells at a time. So the many
// letters about one cell do not prevent the comparison of the others.
func (r *closeLook) letters(ctx context.Context, cells []stock.Cell) error {
	var found []ledger.OpenLetter
	err := r.Books.Moments().OpenLetters(ctx, cells, lettersMax, func(l *ledger.OpenLetter) { found = append(found, *l) })
	switch {
	case err != nil:
		return err
	case len(found) < lettersMax:
	case len(cells) == 1:
		r.views[cells[0]].Unread = fmt.Sprintf("more than %d dead letters are about it: resolve or replay some, and look again then", lettersMax)
		return nil
	default:
		half := len(cells) / 2
		if err := r.letters(ctx, cells[:half]); err != nil {
			return err
		}
		return r.letters(ctx, cells[half:])
	}
	for i := range found {
		l := &found[i]
		v := r.views[l.Cell]
		v.Letters = append(v.Letters, Letter{ID: l.ID.String(), Reason: l.Reason, Position: l.Position, Units: l.Units, TimeMS: l.TimeMS})
		if !isFork(l.Reason) && v.Known.Less(l.Position) {
			v.Known = l.Position
		}
	}
	return nil
}

func (r *closeLook) counters(ctx context.Context) error {
	nowMS, err := r.Redis.NowAgain(ctx)
	if err != nil {
		r.leaveOut(r.cells, slices.Repeat([]error{err}, len(r.cells)))
		return nil
	}
	found, errs := r.Redis.ManyCellsNow(ctx, r.cells)
	for i := range found {
		c := &found[i]
		v := r.views[r.cells[i]]
		v.NowMS = nowMS
		switch {
		case c.Unreadable:
			v.Unread = "its value in Redis has a form that this program does not know"
		case c.Loaded:
			v.Redis = &c.CellState
		}
	}
	r.leaveOut(r.cells, errs)
	return nil
}

func (r *closeLook) buyers(ctx context.Context) error {
	var cells []stock.Cell
	var users []int64
	for _, c := range r.cells {
		for _, user := range slices.Sorted(maps.Keys(r.of(c).doubts[c].users)) {
			cells, users = append(cells, c), append(users, user)
		}
	}
	counts, errs := r.Redis.ManyBuyersNow(ctx, cells, users)
	for i, c := range cells {
		r.views[c].Buyers = append(r.views[c].Buyers, Buyer{users[i], counts[i]})
	}
	r.leaveOut(cells, errs)
	return nil
}
