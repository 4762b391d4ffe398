package persister

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"sluice/core/db"
	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/lifecycle"
	"sluice/core/stock"
)

const (
	marksEvery   = time.Second
	marksShare   = 4       // a pause is so many times as long as the work before it: a fifth of one connection is busy
	marksCells   = 500     // of one round, at the most
	marksRows    = 20_000  // ledger rows of one round, about
	marksTouched = 100_000 // cells remembered; a survey finds the others
	marksTimeout = 30 * time.Second
	surveyEvery  = 10 * time.Minute // for cells that another persister left behind

	insertMarks = "INSERT INTO applied_marks (sku_id, pool, bucket, epoch, seq) VALUES "
	// Several persisters may have moved a mark to different heights, all of them proven.
	moveMarks = " ON DUPLICATE KEY UPDATE " +
		"seq = IF(epoch = VALUES(epoch), GREATEST(seq, VALUES(seq)), IF(epoch < VALUES(epoch), VALUES(seq), seq)), " +
		"epoch = GREATEST(epoch, VALUES(epoch))"
)

// marker moves applied_marks. The mark of a cell says up to where the ledger has every event, and each event follows from
// the one before. The marker works behind the consumer and in its own time. It walks the ledger on from the mark, and
// stops in three places: at a gap, at an event whose balances do not follow, and at an unresolved dead letter of the
// cell. It makes a dead letter of an event that does not follow. It enters a new epoch that begins with a rebase: that names
// the event at which the old one ended, states the balances, and declares lost what is missing.
type marker struct {
	writer writer
	books  *ledger.Reader
	meters *meters
	log    *slog.Logger
	moved  func(stock.Cell) // called for each mark that has moved

	mu      sync.Mutex
	touched map[stock.Cell]struct{}

	atOnce   portion      // cells of one round
	behind   []stock.Cell // cells that the last round did not finish: the next begins with them
	cursor   stock.Cell   // of the survey under way
	surveyed time.Time    // when the last one ended
}

func newMarker(db *sql.DB, m *meters, log *slog.Logger) *marker {
	return &marker{writer: writer{db: db}, books: ledger.New(db, nil), meters: m, log: log, moved: func(stock.Cell) {}, touched: map[stock.Cell]struct{}{}, atOnce: newPortion(marksCells)}
}

// touch notes a cell that has new events.
func (m *marker) touch(c stock.Cell) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.touched) < marksTouched {
		m.touched[c] = struct{}{}
	}
}

// run moves marks until ctx ends.
func (m *marker) run(ctx context.Context) {
	trouble := lifecycle.NewTrouble(m.log, "move applied marks")
	for {
		start := m.meters.now()
		err := m.round(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil:
			m.atOnce.fits()
		case db.FailureOf(err) == db.FailureTooLarge:
			m.atOnce.tooLarge(m.atOnce.size)
		}
		trouble.Saw(err)
		if !lifecycle.Pause(ctx, max(marksEvery, marksShare*m.meters.now().Sub(start))) {
			return
		}
	}
}

// round moves the marks of some cells: touched ones, or, when there are none, those of a survey.
func (m *marker) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, marksTimeout)
	defer cancel()
	cells := m.pick()
	if len(cells) == 0 && m.meters.now().Sub(m.surveyed) >= surveyEvery {
		var err error
		if cells, err = m.survey(ctx); err != nil {
			return err
		}
	}
	if len(cells) == 0 {
		return nil
	}
	unfinished, err := m.move(ctx, cells)
	if err == nil {
		// Half of the next round is for others, so that nobody waits for ever.
		n := min(len(unfinished), m.atOnce.size/2)
		m.behind, cells = unfinished[:n], unfinished[n:]
	}
	for _, c := range cells {
		m.touch(c)
	}
	return err
}

// pick returns the cells of a round: those that are behind, and some touched ones.
func (m *marker) pick() []stock.Cell {
	m.mu.Lock()
	defer m.mu.Unlock()
	cells := m.behind
	m.behind = nil
	for _, c := range cells {
		delete(m.touched, c)
	}
	for c := range m.touched {
		if len(cells) >= m.atOnce.size {
			break
		}
		cells = append(cells, c)
		delete(m.touched, c)
	}
	slices.SortFunc(cells, stock.Cell.Compare)
	return cells
}

// survey finds some cells whose mark is behind. Each call goes on where the last one ended, until all cells are through.
func (m *marker) survey(ctx context.Context) ([]stock.Cell, error) {
	cells, err := m.books.Behind(ctx, m.cursor, m.atOnce.size)
	if err != nil {
		return nil, err
	}
	if len(cells) < m.atOnce.size {
		m.cursor, m.surveyed = stock.Cell{}, m.meters.now()
	} else {
		m.cursor = cells[len(cells)-1]
	}
	return cells, nil
}

// move moves the marks of sorted cells, and returns those that may have more rows than it read.
func (m *marker) move(ctx context.Context, cells []stock.Cell) (unfinished []stock.Cell, err error) {
	held, err := m.books.HeldBack(ctx, cells)
	if err != nil {
		return nil, err
	}
	cells = slices.DeleteFunc(slices.Clone(cells), func(c stock.Cell) bool { return slices.Contains(held, c) })
	marks, err := m.books.AppliedMarks(ctx, cells)
	if err != nil {
		return nil, err
	}
	for _, c := range cells {
		if _, known := marks[c]; !known {
			marks[c] = stock.Position{Epoch: 1} // before its first event
		}
	}
	// Each cell gets the same share of the rows. The others share what some cells leave over.
	moved, broken := map[stock.Cell]stock.Position{}, []letter(nil)
	for budget := marksRows; budget > 0 && len(cells) > 0; {
		window := max(1, budget/len(cells))
		rows, err := m.ledger(ctx, cells, marks, uint64(window))
		if err != nil {
			return nil, err
		}
		budget -= max(len(rows), len(cells))
		now, breaks := walk(rows, marks, uint64(window))
		cells = slices.DeleteFunc(cells, func(c stock.Cell) bool {
			to, ok := now[c]
			return !ok || to.Epoch == marks[c].Epoch && to.Seq != marks[c].Seq+uint64(window)
		})
		maps.Copy(marks, now)
		maps.Copy(moved, now)
		broken = append(broken, breaks...)
	}
	return cells, m.save(ctx, moved, broken)
}

// walk goes through sorted ledger rows of cells, each cell from its mark on, so many rows far. It returns how far each mark can
// move, and a dead letter for each row that does not follow from the one before.
func walk(rows []row, marks map[stock.Cell]stock.Position, window uint64) (moved map[stock.Cell]stock.Position, broken []letter) {
	moved = map[stock.Cell]stock.Position{}
	ends := map[stock.Cell]stock.Position{} // at which a rebase ended the epoch of the mark
	corrected := map[stock.Cell]bool{}      // by that rebase: somebody has put right what does not follow
	for i := range rows {
		if r := &rows[i]; r.Kind == event.KindRebase && r.Change.From.Epoch == marks[r.Cell].Epoch {
			ends[r.Cell], corrected[r.Cell] = r.Change.From, r.Corrects()
		}
	}
	stopped := map[stock.Cell]bool{} // at a break
	for i := range rows {
		r := &rows[i]
		mark := marks[r.Cell]
		if m, ok := moved[r.Cell]; ok {
			mark = m
		}
		end, ended := ends[r.Cell]
		if ended && r.Kind == event.KindRebase && r.Change.From == end && (r.Corrects() || !stopped[r.Cell]) && r.fits() {
			// Between mark and end is nothing, unless the window ended before it.
			if !mark.Less(end) || mark.Seq < marks[r.Cell].Seq+window || stopped[r.Cell] {
				moved[r.Cell] = r.Position
			}
			continue
		}
		if !r.Follows(mark) || ended && end.Less(r.Position) && r.Epoch == end.Epoch {
			continue // the row of the mark itself, after a gap or a break, or declared lost
		}
		var avail, held, sold int64 // before the first event a cell is empty
		if mark.Seq > 0 {
			if i == 0 || rows[i-1].Cell != r.Cell || rows[i-1].Position != mark {
				continue // somebody took the row of the mark out of the ledger
			}
			avail, held, sold = rows[i-1].Avail, rows[i-1].Held, rows[i-1].Sold
		}
		if corrected[r.Cell] && (!r.fits() || !r.follows(avail, held, sold)) {
			stopped[r.Cell] = true
			continue
		}
		if !r.fits() { // nor into a message
			detail := fmt.Sprintf("%v has values that no event can have, at %d ms: %v of %d units by user %d, delta %d, %d available, %d held, %d sold",
				r, r.timeMS, r.Kind, r.Quantity, r.User, r.Change.Delta, r.Avail, r.Held, r.Sold)
			broken = append(broken, letter{reason: reasonBroken, detail: detail, event: &r.Event, data: []byte(detail)})
			stopped[r.Cell] = true
			continue
		}
		if !r.follows(avail, held, sold) {
			a, h, s := r.Before()
			broken = append(broken, rowLetter(reasonBroken,
				fmt.Sprintf("%v found balances %d, %d, %d, but %d, %d, %d were left to it", r, a, h, s, avail, held, sold), r))
			stopped[r.Cell] = true
			continue
		}
		moved[r.Cell] = r.Position
	}
	return moved, broken
}

// ledger reads rows of cells: the rows of their marks, of a window after them, and the first row of the next epoch if
// there is one.
func (m *marker) ledger(ctx context.Context, cells []stock.Cell, marks map[stock.Cell]stock.Position, window uint64) (found []row, err error) {
	if len(cells) == 0 {
		return nil, nil
	}
	begins, err := m.books.NextEpochs(ctx, cells, marks)
	if err != nil {
		return nil, err
	}
	query := []byte(selectLedger)
	for i, c := range cells { // a range of the key each: one statement for each cell, or a join with a list of cells, takes twice as long
		if i > 0 {
			query = append(query, " OR "...)
		}
		query = fmt.Appendf(query, "(sku_id = %d AND pool = %d AND bucket = %d AND epoch = %d AND seq BETWEEN %d AND %d)",
			c.SKU, c.Pool, c.Bucket, marks[c].Epoch, marks[c].Seq, marks[c].Seq+window)
		if next, begun := begins[c]; begun {
			query = fmt.Appendf(query, " OR (sku_id = %d AND pool = %d AND bucket = %d AND epoch = %d AND seq = %d)", c.SKU, c.Pool, c.Bucket, next.Epoch, next.Seq)
		}
	}
	query = append(query, " ORDER BY sku_id, pool, bucket, epoch, seq"...)
	err = readLedger(ctx, m.writer.db, func(r *row) { found = append(found, *r) }, string(query))
	return found, err
}

// save writes marks, and dead letters that explain why others do not move.
func (m *marker) save(ctx context.Context, moved map[stock.Cell]stock.Position, broken []letter) error {
	if len(moved) == 0 && len(broken) == 0 {
		return nil
	}
	w := &m.writer
	fresh, err := w.transaction(ctx, func() ([]letter, error) {
		if len(moved) > 0 {
			w.values.begin(insertMarks)
			for _, c := range slices.SortedFunc(maps.Keys(moved), stock.Cell.Compare) {
				w.values.open()
				w.values.cell(c)
				w.values.position(moved[c])
				w.values.shut()
			}
			w.values.end(moveMarks)
			if _, err := w.exec(ctx, "applied_marks"); err != nil {
				return nil, err
			}
		}
		return w.insertLetters(ctx, broken)
	})
	if err != nil {
		return err
	}
	m.meters.marksMoved.Add(len(moved))
	for c := range moved {
		m.moved(c)
	}
	for i := range fresh {
		fresh[i].report(m.meters, m.log)
	}
	return nil
}
