package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"sluice/core/db"
	"sluice/core/event"
	"sluice/core/stock"
)

// Snapshot reads MySQL as it was at one moment, that of its first read. The caller closes it.
type Snapshot struct {
	from db.Queryer
	pool *sql.DB // of Moments; nil: the snapshot has a connection
	conn *sql.Conn
	tx   *sql.Tx
}

// Moments returns a snapshot without a transaction: each statement sees a moment of its own. It makes no further calls,
// and needs no closing.
func (r *Reader) Moments() *Snapshot { return &Snapshot{from: r.db, pool: r.db} }

// Snapshot begins one.
func (r *Reader) Snapshot(ctx context.Context) (*Snapshot, error) {
	conn, err := r.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to read mysql: %w: %w", stock.ErrNotApplied, err)
	}
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("begin to read mysql: %w: %w", stock.ErrNotApplied, err), conn.Close())
	}
	return &Snapshot{from: tx, conn: conn, tx: tx}, nil
}

// Close ends it. Nothing was changed, so nothing can fail.
func (s *Snapshot) Close() {
	_ = s.tx.Rollback()
	_ = s.conn.Close()
}

func (s *Snapshot) read(ctx context.Context, what string, scan func(*sql.Rows) error, query []byte) error {
	if err := db.Rows(ctx, s.from, scan, string(query)); err != nil {
		return fmt.Errorf("read %s: %w: %w", what, stock.ErrNotApplied, err)
	}
	return nil
}

// Brief sums up what MySQL has of a cell.
type Brief struct {
	Cell stock.Cell
	stock.Position
	stock.Balances         // of the stock table
	UpdatedMS      int64   // Redis time of its last event
	InLedger       bool    // the ledger has the event of the position, and it left these balances
	Applied        uint64  // up to which seq of the position's epoch a persister has found the ledger whole
	Counted        uint64  // events that the ledger has after that, up to the position; 0 if these may be more than countedMax
	Rows           HeldSum // of the held rows of reservations; only BriefsAfter reads them
	RowsDiffer     bool    // these rows have other units than Held, or one of them is beyond Position
}

// countedMax bounds the events of a cell that are counted. A dead letter or a gap keeps a mark from moving for as long as nobody
// does anything about it, and counting the events above the mark would take longer and longer.
const countedMax = 2_000_000

// Whole reports whether the ledger has all events of the epoch up to the position, and the stock table is as the last one left it.
func (s *Brief) Whole() bool {
	return s.InLedger && (s.Applied >= s.Seq || s.Applied+s.Counted == s.Seq)
}

// Briefs reads cells; those that MySQL does not know are left out.
func (s *Snapshot) Briefs(ctx context.Context, cells []stock.Cell, yield func(*Brief) error) error {
	if len(cells) == 0 {
		return nil
	}
	page, err := s.briefs(ctx, string(AppendCells(nil, cells)))
	if err != nil {
		return err
	}
	return each(page, yield)
}

// BriefsAfter reads the cells after one, in their order, at most limit; of a pool alone, or of all (nil).
func (s *Snapshot) BriefsAfter(ctx context.Context, after stock.Cell, pool *uint32, limit int, yield func(*Brief) error) error {
	where := fmt.Sprintf("(sku_id > %[1]d OR sku_id = %[1]d AND (pool > %[2]d OR pool = %[2]d AND bucket > %[3]d))", after.SKU, after.Pool, after.Bucket)
	if pool != nil {
		where += fmt.Sprintf(" AND pool = %d", *pool)
	}
	page, err := s.briefs(ctx, where+fmt.Sprintf(" ORDER BY sku_id, pool, bucket LIMIT %d", limit))
	if err != nil {
		return err
	}
	held, err := s.heldRows(ctx, page, pool)
	if err != nil {
		return err
	}
	return each(page, func(b *Brief) error {
		of := held[b.Cell]
		b.Rows, b.RowsDiffer = of.HeldSum, of.Units != b.Held || of.last > b.Seq
		return yield(b)
	})
}

func each(page []Brief, yield func(*Brief) error) error {
	for i := range page {
		if err := yield(&page[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) briefs(ctx context.Context, where string) (page []Brief, err error) {
	err = s.read(ctx, "stock", func(rows *sql.Rows) error {
		var b Brief
		var updated sql.NullTime
		err := rows.Scan(&b.Cell.SKU, &b.Cell.Pool, &b.Cell.Bucket, &b.Epoch, &b.Seq, &b.Avail, &b.Held, &b.Sold, &b.Total,
			&updated, &b.InLedger, &b.Applied)
		b.UpdatedMS = int64(momentOf(updated))
		page = append(page, b)
		return err
	}, []byte(`SELECT i.sku_id, i.pool, i.bucket, i.epoch, i.seq, i.available_stock, i.reserved_stock, i.sold_stock, i.total_stock,
		i.last_updated, COALESCE(l.available_stock = i.available_stock AND l.reserved_stock = i.reserved_stock AND l.sold_stock = i.sold_stock, FALSE),
		COALESCE(IF(m.epoch = i.epoch, m.seq, 0), 0)
		FROM (SELECT * FROM product_inventories WHERE `+where+`) AS i
		LEFT JOIN ledger l ON l.sku_id = i.sku_id AND l.pool = i.pool AND l.bucket = i.bucket AND l.epoch = i.epoch AND l.seq = i.seq
		LEFT JOIN applied_marks m ON m.sku_id = i.sku_id AND m.pool = i.pool AND m.bucket = i.bucket`))
	if err != nil {
		return nil, err
	}
	return page, s.count(ctx, page)
}

// count counts the events above the marks of cells. Each cell has a range of its own with constant ends: with the columns of a join
// as its ends, the server reads all events of the cell.
func (s *Snapshot) count(ctx context.Context, page []Brief) error {
	var parts [][]byte
	events := uint64(0)
	read := func() error {
		if len(parts) == 0 {
			return nil
		}
		query := joinUnion(parts)
		parts, events = nil, 0
		return s.read(ctx, "ledger", func(rows *sql.Rows) error {
			var i int
			var counted uint64
			err := rows.Scan(&i, &counted)
			page[i].Counted = counted
			return err
		}, query)
	}
	for i := range page {
		b := &page[i]
		if b.Seq == b.Applied+1 && b.InLedger { // a million SKUs that were just loaded are like this
			b.Counted = 1
		}
		if b.Seq <= b.Applied+1 || b.Seq > b.Applied+countedMax {
			continue
		}
		parts = append(parts, fmt.Appendf(nil, "(SELECT %d, COUNT(*) FROM ledger WHERE sku_id = %d AND pool = %d AND bucket = %d AND epoch = %d AND seq > %d AND seq <= %d)",
			i, b.Cell.SKU, b.Cell.Pool, b.Cell.Bucket, b.Epoch, b.Applied, b.Seq))
		if events += b.Seq - b.Applied; len(parts) == partsAtOnce || events >= countedMax {
			if err := read(); err != nil {
				return err
			}
		}
	}
	return read()
}

// appendAmong appends the condition of AppendCells for use among others.
func appendAmong(query []byte, cells ...stock.Cell) []byte {
	return append(AppendCells(append(query, '('), cells), ')')
}

// Recorded is an event as the ledger has it, whole.
type Recorded struct {
	event.Event

	TimeMS int64 // Redis time
}

// Departure returns the half of a transfer that the event tells of. The half took units out of the cell.
func (e *Recorded) Departure() stock.Departure {
	return stock.Departure{
		ID: e.Reservation, From: e.Cell, Units: -e.Change.Delta, User: e.User, Fingerprint: e.Fingerprint, Reason: e.Change.Reason,
	}
}

// EventColumns are those that ScanEvent reads.
const EventColumns = `sku_id, pool, bucket, epoch, seq, CAST(kind AS UNSIGNED), reservation_id, user_id, quantity, fingerprint, available_stock,
	reserved_stock, sold_stock, deadline_ms, redis_ms, delta, fields, settings, reason, extend_ms, from_epoch, from_seq`

const selectEvents = `SELECT ` + EventColumns + ` FROM ledger WHERE `

// ScanEvent reads a row of EventColumns.
func ScanEvent(rows *sql.Rows) (e Recorded, err error) {
	var reservation, settings, reason sql.RawBytes
	var delta, fields, extendMS, fromEpoch, fromSeq sql.NullInt64
	err = rows.Scan(&e.Cell.SKU, &e.Cell.Pool, &e.Cell.Bucket, &e.Epoch, &e.Seq, &e.Kind, &reservation, &e.User, &e.Quantity,
		&e.Fingerprint, &e.Avail, &e.Held, &e.Sold, &e.DeadlineMS, &e.TimeMS, &delta, &fields, &settings, &reason,
		&extendMS, &fromEpoch, &fromSeq)
	if err != nil {
		return e, err
	}
	if len(reservation) != stock.ReservationBytes || delta.Valid && len(settings) != event.SettingsBytes {
		return e, fmt.Errorf("malformed row of the ledger at %d.%d of %v", e.Epoch, e.Seq, e.Cell)
	}
	e.Reservation = stock.ReservationID(reservation)
	e.Change.Reason = string(reason)
	if delta.Valid {
		e.Change.Delta, e.Change.Fields = delta.Int64, stock.Fields(fields.Int64)
		e.Change.Settings, _ = event.SettingsFrom(settings)
		e.Change.Settings.ExtendMax = time.Duration(extendMS.Int64) * time.Millisecond
		e.Change.From = stock.Position{Epoch: uint32(fromEpoch.Int64), Seq: uint64(fromSeq.Int64)}
	}
	return e, nil
}

// Events reads the events of a cell from a position on, in order, at most limit.
func (s *Snapshot) Events(ctx context.Context, cell stock.Cell, from stock.Position, limit int, yield func(*Recorded)) error {
	return s.events(ctx, appendEvents(nil, cell, from, limit), yield)
}

func appendEvents(query []byte, cell stock.Cell, from stock.Position, limit int) []byte {
	query = appendAmong(append(query, selectEvents...), cell)
	return fmt.Appendf(query, " AND (epoch = %[1]d AND seq >= %[2]d OR epoch > %[1]d) ORDER BY epoch, seq LIMIT %[3]d", from.Epoch, from.Seq, limit)
}

func (s *Snapshot) events(ctx context.Context, query []byte, yield func(*Recorded)) error {
	return s.read(ctx, "ledger", func(rows *sql.Rows) error {
		e, err := ScanEvent(rows)
		if err == nil {
			yield(&e)
		}
		return err
	}, query)
}

// keysAtOnce is the number of keys that one statement asks for.
const keysAtOnce = 1000

// Rebases reads the rebases of a cell after a position, in order.
func (s *Snapshot) Rebases(ctx context.Context, cell stock.Cell, after stock.Position, yield func(*Recorded)) error {
	query := appendAmong([]byte(selectEvents), cell)
	return s.events(ctx, fmt.Appendf(query, " AND epoch > %d AND from_epoch IS NOT NULL ORDER BY epoch, seq", after.Epoch), yield)
}

// Adjustments reads the events that have changed the settings of a cell, in order, at most limit.
func (s *Snapshot) Adjustments(ctx context.Context, cell stock.Cell, limit int, yield func(*Recorded)) error {
	query := appendAmong([]byte(selectEvents), cell)
	return s.events(ctx, fmt.Appendf(query, " AND delta IS NOT NULL ORDER BY epoch, seq LIMIT %d", limit), yield)
}

// partsAtOnce is the number of cells that one statement reads, each by a part of its own.
const partsAtOnce = 200

// Highest reads the highest positions of cells in the ledger. It leaves out cells without rows.
func (s *Snapshot) Highest(ctx context.Context, cells []stock.Cell, yield func(stock.Cell, stock.Position)) error {
	for some := range slices.Chunk(cells, partsAtOnce) {
		parts := make([][]byte, len(some))
		for i, cell := range some {
			part := appendAmong([]byte("(SELECT sku_id, pool, bucket, epoch, seq FROM ledger WHERE "), cell)
			parts[i] = append(part, " ORDER BY epoch DESC, seq DESC LIMIT 1)"...)
		}
		if err := s.positions(ctx, "ledger", yield, joinUnion(parts)); err != nil {
			return err
		}
	}
	return nil
}

// EventsFrom reads the events of cells from a position of each on, in order, at most limit for each cell.
func (s *Snapshot) EventsFrom(ctx context.Context, cells []stock.Cell, from []stock.Position, limit int, yield func(*Recorded)) error {
	for len(cells) > 0 {
		parts := make([][]byte, min(len(cells), partsAtOnce))
		for i := range parts {
			parts[i] = append(appendEvents([]byte("("), cells[i], from[i], limit), ')')
		}
		if err := s.events(ctx, joinUnion(parts), yield); err != nil {
			return err
		}
		cells, from = cells[len(parts):], from[len(parts):]
	}
	return nil
}

// Marks reads the applied marks of cells. It leaves out cells without one.
func (s *Snapshot) Marks(ctx context.Context, cells []stock.Cell, yield func(stock.Cell, stock.Position)) error {
	for some := range slices.Chunk(cells, keysAtOnce) {
		if err := s.positions(ctx, "applied marks", yield, AppendCells([]byte(selectAppliedMarks), some)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) positions(ctx context.Context, what string, yield func(stock.Cell, stock.Position), query []byte) error {
	return s.eachPosition(ctx, what, query, func(c stock.Cell, at stock.Position) error {
		yield(c, at)
		return nil
	})
}

// eachPosition yields the cells and positions that a query finds. If yield fails, it stops, and returns that error unchanged.
func (s *Snapshot) eachPosition(ctx context.Context, what string, query []byte, yield func(stock.Cell, stock.Position) error) error {
	return s.values(ctx, what, query, func(v *values) error {
		cell, at := v.cell(), v.position()
		if v.wrong != nil {
			return v.wrong
		}
		return yield(cell, at)
	})
}

// Row is a reservation as the table of reservations has it.
type Row struct {
	stock.Reservation

	Epoch      uint32
	ReservedMS int64 // Redis time at which it was made; 0: not known
	UpdatedMS  int64
}

// Position is that of the last event about the reservation.
func (r *Row) Position() stock.Position { return stock.Position{Epoch: r.Epoch, Seq: r.Seq} }

const selectRows = `SELECT reservation_id, sku_id, pool, bucket, user_id, quantity, CAST(state AS UNSIGNED), deadline_ms, reserved_ms, epoch, seq, updated_ms
	FROM reservations `

func (s *Snapshot) rows(ctx context.Context, query []byte, yield func(*Row)) error {
	return s.read(ctx, "reservations", func(rows *sql.Rows) error {
		var r Row
		var id sql.RawBytes
		err := rows.Scan(&id, &r.Cell.SKU, &r.Cell.Pool, &r.Cell.Bucket, &r.User, &r.Quantity, &r.State, &r.DeadlineMS,
			&r.ReservedMS, &r.Epoch, &r.Seq, &r.UpdatedMS)
		if err == nil && len(id) != stock.ReservationBytes {
			err = fmt.Errorf("id %x: want %d bytes", id, stock.ReservationBytes)
		}
		if err != nil {
			return err
		}
		r.ID = stock.ReservationID(id)
		yield(&r)
		return nil
	}, query)
}

// Held reads the reservations of cells that are held, at most limit.
func (s *Snapshot) Held(ctx context.Context, cells []stock.Cell, limit int, yield func(*Row)) error {
	query := []byte(selectRows + "FORCE INDEX (reservations_cell) WHERE state = 'held' AND ")
	return s.rows(ctx, fmt.Appendf(appendAmong(query, cells...), " LIMIT %d", limit), yield)
}

// Reservations reads reservations by their ids; those that MySQL does not know are left out.
func (s *Snapshot) Reservations(ctx context.Context, ids []stock.ReservationID, yield func(*Row)) error {
	for some := range slices.Chunk(ids, keysAtOnce) {
		query := []byte(selectRows + "WHERE reservation_id IN (")
		for i, id := range some {
			if i > 0 {
				query = append(query, ',')
			}
			query = fmt.Appendf(query, "x'%x'", id[:])
		}
		if err := s.rows(ctx, append(query, ')'), yield); err != nil {
			return err
		}
	}
	return nil
}

// usersAtOnce is how many users one statement asks for.
const usersAtOnce = 5000

// OwnedBy reads the reservations of users in cells that are held or confirmed, and what they have returned, at most limit of each
// cell. users are those of each cell, one or more.
func (s *Snapshot) OwnedBy(ctx context.Context, cells []stock.Cell, users [][]int64, limit int, yield func(*Row)) error {
	for len(cells) > 0 {
		var parts [][]byte
		for n := 0; len(parts) < min(len(cells), partsAtOnce) && (n == 0 || n+len(users[len(parts)]) <= usersAtOnce); {
			i := len(parts)
			n += len(users[i])
			parts = append(parts, append(appendOwned([]byte("("), cells[i], users[i], limit), ')'))
		}
		if err := s.rows(ctx, joinUnion(parts), yield); err != nil {
			return err
		}
		cells, users = cells[len(parts):], users[len(parts):]
	}
	return nil
}

func appendOwned(query []byte, cell stock.Cell, users []int64, limit int) []byte {
	query = append(query, selectRows+"FORCE INDEX (reservations_user) WHERE user_id IN ("...)
	for i, user := range users {
		if i > 0 {
			query = append(query, ',')
		}
		query = strconv.AppendInt(query, user, 10)
	}
	query = appendAmong(append(query, ") AND "...), cell)
	return fmt.Appendf(query, " AND state IN ('held', 'confirmed', 'returned') LIMIT %d", limit)
}

// CellsOf reads the cells that MySQL has of a SKU (0: any) in a sale (nil: in any pool), at most limit.
func (s *Snapshot) CellsOf(ctx context.Context, sku int64, pool *uint32, limit int, yield func(stock.Cell)) error {
	query := []byte("SELECT sku_id, pool, bucket FROM product_inventories WHERE TRUE")
	if sku != 0 {
		query = fmt.Appendf(query, " AND sku_id = %d", sku)
	}
	if pool != nil {
		query = fmt.Appendf(query, " AND pool = %d", *pool)
	}
	return s.cells(ctx, fmt.Appendf(query, " LIMIT %d", limit), yield)
}

func (s *Snapshot) cells(ctx context.Context, query []byte, yield func(stock.Cell)) error {
	return s.read(ctx, "stock", func(rows *sql.Rows) error {
		var c stock.Cell
		err := rows.Scan(&c.SKU, &c.Pool, &c.Bucket)
		if err == nil {
			yield(c)
		}
		return err
	}, query)
}
