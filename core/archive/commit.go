package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/core/db"
	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/stock"
)

const (
	rowsAtOnce = 1000 // of one statement

	lockName = "sluice archive"

	selectNextFile = "SELECT COALESCE(MAX(file_id), 0) + 1 FROM archive_files"
	insertFile     = "INSERT INTO archive_files (file_id, name, sha256, cells, events, reservations, repairs, cut_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

	// A persister that gets an old event again holds the same rows while it looks whether the event has left.
	lockMarks    = "SELECT sku_id, pool, bucket, epoch, seq FROM applied_marks WHERE sku_id = %d AND pool = %d AND bucket = %d FOR UPDATE"
	deleteLedger = "DELETE FROM ledger WHERE "
	deleteRows   = "DELETE FROM reservations WHERE state <> 'held' AND updated_ms < %d AND reservation_id IN ("

	insertCheckpoints = "INSERT INTO checkpoints (sku_id, pool, bucket, epoch, seq, available_stock, reserved_stock, sold_stock, settings, " +
		"extend_ms, redis_ms, events, file_id) VALUES "
	moveCheckpoints = " ON DUPLICATE KEY UPDATE epoch = VALUES(epoch), seq = VALUES(seq), available_stock = VALUES(available_stock), " +
		"reserved_stock = VALUES(reserved_stock), sold_stock = VALUES(sold_stock), settings = VALUES(settings), extend_ms = VALUES(extend_ms), " +
		"redis_ms = VALUES(redis_ms), events = VALUES(events), file_id = VALUES(file_id)"
	insertBuyers = "INSERT INTO archived_buyers (sku_id, pool, bucket, user_id, units) VALUES "
	moveBuyers   = " ON DUPLICATE KEY UPDATE units = VALUES(units)"
)

// lock has one archiver at a time. The lock ends with its connection, and only that connection deletes. A run may rest for
// longer than a server keeps a silent connection.
func (a *archiver) lock(ctx context.Context) (unlock func(), err error) {
	free, taken, err := db.TryLock(ctx, a.conn, lockName)
	if err == nil && !taken {
		err = ErrBusy
	}
	if err != nil {
		return nil, err
	}
	letSleep, err := db.KeepAwake(ctx, a.conn, &a.busy)
	if err != nil {
		free()
		return nil, err
	}
	return func() {
		letSleep()
		free()
	}, nil
}

func (a *archiver) nextFile(ctx context.Context) (id int64, err error) {
	a.busy.Lock()
	defer a.busy.Unlock()
	if err := a.conn.QueryRowContext(ctx, selectNextFile).Scan(&id); err != nil {
		return 0, fmt.Errorf("read archive files: %w", err)
	}
	return id, nil
}

// commit deletes what is in a file, and writes the checkpoints, in one transaction. It takes back everything if a row is not as
// it was read.
func (a *archiver) commit(ctx context.Context, file ledger.ArchiveFile, some load) (err error) {
	a.busy.Lock()
	defer a.busy.Unlock()
	tx, err := a.conn.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // if it fails, the connection is gone and the transaction with it
		}
	}()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"lock", func() error { return a.unchanged(ctx, tx, some.cells) }},
		{"delete ledger", func() error { return deleteEvents(ctx, tx, some.cells) }},
		{"delete reservations", func() error { return a.deleteReservations(ctx, tx, some.cells) }},
		{"delete repairs", func() error { return deleteOldRepairs(ctx, tx, some.repairs, a.Before) }},
		{"checkpoint", func() error { return saveCheckpoints(ctx, tx, file.ID, some.cells) }},
		{"count buyers", func() error { return saveBuyers(ctx, tx, some.cells) }},
		{"name file", func() error { return a.nameFile(ctx, tx, file, some) }},
	} {
		if err := a.Step(step.name); err != nil {
			return err
		}
		if err := step.do(); err != nil {
			return fmt.Errorf("archive: %s: %w", step.name, err)
		}
	}
	if err := a.Step("commit"); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("archive: commit: %w", err)
	}
	return nil
}

// unchanged locks the cells, and looks whether all is as it was when it was read.
func (a *archiver) unchanged(ctx context.Context, tx *sql.Tx, some []*stretch) error {
	cells := make([]stock.Cell, len(some))
	for i, s := range some {
		cells[i] = s.base.Cell
		var c stock.Cell
		var mark stock.Position
		err := tx.QueryRowContext(ctx, fmt.Sprintf(lockMarks, cells[i].SKU, cells[i].Pool, cells[i].Bucket)).Scan(&c.SKU, &c.Pool, &c.Bucket, &mark.Epoch, &mark.Seq)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if mark.Less(s.fold.Checkpoint().Position) {
			return fmt.Errorf("%w: the applied mark of %v went back", ErrMoved, cells[i])
		}
	}
	bases, err := ledger.CheckpointsIn(ctx, tx, cells, " FOR UPDATE")
	if err != nil {
		return err
	}
	for _, s := range some {
		if base := bases[s.base.Cell]; base.Position != s.base.Position {
			return fmt.Errorf("%w: somebody else has archived %v", ErrMoved, s.base.Cell)
		}
	}
	held, err := a.books.HeldBack(ctx, cells)
	if err == nil && len(held) > 0 {
		err = fmt.Errorf("%w: %v has got a dead letter", ErrMoved, held[0])
	}
	return err
}

// gone are the positions of a cell's events that leave the ledger, in order.
func (one *stretch) gone() (gone []stock.Position) {
	kept := one.fold.Kept()
	for _, events := range [][]ledger.Recorded{one.kept, one.events} {
		for i := range events {
			if !kept[events[i].Position] {
				gone = append(gone, events[i].Position)
			}
		}
	}
	return gone
}

func deleteEvents(ctx context.Context, tx *sql.Tx, some []*stretch) error {
	d := deletion{ctx: ctx, tx: tx, what: "events"}
	for _, s := range some {
		gone := s.gone()
		for first := 0; first < len(gone); {
			last := first
			for last+1 < len(gone) && last-first < rowsAtOnce && gone[last+1].Epoch == gone[first].Epoch && gone[last+1].Seq == gone[last].Seq+1 {
				last++
			}
			c, n := s.base.Cell, last-first+1
			err := d.add(n, fmt.Appendf(nil, "(sku_id = %d AND pool = %d AND bucket = %d AND epoch = %d AND seq BETWEEN %d AND %d)",
				c.SKU, c.Pool, c.Bucket, gone[first].Epoch, gone[first].Seq, gone[last].Seq), deleteLedger, " OR ", "")
			if err != nil {
				return err
			}
			first = last + 1
		}
	}
	return d.run("")
}

func (a *archiver) deleteReservations(ctx context.Context, tx *sql.Tx, some []*stretch) error {
	var ids []stock.ReservationID
	for _, s := range some {
		for id := range s.fold.ended {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, stock.ReservationID.Compare) // the order in which persisters lock
	d := deletion{ctx: ctx, tx: tx, what: "reservations"}
	begin := fmt.Sprintf(deleteRows, a.Before.UnixMilli())
	for _, id := range ids {
		if err := d.add(1, fmt.Appendf(nil, "x'%x'", id[:]), begin, ",", ")"); err != nil {
			return err
		}
	}
	return d.run(")")
}

// deletion deletes rows some at a time, and fails if there are not as many as there should be.
type deletion struct {
	ctx   context.Context //nolint:containedctx // of one step of a transaction
	tx    *sql.Tx
	what  string
	query []byte
	rows  int
}

func (d *deletion) add(rows int, condition []byte, begin, between, end string) error {
	if d.rows+rows > rowsAtOnce {
		if err := d.run(end); err != nil {
			return err
		}
	}
	if len(d.query) == 0 {
		d.query = append(d.query, begin...)
	} else {
		d.query = append(d.query, between...)
	}
	d.query = append(d.query, condition...)
	d.rows += rows
	return nil
}

func (d *deletion) run(end string) error {
	if d.rows == 0 {
		return nil
	}
	result, err := d.tx.ExecContext(d.ctx, string(append(d.query, end...)))
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n != int64(d.rows) {
		err = fmt.Errorf("%w: %d of %d %s are as they were read", ErrMoved, n, d.rows, d.what)
	}
	d.query, d.rows = d.query[:0], 0
	return err
}

func saveCheckpoints(ctx context.Context, tx *sql.Tx, file int64, some []*stretch) error {
	for chunk := range slices.Chunk(some, rowsAtOnce) {
		query := []byte(insertCheckpoints)
		for i, s := range chunk {
			if i > 0 {
				query = append(query, ',')
			}
			c := s.fold.Checkpoint()
			query = fmt.Appendf(query, "(%d,%d,%d,%d,%d,%d,%d,%d,x'%x',%d,%d,%d,%d)", c.Cell.SKU, c.Cell.Pool, c.Cell.Bucket, c.Epoch, c.Seq,
				c.Avail, c.Held, c.Sold, event.AppendSettings(nil, c.Settings, 0)[:event.SettingsBytes], c.Settings.ExtendMax.Milliseconds(),
				c.TimeMS, c.Events, file)
		}
		if _, err := tx.ExecContext(ctx, string(query)+moveCheckpoints); err != nil {
			return err
		}
	}
	return nil
}

func saveBuyers(ctx context.Context, tx *sql.Tx, some []*stretch) error {
	var rows []string
	for _, s := range some {
		c := s.base.Cell
		buyers := s.fold.Buyers()
		for _, user := range slices.Sorted(maps.Keys(buyers)) {
			if units := buyers[user]; units != 0 || s.buyers[user] != 0 {
				rows = append(rows, fmt.Sprintf("(%d,%d,%d,%d,%d)", c.SKU, c.Pool, c.Bucket, user, units))
			}
		}
	}
	for chunk := range slices.Chunk(rows, rowsAtOnce) {
		if _, err := tx.ExecContext(ctx, insertBuyers+strings.Join(chunk, ",")+moveBuyers); err != nil {
			return err
		}
	}
	return nil
}

func (a *archiver) nameFile(ctx context.Context, tx *sql.Tx, file ledger.ArchiveFile, some load) error {
	events, reservations := 0, 0
	for _, s := range some.cells {
		events += len(s.events)
		reservations += len(s.fold.ended)
	}
	_, err := tx.ExecContext(ctx, insertFile, file.ID, file.Name, file.SHA256[:], len(some.cells), events, reservations, len(some.repairs), a.Before.UnixMilli())
	return err
}
