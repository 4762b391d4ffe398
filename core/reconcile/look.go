package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/lifecycle"
	"sluice/core/stock"
)

// The bounds of a close look.
const (
	looksMax     = 4                      // how often it looks at a cell that differs
	lookPause    = 400 * time.Millisecond // pause between two looks, in which events under way arrive
	lookers      = 16                     // partitions whose pauses overlap
	cellsPerLook = 1000                   // few enough, because each look reads the whole outbox
	stretchMax   = 200                    // events of a cell that are read if the ones before are known to be whole, and no dead letter is about it
	eventsMax    = 400_000                // events of the ledger that the cells of one look have in memory
	eventsMost   = 50_000                 // events of one cell in memory, at the most
	eventsLeast  = 400                    // events of one cell in memory, however many cells there are
	walkMax      = 5_000_000              // events of one cell that are read
	walkPage     = 10_000                 // events that one statement reads
	foundMax     = 10_000                 // gaps and breaks of one cell
	adjustedMax  = 100_000                // changes of the settings of one cell
	heldMax      = 200_000                // reservations of the cells of one look
	flightMax    = 200_000                // events of an outbox for the cells of one look
	dueAtOnce    = 1000
	dueMax       = 200_000 // members of a list of deadlines
	overdueAfter = time.Minute
	dueAhead     = 5 * stock.ExpiryPostponed // covers expiries that a shut cell has put off
)

// look looks closely at the cells in doubt. If a cell differs, it looks again, and reports only findings of two looks
// in a row. If held units seem to have no reservation, it first searches the partition for their records.
func (p *partition) look(ctx context.Context) error {
	cells := slices.SortedFunc(maps.Keys(p.doubts), stock.Cell.Compare)
	for some := range slices.Chunk(cells, cellsPerLook) {
		if err := p.lookAt(ctx, some); err != nil {
			return err
		}
		p.progressed(0)
	}
	return nil
}

func (p *partition) lookAt(ctx context.Context, cells []stock.Cell) (err error) {
	l := looks{partition: p, before: map[stock.Cell]Judgement{}, searched: map[stock.Cell]bool{}}
	for len(cells) > 0 && err == nil {
		if l.n++; l.n > 1 && !lifecycle.Pause(ctx, lookPause) {
			return ctx.Err()
		}
		p.turns <- struct{}{}
		cells, err = l.look(ctx, cells)
		<-p.turns
	}
	return err
}

// looks are the looks at some cells.
type looks struct {
	*partition

	n        int // which look it is
	before   map[stock.Cell]Judgement
	searched map[stock.Cell]bool
}

// look looks at cells once, keeps the certain judgements, and returns the cells that need another look.
func (l *looks) look(ctx context.Context, cells []stock.Cell) (again []stock.Cell, err error) {
	begun := l.Now()
	views, err := l.views(ctx, cells)
	if err != nil {
		return nil, err
	}
	nameless := map[stock.Cell]*View{}
	for _, v := range views {
		if l.rested(v) {
			continue
		}
		j := l.judge(v)
		last, seen := l.before[v.Cell]
		l.before[v.Cell] = j
		switch {
		case j.Class == InSync, j.Class == InFlight, j.Class == Absent:
		case j.nameless && !l.searched[v.Cell]:
			nameless[v.Cell] = v
			again = append(again, v.Cell)
			continue
		case !seen, !alike(last, j) && l.n < looksMax:
			again = append(again, v.Cell)
			continue
		default:
			j.Findings = slices.DeleteFunc(j.Findings, func(f Finding) bool { return !last.has(f.Type) })
			j.Steps = slices.DeleteFunc(j.Steps, func(s RepairStep) bool { return !last.has(s.Type) })
			if len(j.Findings) == 0 {
				j = unverified(v, InRedis, fmt.Sprintf("each of %d looks found something else: it changes faster than it is read", l.n))
			}
		}
		l.keep(v, j)
	}
	l.rest(ctx, begun)
	err = l.search(ctx, nameless)
	for c := range nameless {
		l.searched[c] = true
	}
	return again, err
}

// judge judges a cell. It concludes nothing from parts that could not be read.
func (l *looks) judge(v *View) Judgement {
	j := l.withoutKafka(v, Judge(v))
	if j.nameless && !l.searched[v.Cell] && (l.quick || l.n == looksMax) {
		return unverified(v, InRedis, "more is held than the reservations that were read: only a search of the whole partition tells whose it is")
	}
	return j
}

// rested reports whether nothing has happened to a cell since the time in the scope.
func (p *partition) rested(v *View) bool {
	news := func(l Letter) bool { return l.TimeMS >= p.scope.SinceMS }
	return v.Projection != nil && v.UpdatedMS < p.scope.SinceMS && (v.Redis == nil || v.Redis.Position == v.Projection.Position) &&
		!slices.ContainsFunc(v.Letters, news)
}

// withoutKafka withdraws findings that Kafka could refute.
func (p *partition) withoutKafka(v *View, j Judgement) Judgement {
	if p.tailRead || !j.has(Gap) {
		return j
	}
	return unverified(v, InKafka, "neither ledger nor outbox has an event that must have been, and Kafka cannot be read")
}

// search scans the partition for held reservations that a look has not read, and adds them to the next look. MySQL does
// not have them as held, for example because somebody has edited their rows.
func (p *partition) search(ctx context.Context, cells map[stock.Cell]*View) error {
	if len(cells) == 0 {
		return nil
	}
	read := map[stock.ReservationID]bool{}
	for _, v := range cells {
		for i := range v.Records {
			read[v.Records[i].ID] = true
		}
	}
	for cursor := uint64(0); ; {
		begun := p.Now()
		found, next, err := p.Redis.ViewRecords(ctx, p.number, cursor)
		if err != nil {
			return fromRedis(err)
		}
		for i := range found {
			if r := &found[i]; r.State == stock.StateHeld && cells[r.Cell] != nil && !read[r.ID] {
				p.odd(r)
			}
		}
		p.rest(ctx, begun)
		if cursor = next; next == 0 {
			return nil
		}
	}
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
	*partition

	cells []stock.Cell
	views map[stock.Cell]*View
	about map[stock.ReservationID]stock.Cell // reservations whose records have to be read
}

// views reads cells in the order that the package comment demands: what is known, the counters, the outbox, MySQL at
// one moment, the records.
func (p *partition) views(ctx context.Context, cells []stock.Cell) ([]*View, error) {
	r := &closeLook{partition: p, cells: cells, views: map[stock.Cell]*View{}, about: map[stock.ReservationID]stock.Cell{}}
	for _, c := range cells {
		r.views[c] = &View{Cell: c}
	}
	for _, step := range []func(context.Context) error{r.known, r.counters, r.buyers, r.outbox} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	err := p.snapshot(ctx, func(s *ledger.Snapshot) error {
		for _, step := range []func(context.Context, *ledger.Snapshot) error{r.stock, r.events, r.rows, r.records, r.spots} {
			if err := step(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = r.overdue(ctx)
	}
	found := make([]*View, len(cells))
	for i, c := range cells {
		found[i] = r.views[c]
	}
	return found, err
}

// known reads which positions the ledger, Kafka and dead letters have, before Redis is read.
func (r *closeLook) known(ctx context.Context) error {
	for _, v := range r.views {
		for _, e := range r.tail[v.Cell] {
			v.Events = append(v.Events, e)
			if v.Known.Less(e.Position) {
				v.Known = e.Position
			}
		}
	}
	return r.snapshot(ctx, func(s *ledger.Snapshot) error {
		if err := r.letters(ctx, s); err != nil {
			return err
		}
		return s.Ends(ctx, r.cells, func(c stock.Cell, highest, _ stock.Position) {
			if v := r.views[c]; v.Known.Less(highest) {
				v.Known = highest
			}
		})
	})
}

// letters reads the dead letters about the cells.
func (r *closeLook) letters(ctx context.Context, s *ledger.Snapshot) error {
	read := 0
	err := s.OpenLetters(ctx, r.cells, lettersMax, func(l *ledger.OpenLetter) {
		read++
		v := r.views[l.Cell]
		v.Letters = append(v.Letters, Letter{ID: l.ID.String(), Reason: l.Reason, Position: l.Position, Units: l.Units, TimeMS: l.TimeMS})
		if !isFork(l.Reason) && v.Known.Less(l.Position) {
			v.Known = l.Position
		}
	})
	if read == lettersMax {
		for _, v := range r.views {
			v.Unread = fmt.Sprintf("more than %d dead letters are about cells like it: resolve or replay some, and look again then", lettersMax)
		}
	}
	return err
}

func (r *closeLook) counters(ctx context.Context) error {
	found, nowMS, err := r.Redis.CellsNow(ctx, r.number, r.cells)
	if err != nil {
		return fromRedis(err)
	}
	for i := range found {
		c := &found[i]
		v := r.views[c.Cell]
		v.NowMS = nowMS
		switch {
		case c.Unreadable:
			v.Unread = "its value in Redis has a form that this program does not know"
		case c.Loaded:
			v.Redis = &c.CellState
		}
	}
	return nil
}

func (r *closeLook) buyers(ctx context.Context) error {
	for _, v := range r.views {
		users := slices.Sorted(maps.Keys(r.doubts[v.Cell].users))
		counts, err := r.Redis.BuyersNow(ctx, v.Cell, users)
		if err != nil {
			return fromRedis(err)
		}
		for i, user := range users {
			v.Buyers = append(v.Buyers, Buyer{user, counts[i]})
		}
	}
	return nil
}

// outbox reads the events of the cells from the outbox.
func (r *closeLook) outbox(ctx context.Context) error {
	kept := 0
	for after := ""; ; {
		entries, err := r.Redis.ViewOutbox(ctx, r.number, after, 64)
		if err != nil {
			return fromRedis(err)
		}
		if len(entries) == 0 {
			return nil
		}
		for i := range entries {
			after = entries[i].ID
			b, err := event.Decode(entries[i].Data)
			if err != nil {
				return fromRedis(fmt.Errorf("outbox entry %s: %w", after, err))
			}
			for k := range b.Events {
				if v := r.views[b.Events[k].Cell]; v != nil {
					v.Events = append(v.Events, Event{b.Events[k], b.TimeMS, InOutbox})
					kept++
				}
			}
		}
		if kept > flightMax {
			for _, v := range r.views {
				v.Unread = fmt.Sprintf("the outbox has more than %d events of cells like it: see whether persisters keep up, and look again then", flightMax)
			}
			return nil
		}
	}
}

// records reads the records of these reservations from Redis.
func (r *closeLook) records(ctx context.Context, _ *ledger.Snapshot) error {
	ids := slices.Collect(maps.Keys(r.about))
	found, err := r.Redis.RecordsNow(ctx, r.number, ids)
	if err != nil {
		return fromRedis(err)
	}
	for i := range found {
		if found[i].State != stock.StateNone {
			v := r.views[r.about[ids[i]]]
			v.Records = append(v.Records, found[i])
		}
	}
	return nil
}

// overdue finds held reservations whose deadline has passed and that no list of deadlines has. Nobody will expire
// them.
func (r *closeLook) overdue(ctx context.Context) error {
	late := map[stock.ReservationID]stock.Cell{}
	var nowMS int64
	for _, v := range r.views {
		nowMS = max(nowMS, v.NowMS)
		for i := range v.Records {
			x := &v.Records[i]
			if x.State == stock.StateHeld && x.Cell == v.Cell && x.DeadlineMS < v.NowMS-overdueAfter.Milliseconds() {
				late[x.ID] = v.Cell
			}
		}
	}
	// A sweeper takes members away meanwhile, from the front. So each page begins with the last deadline of the one before.
	fromMS, read := int64(0), 0
	for limit := dueAtOnce; len(late) > 0; {
		page, err := r.Redis.DueBetween(ctx, r.number, fromMS, nowMS+dueAhead.Milliseconds(), limit)
		if err != nil {
			return fromRedis(err)
		}
		for _, id := range page.IDs {
			delete(late, id)
		}
		if page.Members < limit {
			break
		}
		if read += limit; read >= dueMax {
			return nil // many reservations are due, because nobody sweeps: any of these may be among them
		}
		if page.LastMS == fromMS { // all of them have this deadline
			limit *= 2
		}
		fromMS = page.LastMS
	}
	ids := slices.Collect(maps.Keys(late))
	found, err := r.Redis.RecordsNow(ctx, r.number, ids)
	if err != nil {
		return fromRedis(err)
	}
	for i := range found {
		if found[i].State == stock.StateHeld { // it is still held after the list was read
			v := r.views[late[ids[i]]]
			v.Overdue = append(v.Overdue, ids[i])
		}
	}
	return nil
}
