package reconcile

import (
	"context"
	"fmt"

	"sluice/core/ledger"
	"sluice/core/show"
	"sluice/core/stock"
)

// Bounds of a pass through the older rows of the ledger.
const (
	olderCells = 200
	olderRows  = 5000 // of a cell, that are in memory at once
	olderFound = 1000 // of a cell, that are wrong: the next pass has the others
)

// Older compares the rows of the ledger up to the applied marks with each other, cell by cell, from the first event or
// the checkpoint on, and the rows of reservations with the last events about them. Persisters have found these rows
// whole, so a difference is a later change. It reads neither Redis nor Kafka. It uses only SKU and sale of the scope.
func (s *Sweeper) Older(ctx context.Context, scope Scope) (*Report, error) {
	w := s.begin(scope)
	w.report.Summary.StartedAt = show.Moment(s.Now().UnixMilli())
	err := w.readMessages(ctx)
	for after, more := (stock.Cell{}), true; more && err == nil; {
		after, more, err = w.olderAfter(ctx, after)
		w.progressed(0)
	}
	return w.endOlder(ctx, err)
}

// OlderAfter is a piece of Older: it compares the rows of some cells after one, in their order, and returns the last of them, and
// whether there may be more. It tells nothing of dead letters that are about whole messages.
func (s *Sweeper) OlderAfter(ctx context.Context, after stock.Cell) (report *Report, last stock.Cell, more bool, err error) {
	w := s.begin(Scope{})
	w.quick = true
	w.report.Summary.StartedAt = show.Moment(s.Now().UnixMilli())
	last, more, err = w.olderAfter(ctx, after)
	report, ended := w.endOlder(ctx, err)
	return report, last, more, ended
}

// endOlder completes the report, which names a MySQL that could not be read.
func (w *sweep) endOlder(ctx context.Context, err error) (*Report, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		w.unreadable(InLedger, -1, err)
	}
	w.verified()
	w.report.Summary.EndedAt = show.Moment(w.Now().UnixMilli())
	w.report.close()
	return w.report, nil
}

// olderAfter compares the rows of some cells after one, and tells which was the last, and whether there may be more.
func (w *sweep) olderAfter(ctx context.Context, after stock.Cell) (last stock.Cell, more bool, err error) {
	var cells []older
	err = w.Books.Moments().MarksAfter(ctx, after, w.scope.SKU, w.scope.Sale, olderCells, func(c stock.Cell, mark stock.Position) {
		cells = append(cells, older{sweep: w, cell: c, mark: mark})
	})
	for i := range cells {
		if err == nil {
			err = cells[i].compare(ctx)
		}
		last = cells[i].cell
	}
	return last, len(cells) == olderCells, err
}

// older walks along the rows of one cell up to its mark.
type older struct {
	*sweep
	walker

	cell       stock.Cell
	mark       stock.Position
	checkpoint *ledger.Checkpoint            // nil: no row has left
	kept       bool                          // the row of the checkpoint is there
	ends       map[uint32]uint64             // by epoch: the seq at which a rebase has ended it
	seen       stock.Position                // the last row that was read
	last       *Event                        // not stepped to yet: the row after it tells more
	lasts      map[stock.ReservationID]Event // the last events of a page about reservations
	stale      map[stock.ReservationID]staleRow
	rows       int64
	done       bool
	unread     string // why the cell cannot be compared
}

// compare walks, and a second time if something is found: rows may have left for a file meanwhile. The second time all rows
// are of one moment.
func (o *older) compare(ctx context.Context) error {
	again := *o
	err := o.walk(ctx, func(read func(*ledger.Snapshot) error) error {
		begun := o.Now()
		defer o.rest(ctx, begun)
		return o.snapshot(ctx, read)
	})
	o.report.Summary.LedgerRows += o.rows
	if err == nil && o.found() > 0 {
		err = o.snapshot(ctx, func(s *ledger.Snapshot) error {
			return again.walk(ctx, func(read func(*ledger.Snapshot) error) error { return read(s) })
		})
		o.walker, o.stale, o.unread = again.walker, again.stale, again.unread
	}
	if err == nil {
		v := &View{Cell: o.cell, NowMS: o.Now().UnixMilli()}
		o.keep(v, o.judge(v))
	}
	return err
}

// found returns the number of faults.
func (o *older) found() int { return len(o.missing) + len(o.breaches) + len(o.stale) }

func (o *older) walk(ctx context.Context, in func(func(*ledger.Snapshot) error) error) error {
	err := in(func(s *ledger.Snapshot) error { return o.begin(ctx, s) })
	for err == nil && !o.done {
		err = in(func(s *ledger.Snapshot) error { return o.page(ctx, s) })
	}
	if err != nil {
		return err
	}
	if o.unread != "" || o.found() >= olderFound { // it has not come to the mark
		return nil
	}
	found := o.left
	if o.last != nil {
		if !o.mark.Less(o.last.Position) {
			o.step(o.last, nil, nil)
			o.rows++
			found = o.left
		} else if o.last.Epoch == o.mark.Epoch {
			found = o.last.before()
		}
	}
	if c := o.checkpoint; c != nil && !o.kept {
		o.missing = append(o.missing, span{c.Epoch, c.Seq, c.Seq, c.Balances(), c.Balances(), c.TimeMS})
	}
	o.walker.end(o.mark, found)
	return nil
}

// begin reads where the walk begins.
func (o *older) begin(ctx context.Context, s *ledger.Snapshot) error {
	o.walker = walker{at: stock.Position{Epoch: 1}, known: true, forked: map[stock.Position]bool{}} // before its first event a cell is empty
	o.stale = map[stock.ReservationID]staleRow{}
	letters := 0
	err := s.OpenLetters(ctx, []stock.Cell{o.cell}, lettersMax, func(l *ledger.OpenLetter) {
		if letters++; isFork(l.Reason) {
			o.forked[l.Position] = true
		}
	})
	if err != nil {
		return err
	}
	if letters == lettersMax {
		o.unread = fmt.Sprintf("more than %d dead letters are about it: resolve or replay some, and compare again", lettersMax)
		o.done = true
	}
	found, err := s.Checkpoints(ctx, []stock.Cell{o.cell})
	if err != nil {
		return err
	}
	if c, ok := found[o.cell]; ok {
		o.checkpoint = &c
		o.at, o.left, o.leftMS = c.Position, c.Balances(), c.TimeMS
	}
	o.ends, err = epochEnds(ctx, s, o.cell)
	return err
}

// page reads some rows.
func (o *older) page(ctx context.Context, s *ledger.Snapshot) error {
	from := o.seen
	if o.checkpoint != nil && from.Less(o.checkpoint.Position) {
		from = o.checkpoint.Position
	}
	n := 0
	o.lasts = map[stock.ReservationID]Event{}
	err := s.Events(ctx, o.cell, from, olderRows, func(e *ledger.Recorded) {
		n++
		if e.Position != o.seen && !o.done {
			o.seen = e.Position
			o.take(&Event{e.Event, e.TimeMS, InLedger})
		}
	})
	if err == nil {
		err = o.compareRows(ctx, s)
	}
	o.done = o.done || n < olderRows || o.found() >= olderFound
	return err
}

// take takes the next row. One beyond the end of its epoch was declared lost.
func (o *older) take(e *Event) {
	if end, ended := o.ends[e.Epoch]; ended && e.Seq > end {
		return
	}
	if c := o.checkpoint; c != nil && e.Position == c.Position {
		o.kept = true
		o.rows++
		if e.after() != c.Balances() {
			moves, was := e.applied(stock.Balances{}), c.Balances()
			was.Avail, was.Held, was.Sold, was.Total = was.Avail-moves.Avail, was.Held-moves.Held, was.Sold-moves.Sold, was.Total-moves.Total
			o.breaches = append(o.breaches, breach{at: *e, left: was, found: e.before(), sinceMS: e.TimeMS, edited: true})
		}
		return
	}
	if o.last != nil {
		o.step(o.last, e, nil)
		o.rows++
	}
	if !e.Kind.Adjusts() && !o.mark.Less(e.Position) && !o.forked[e.Position] {
		o.lasts[e.Reservation] = *e
	}
	o.last = e
	o.done = o.mark.Less(e.Position)
}

// judge reports the findings of the walk.
func (o *older) judge(v *View) Judgement {
	if o.unread != "" {
		return unverified(v, InLetters, o.unread)
	}
	j := judge{View: v, chain: &chain{breaches: o.breaches}}
	j.forks()
	j.found()
	j.staleRows(o.stale)
	var units int64
	var proof []Proof
	for _, s := range o.missing {
		says := fmt.Sprintf("no row at %d.%d any more", s.epoch, s.first)
		if s.first < s.last {
			says = fmt.Sprintf("no rows from %d.%d to %d.%d any more", s.epoch, s.first, s.epoch, s.last)
		}
		units += moved(s.left, s.found)
		proof = append(proof, Proof{Store: InLedger, Says: says, Epoch: s.epoch, Seq: s.first, Units: moved(s.left, s.found)})
	}
	if len(proof) > 0 {
		j.add(Gap, units, Bookkeeping, o.missing[0].sinceMS, proof...)
	}
	order(j.findings)
	if len(j.findings) > 0 {
		return Judgement{Class: Drift, Findings: j.findings}
	}
	return Judgement{Class: InSync}
}
