package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"sluice/core/db"
	"sluice/core/event"
	"sluice/core/show"
	"sluice/core/stock"
)

// Checkpoint is the state of a cell after one of its events. All events up to this one are in files of the archive. The
// ledger still has the event itself. Of those before it, it has only two kinds: events of reservations that were open
// there, and events that set the limit per user.
type Checkpoint struct {
	Cell stock.Cell
	stock.Position
	Avail, Held, Sold int64          // after the event
	Settings          stock.Settings // after the event
	TimeMS            int64          // Redis time of the event
	Events            int64          // of the cell that are in files
	File              int64          // the file that has the event
}

// Balances are the cell's at the checkpoint.
func (c *Checkpoint) Balances() stock.Balances {
	return stock.Balances{Avail: c.Avail, Held: c.Held, Sold: c.Sold, Total: c.Avail + c.Held + c.Sold}
}

const (
	checkpointsAtOnce = 1000

	selectCheckpoints = "SELECT sku_id, pool, bucket, epoch, seq, available_stock, reserved_stock, sold_stock, settings, extend_ms, " +
		"redis_ms, events, file_id FROM checkpoints WHERE "
	selectArchivedBuyers = "SELECT user_id, units FROM archived_buyers WHERE "
)

// Checkpoints reads the checkpoints of some cells. A cell without archived events has none.
func (r *Reader) Checkpoints(ctx context.Context, cells []stock.Cell) (map[stock.Cell]Checkpoint, error) {
	return CheckpointsIn(ctx, r.db, cells, "")
}

// Checkpoints reads those of some cells, as they were at the snapshot's moment.
func (s *Snapshot) Checkpoints(ctx context.Context, cells []stock.Cell) (map[stock.Cell]Checkpoint, error) {
	return CheckpointsIn(ctx, s.from, cells, "")
}

// HasCheckpoints reports whether any cell has a checkpoint.
func (s *Snapshot) HasCheckpoints(ctx context.Context) (has bool, err error) {
	err = s.read(ctx, "checkpoints", func(*sql.Rows) error {
		has = true
		return nil
	}, []byte("SELECT 1 FROM checkpoints LIMIT 1"))
	return has, err
}

// CheckpointsIn reads those of some cells in a transaction, with a clause that locks them.
func CheckpointsIn(ctx context.Context, from db.Queryer, cells []stock.Cell, lock string) (map[stock.Cell]Checkpoint, error) {
	found := map[stock.Cell]Checkpoint{}
	for some := range slices.Chunk(cells, checkpointsAtOnce) {
		err := db.Rows(ctx, from, func(rows *sql.Rows) error {
			c, err := scanCheckpoint(rows)
			found[c.Cell] = c
			return err
		}, string(appendAmong([]byte(selectCheckpoints), some...))+lock)
		if err != nil {
			return nil, fmt.Errorf("read checkpoints: %w: %w", stock.ErrNotApplied, err)
		}
	}
	return found, nil
}

func scanCheckpoint(rows *sql.Rows) (c Checkpoint, err error) {
	var settings sql.RawBytes
	var extendMS int64
	err = rows.Scan(&c.Cell.SKU, &c.Cell.Pool, &c.Cell.Bucket, &c.Epoch, &c.Seq, &c.Avail, &c.Held, &c.Sold, &settings, &extendMS,
		&c.TimeMS, &c.Events, &c.File)
	if err != nil {
		return c, err
	}
	if len(settings) != event.SettingsBytes {
		return c, fmt.Errorf("malformed checkpoint of %v", c.Cell)
	}
	c.Settings, _ = event.SettingsFrom(settings)
	c.Settings.ExtendMax = time.Duration(extendMS) * time.Millisecond
	return c, nil
}

// ArchivedBuyers returns the units that count against users' limits in a cell, of reservations whose rows have left
// MySQL. If users is empty, it returns all users.
func (s *Snapshot) ArchivedBuyers(ctx context.Context, cell stock.Cell, users []int64, yield func(user, units int64)) error {
	query := appendAmong([]byte(selectArchivedBuyers), cell)
	if len(users) > 0 {
		query = append(query, " AND user_id IN ("...)
		for _, user := range users {
			query = fmt.Appendf(query, "%d,", user)
		}
		query[len(query)-1] = ')'
	}
	return s.read(ctx, "archived buyers", func(rows *sql.Rows) error {
		var user, units int64
		err := rows.Scan(&user, &units)
		if err == nil {
			yield(user, units)
		}
		return err
	}, query)
}

// Archived counts the events that have left MySQL for files.
type Archived struct {
	Files, Events int64
	Before        show.Moment // all of it is older; 0: nothing has left
}

// Archived reads how many events have left MySQL for files.
func (r *Reader) Archived(ctx context.Context) (a Archived, err error) {
	err = r.read(ctx, "archive files", func(rows *sql.Rows) error {
		return rows.Scan(&a.Files, &a.Events, &a.Before)
	}, "SELECT COUNT(*), COALESCE(SUM(events), 0), COALESCE(MAX(cut_ms), 0) FROM archive_files WHERE events > 0")
	return a, err
}

// ArchiveFile is a file whose rows have left.
type ArchiveFile struct {
	ID     int64
	Name   string
	SHA256 [32]byte
	Events int64
}

// ArchiveFile reads the row of a file. It returns nil if the file was never finished.
func (r *Reader) ArchiveFile(ctx context.Context, id int64) (found *ArchiveFile, err error) {
	err = r.read(ctx, "archive files", func(rows *sql.Rows) error {
		var sum []byte
		found = &ArchiveFile{ID: id}
		if err := rows.Scan(&found.Name, &sum, &found.Events); err != nil {
			return err
		}
		copy(found.SHA256[:], sum)
		return nil
	}, "SELECT name, sha256, events FROM archive_files WHERE file_id = ?", id)
	return found, err
}

// ArchiveFiles yields the rows of all files, the oldest first, until yield fails.
func (r *Reader) ArchiveFiles(ctx context.Context, yield func(*ArchiveFile) error) error {
	for after := int64(0); ; {
		var some []ArchiveFile
		err := r.read(ctx, "archive files", func(rows *sql.Rows) error {
			var f ArchiveFile
			var sum []byte
			err := rows.Scan(&f.ID, &f.Name, &sum, &f.Events)
			copy(f.SHA256[:], sum)
			some = append(some, f)
			return err
		}, "SELECT file_id, name, sha256, events FROM archive_files WHERE file_id > ? ORDER BY file_id LIMIT 1000", after)
		if err != nil || len(some) == 0 {
			return err
		}
		for i := range some {
			if err := yield(&some[i]); err != nil {
				return err
			}
		}
		after = some[len(some)-1].ID
	}
}
