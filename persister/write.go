package persister

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"sluice/core/db"
	"sluice/core/ledger"
)

const (
	// These keep statements far below any max_allowed_packet, and below 65,536 arguments.
	rowsPerStatement  = 1000
	bytesPerStatement = 1 << 20 // of dead letters, if there are several
)

// written is the result of one transaction.
type written struct {
	events  int      // rows that were new to the ledger
	letters []letter // new dead letters, including those of an earlier commit whose answer was lost
}

// writer writes into MySQL, one transaction at a time.
type writer struct {
	db     *sql.DB
	tx     *sql.Tx
	values values // of the statement being built; its memory is used again

	unsure map[ledger.LetterID]letter // new letters of failed commits: MySQL may have them nevertheless
}

// write applies rows and dead letters in one transaction. It may be repeated, and rows may come in any
// order and any number of times: the ledger takes each key once, and projections only move to higher
// positions. A row whose key is taken by another event becomes a dead letter and touches nothing else.
//
// After an error the transaction was rolled back, or its outcome is unknown.
func (w *writer) write(ctx context.Context, rows []*row, letters []letter) (done written, err error) {
	done.letters, err = w.transaction(ctx, func() ([]letter, error) {
		put, err := w.put(ctx, rows, letters)
		done.events = put.events
		return put.letters, err
	})
	return done, err
}

// put is write within a transaction that has begun.
func (w *writer) put(ctx context.Context, rows []*row, letters []letter) (done written, err error) {
	rows, rivals := unique(slices.Clone(rows))
	rows, late, err := w.withoutArchived(ctx, rows)
	if err != nil {
		return done, err
	}
	inserted, forks, err := w.insertLedger(ctx, rows)
	if err != nil {
		return done, err
	}
	if forks, err = w.findForks(ctx, rivals, forks); err != nil {
		return done, err
	}
	all := slices.Clone(letters)
	for _, fork := range append(forks, late...) {
		all = append(all, forkLetter(fork))
	}
	rows = slices.DeleteFunc(rows, func(r *row) bool { return slices.Contains(forks, r) })
	if err := w.insertProjections(ctx, rows); err != nil {
		return done, err
	}
	done.events = inserted
	done.letters, err = w.insertLetters(ctx, all)
	return done, err
}

// transaction runs do in a transaction and commits it. do returns the new dead letters. transaction returns them once MySQL
// has them for certain, so that each is reported once. If the answer to a commit is lost, the next transaction finds the
// letters in MySQL and does not take them for new. So transaction remembers them.
func (w *writer) transaction(ctx context.Context, do func() ([]letter, error)) (fresh []letter, err error) {
	if w.tx, err = w.db.BeginTx(ctx, nil); err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	if fresh, err = do(); err != nil {
		// After a lock timeout MySQL undoes only the statement, so the rollback must be explicit. If it fails, the connection
		// is gone, and the transaction with it.
		_ = w.tx.Rollback()
		return nil, err
	}
	for i := range fresh {
		if w.unsure == nil {
			w.unsure = map[ledger.LetterID]letter{}
		}
		w.unsure[fresh[i].id()] = fresh[i]
	}
	if err = w.tx.Commit(); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	fresh = slices.Collect(maps.Values(w.unsure))
	clear(w.unsure)
	return fresh, nil
}

// exec runs the statement that was built.
func (w *writer) exec(ctx context.Context, what string) (affected int64, err error) {
	result, err := w.tx.ExecContext(ctx, string(w.values.sql))
	if err == nil {
		affected, err = result.RowsAffected()
	}
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", what, err)
	}
	return affected, nil
}

// insertLedger inserts the new rows. It returns how many were new, and the rows that found another event in their place.
func (w *writer) insertLedger(ctx context.Context, rows []*row) (inserted int, forks []*row, err error) {
	plain, changes := make([]*row, 0, len(rows)), []*row(nil)
	for _, r := range rows {
		if r.Kind.HasReason() {
			changes = append(changes, r)
		} else {
			plain = append(plain, r)
		}
	}
	for _, part := range []struct {
		statement string
		rows      []*row
	}{{insertLedger, plain}, {insertLedgerChange, changes}} {
		for chunk := range slices.Chunk(part.rows, rowsPerStatement) {
			n, err := w.insertChunk(ctx, part.statement, chunk)
			if err != nil {
				return 0, nil, err
			}
			inserted += n
			if n == len(chunk) {
				continue // the normal case: nothing was there before
			}
			if forks, err = w.findForks(ctx, chunk, forks); err != nil {
				return 0, nil, err
			}
		}
	}
	return inserted, forks, nil
}

func (w *writer) insertChunk(ctx context.Context, statement string, chunk []*row) (inserted int, err error) {
	w.values.begin(statement)
	for _, r := range chunk {
		w.values.ledger(r)
	}
	w.values.end(keepLedger)
	affected, err := w.exec(ctx, "ledger")
	return int(affected), err
}

// findForks compares sorted rows with the ledger's rows under the same keys, and appends those that differ to forks.
func (w *writer) findForks(ctx context.Context, rows, forks []*row) ([]*row, error) {
	for chunk := range slices.Chunk(rows, rowsPerStatement) {
		w.values.sql = appendLedgerKeys(append(w.values.sql[:0], selectLedger...), chunk)
		err := readLedger(ctx, w.tx, func(found *row) {
			for ; len(chunk) > 0 && byPosition(chunk[0], found) <= 0; chunk = chunk[1:] {
				if byPosition(chunk[0], found) == 0 && !chunk[0].same(found) {
					forks = append(forks, chunk[0])
				}
			}
		}, string(w.values.sql))
		if err != nil {
			return nil, err
		}
	}
	return forks, nil
}

// appendLedgerKeys appends a condition for the keys of sorted rows, one range for each run of them.
func appendLedgerKeys(dst []byte, rows []*row) []byte {
	for first := 0; first < len(rows); {
		last := first
		for last+1 < len(rows) && rows[last+1].Cell == rows[first].Cell && rows[last+1].Epoch == rows[first].Epoch &&
			rows[last+1].Seq == rows[last].Seq+1 {
			last++
		}
		if first > 0 {
			dst = append(dst, " OR "...)
		}
		c := rows[first].Cell
		dst = fmt.Appendf(dst, "(sku_id = %d AND pool = %d AND bucket = %d AND epoch = %d AND seq BETWEEN %d AND %d)",
			c.SKU, c.Pool, c.Bucket, rows[first].Epoch, rows[first].Seq, rows[last].Seq)
		first = last + 1
	}
	return append(dst, " ORDER BY sku_id, pool, bucket, epoch, seq"...)
}

// readLedger yields the rows that a query of selectLedger finds. The next row takes the place of one.
func readLedger(ctx context.Context, from db.Queryer, yield func(*row), query string, values ...any) error {
	var found row
	err := db.Rows(ctx, from, func(rows *sql.Rows) error {
		recorded, err := ledger.ScanEvent(rows)
		if err == nil {
			found = row{Event: recorded.Event, timeMS: recorded.TimeMS, partition: recorded.Reservation.Partition()}
			yield(&found)
		}
		return err
	}, query, values...)
	if err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	return nil
}

func (w *writer) insertProjections(ctx context.Context, rows []*row) error {
	for chunk := range slices.Chunk(newestOfCells(rows), rowsPerStatement) {
		w.values.begin(insertInventories)
		for _, r := range chunk {
			w.values.inventory(r)
		}
		w.values.end(moveInventories)
		if _, err := w.exec(ctx, "product_inventories"); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(newestOfReservations(rows), rowsPerStatement) {
		w.values.begin(insertReservations)
		for i := range chunk {
			w.values.reservation(&chunk[i])
		}
		w.values.end(moveReservations)
		if _, err := w.exec(ctx, "reservations"); err != nil {
			return err
		}
	}
	return nil
}

// insertLetters inserts dead letters. It returns those that are new.
func (w *writer) insertLetters(ctx context.Context, letters []letter) (fresh []letter, err error) {
	for len(letters) > 0 {
		n, bytes := 1, len(letters[0].data)
		for n < len(letters) && n < rowsPerStatement && bytes+len(letters[n].data) <= bytesPerStatement {
			bytes += len(letters[n].data)
			n++
		}
		some, err := w.insertLetterChunk(ctx, letters[:n])
		if err != nil {
			return nil, err
		}
		fresh = append(fresh, some...)
		letters = letters[n:]
	}
	return fresh, nil
}

func (w *writer) insertLetterChunk(ctx context.Context, letters []letter) (fresh []letter, err error) {
	known, err := w.knownLetters(ctx, letters)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	var values []any
	w.values.begin(insertLetter)
	for i := range letters {
		id := letters[i].id()
		if known[id] {
			continue
		}
		known[id] = true
		fresh = append(fresh, letters[i])
		values = append(values, letters[i].values(id)...)
		w.values.sql = append(w.values.sql, letterRow...)
	}
	if len(fresh) == 0 {
		return nil, nil
	}
	w.values.end(keepLetter)
	if _, err := w.tx.ExecContext(ctx, string(w.values.sql), values...); err != nil {
		return nil, fmt.Errorf("write dead letters: %w", err)
	}
	return fresh, nil
}

// knownLetters returns which of some letters MySQL already has.
func (w *writer) knownLetters(ctx context.Context, letters []letter) (map[ledger.LetterID]bool, error) {
	w.values.begin(selectLetters)
	for i := range letters {
		id := letters[i].id()
		w.values.bytes(id[:])
	}
	w.values.end(")")
	known := map[ledger.LetterID]bool{}
	return known, db.Rows(ctx, w.tx, func(rows *sql.Rows) error {
		var id []byte
		err := rows.Scan(&id)
		if err == nil {
			known[ledger.LetterID(id)] = true
		}
		return err
	}, string(w.values.sql))
}
