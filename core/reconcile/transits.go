package reconcile

import (
	"context"
	"fmt"
	"slices"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/stock"
)

// transitsMax bounds the halves of transfers, and the adjustments that look like them, that a sweep has in memory.
const transitsMax = 1_000_000

// halfKey is the part of the id that both halves of a transfer share.
type halfKey [stock.ReservationBytes - 2]byte

func keyOfHalf(id stock.ReservationID) halfKey {
	id[stock.ReservationBytes-1] &^= 1
	return halfKey(id[2:])
}

// transits has the records of adjustments whose other half has not been found. Most of these are not transfers; the
// ledger knows which are.
type transits map[halfKey]half

// half is the record of an adjustment. A record has no epoch, so Position has the newest epoch that is possible: that
// of the cell when the record was read. Every rebase since the adjustment has begun a later epoch.
type half struct {
	id   stock.ReservationID
	cell stock.Cell
	stock.Position
}

// transit adds the record of an adjustment. It leaves out the first event of a cell, which has made the cell and is
// not a transfer.
func (p *partition) transit(r *stock.Reservation) {
	if r.Seq <= 1 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := keyOfHalf(r.ID)
	if other, met := p.transits[key]; met && other.id != r.ID {
		delete(p.transits, key)
	} else if cell := p.cells[r.Cell]; cell != nil && len(p.transits) >= p.transitsMax {
		p.transitsLeft = true
	} else if cell != nil {
		p.transits[key] = half{r.ID, r.Cell, stock.Position{Epoch: cell.Epoch, Seq: r.Seq}}
	}
}

// halvesAtOnce is how many adjustments one statement looks up in the ledger.
const halvesAtOnce = 1000

// stuck finds units that left a cell and did not arrive.
func (w *sweep) stuck(ctx context.Context) {
	if w.transitsLeft {
		w.unreadable(InRedis, -1, fmt.Errorf("more than %d records may be halves of transfers: the others are not compared", w.transitsMax))
	}
	halves := make([]half, 0, len(w.transits))
	for _, h := range w.transits {
		if h.id[stock.ReservationBytes-1]&1 == 0 { // the half that takes units out
			halves = append(halves, h)
		}
	}
	slices.SortFunc(halves, func(a, b half) int { return a.cell.Compare(b.cell) })
	tooOld := 0
	for some := range slices.Chunk(halves, halvesAtOnce) {
		found, left, err := w.departed(ctx, some)
		if err == nil {
			err = w.judgeTransits(ctx, found)
		}
		if err != nil {
			w.unreadable(storeOf(err), -1, err)
			return
		}
		tooOld += left
	}
	if tooOld > 0 {
		w.unreadable(InLedger, -1, fmt.Errorf("%d records may be halves of transfers from more than %d epochs ago: nobody knows whether the units arrived", tooOld, epochsMax))
	}
}

// departed returns the halves that took units out of a cell, and the number of halves that it could not find because
// too many epochs have begun since.
func (w *sweep) departed(ctx context.Context, halves []half) (found []Transit, tooOld int, err error) {
	left := map[stock.ReservationID]half{}
	for _, h := range halves {
		left[h.id] = h
	}
	for range epochsMax {
		if len(left) == 0 {
			break
		}
		begun := w.Now()
		at := make([]ledger.Place, 0, len(left))
		for _, h := range left {
			at = append(at, ledger.Place{Cell: h.cell, At: h.Position})
		}
		err := w.Books.Moments().EventsOf(ctx, at, func(e *ledger.Recorded) {
			if _, sought := left[e.Reservation]; !sought { // a lost event may have had the same seq
				return
			}
			delete(left, e.Reservation)
			if e.Kind == event.KindTransferOut {
				found = append(found, Transit{Departure: e.Departure(), Position: e.Position, SinceMS: e.TimeMS})
			}
		})
		if err != nil {
			return nil, 0, err
		}
		w.rest(ctx, begun)
		for id, before := range left {
			if before.Epoch--; before.Epoch == 0 {
				delete(left, id)
			} else {
				left[id] = before
			}
		}
	}
	return found, len(left), nil
}

// judgeTransits judges transfers, cell by cell.
func (w *sweep) judgeTransits(ctx context.Context, found []Transit) error {
	byCell := map[stock.Cell][]Transit{}
	for _, t := range found {
		byCell[t.From] = append(byCell[t.From], t)
	}
	for cell, some := range byCell {
		begun := w.Now()
		var cells []stock.Cell
		err := w.Books.Moments().CellsOf(ctx, cell.SKU, nil, skuMax, func(c stock.Cell) { cells = append(cells, c) })
		if err == nil {
			err = w.arrivals(ctx, some, cells)
		}
		if err != nil {
			return err
		}
		w.rest(ctx, begun)
	}
	return nil
}

// stillKnown finds out which transfers out of a cell Redis still has records of. It runs after the search for the
// other halves.
func (w *sweep) stillKnown(ctx context.Context, found []Transit) error {
	ids := make([]stock.ReservationID, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	records, err := w.Redis.RecordsNow(ctx, found[0].From.Partition(w.Redis.Partitions()), ids)
	if err != nil {
		return fromRedis(err)
	}
	for i := range records {
		found[i].Retention, found[i].Forgotten = w.Redis.Retention(), records[i].State == stock.StateNone
	}
	return nil
}

// arrivals judges transfers out of a cell, after the search for their other halves in all partitions where these may
// be.
func (w *sweep) arrivals(ctx context.Context, found []Transit, cells []stock.Cell) error {
	asked := map[int]bool{}
	for _, c := range cells {
		p := c.Partition(w.Redis.Partitions())
		if asked[p] {
			continue
		}
		asked[p] = true
		ids := make([]stock.ReservationID, len(found))
		for i := range found {
			ids[i] = found[i].Other()
			ids[i][0], ids[i][1] = byte(p>>8), byte(p)
		}
		records, err := w.Redis.RecordsNow(ctx, p, ids)
		if err != nil {
			return fromRedis(err)
		}
		for i := range records {
			found[i].Arrived = found[i].Arrived || records[i].State != stock.StateNone
		}
	}
	if err := w.stillKnown(ctx, found); err != nil {
		return err
	}
	nowMS, err := w.Redis.NowAgain(ctx)
	if err != nil {
		return fromRedis(err)
	}
	for i := range found {
		t := &found[i]
		t.To, _ = t.Destination(cells)
		if f := JudgeTransit(t, nowMS); f != nil && w.scope.has(t.From) && t.SinceMS >= w.scope.SinceMS {
			w.mu.Lock()
			w.report.add(*f)
			w.report.plan(finishStep(t))
			w.mu.Unlock()
		}
	}
	return nil
}
