package reconcile

import (
	"context"
	"maps"
	"slices"
	"time"

	"sluice/core/ledger"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// The bounds of lists of deadlines.
const (
	dueAtOnce    = 1000
	dueMax       = 200_000 // members of a list of deadlines
	overdueAfter = time.Minute
	dueAhead     = 5 * stock.ExpiryPostponed // covers expiries that a shut cell has put off
)

// search scans the partitions of cells for held reservations that neither a row of MySQL nor an event explains, and adds them to the
// next look. MySQL does not have them as held, for example because somebody has edited their rows.
func (w *sweep) search(ctx context.Context, cells map[stock.Cell]*View) {
	parts := map[*partition]bool{}
	explained := map[stock.ReservationID]uint64{} // the seq of the record
	for c, v := range cells {
		p := w.of(c)
		parts[p] = true
		if d := p.doubts[c]; d.moreIDs {
			d.ids, d.moreIDs = map[stock.ReservationID]struct{}{}, false
		}
		for i := range v.Rows {
			if r := &v.Rows[i]; r.State == stock.StateHeld {
				explained[r.ID] = max(explained[r.ID], r.Seq)
			}
		}
		for i := range v.Events {
			e := &v.Events[i]
			explained[e.Reservation] = max(explained[e.Reservation], e.Seq)
		}
	}
	later := map[stock.Cell][]stock.Reservation{} // than the look has read the cell
	for p := range parts {
		step := func(cursor uint64) ([]stock.Reservation, uint64, error) {
			return p.Redis.ViewRecords(ctx, p.number, cursor)
		}
		found, next, err := step(0)
		through(ctx, p, redisstock.Viewed[stock.Reservation]{Found: found, Next: next, Err: err}, step, func(found []stock.Reservation) error {
			for i := range found {
				r := &found[i]
				v := cells[r.Cell]
				switch {
				case r.State != stock.StateHeld || v == nil || v.Redis == nil || explained[r.ID] == r.Seq:
				case r.Seq <= v.Redis.Seq:
					p.odd(r)
				case !v.Redis.Less(v.Known) && len(later[r.Cell]) < laterMax:
					later[r.Cell] = append(later[r.Cell], *r)
				}
			}
			return nil
		})
	}
	w.beyond(ctx, later)
}

// beyond finds the records of cells that even now have not reached the seqs of the records.
func (w *sweep) beyond(ctx context.Context, records map[stock.Cell][]stock.Reservation) {
	cells := slices.Collect(maps.Keys(records))
	if len(cells) == 0 {
		return
	}
	found, errs := w.Redis.ManyCellsNow(ctx, cells)
	for i, c := range cells {
		p := w.of(c)
		if errs[i] != nil {
			p.fail(fromRedis(errs[i]))
			continue
		}
		for k := range records[c] {
			if r := &records[c][k]; r.Seq > found[i].Seq {
				p.odd(r)
			}
		}
	}
}

// records reads the records of these reservations from Redis.
func (r *closeLook) records(ctx context.Context, _ *ledger.Snapshot) error {
	ids := slices.Collect(maps.Keys(r.about))
	cells, partitions := make([]stock.Cell, len(ids)), make([]int, len(ids))
	for i, id := range ids {
		cells[i] = r.about[id]
		partitions[i] = r.of(cells[i]).number
	}
	found, errs := r.Redis.ManyRecordsNow(ctx, partitions, ids)
	r.leaveOut(cells, errs)
	for i := range found {
		if v := r.views[cells[i]]; v != nil && errs[i] == nil && found[i].State != stock.StateNone {
			v.Records = append(v.Records, found[i])
		}
	}
	r.reached(ctx)
	return nil
}

// reached reads where the cells are now that have records beyond their cut. A record beyond even that is no later one.
func (r *closeLook) reached(ctx context.Context) {
	var cells []stock.Cell
	for _, c := range r.cells {
		if v := r.views[c]; v.Redis != nil && slices.ContainsFunc(v.Records, func(x stock.Reservation) bool { return x.Seq > v.Redis.Seq }) {
			cells = append(cells, c)
		}
	}
	if len(cells) == 0 {
		return
	}
	found, errs := r.Redis.ManyCellsNow(ctx, cells)
	for i := range found {
		if errs[i] == nil && found[i].Loaded {
			r.views[cells[i]].Reached = found[i].Seq
		}
	}
	r.leaveOut(cells, errs)
}

// overdue finds held reservations whose deadline has passed and that no list of deadlines has. Nobody will expire
// them.
func (r *closeLook) overdue(ctx context.Context) {
	late := map[*partition]map[stock.ReservationID]stock.Cell{}
	for _, c := range r.cells {
		v := r.views[c]
		for i := range v.Records {
			x := &v.Records[i]
			if x.State == stock.StateHeld && x.Cell == v.Cell && x.DeadlineMS < v.NowMS-overdueAfter.Milliseconds() {
				p := r.of(c)
				if late[p] == nil {
					late[p] = map[stock.ReservationID]stock.Cell{}
				}
				late[p][x.ID] = v.Cell
			}
		}
	}
	for p, late := range late {
		if err := r.unlistedIn(ctx, p, late); err != nil {
			p.fail(fromRedis(err))
			r.leaveOut(nil, nil)
		}
	}
}

// unlistedIn finds late reservations of a partition that no list of deadlines has.
func (r *closeLook) unlistedIn(ctx context.Context, p *partition, late map[stock.ReservationID]stock.Cell) error {
	var nowMS int64
	for _, c := range late {
		nowMS = max(nowMS, r.views[c].NowMS)
	}
	// A sweeper takes members away meanwhile, from the front. So each page begins with the last deadline of the one before.
	fromMS, read := int64(0), 0
	for limit := dueAtOnce; len(late) > 0; {
		page, err := r.Redis.DueBetween(ctx, p.number, fromMS, nowMS+dueAhead.Milliseconds(), limit)
		if err != nil {
			return err
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
	found, err := r.Redis.RecordsNow(ctx, p.number, ids)
	if err != nil {
		return err
	}
	for i := range found {
		if found[i].State == stock.StateHeld { // it is still held after the list was read
			v := r.views[late[ids[i]]]
			v.Overdue = append(v.Overdue, ids[i])
		}
	}
	return nil
}
