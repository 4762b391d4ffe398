package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"sluice/core/event"
	"sluice/core/stock"
)

// foldColumns has the columns that a fold of events needs, for a row of values. It casts an ENUM, because on MySQL 8 its sum with 0
// is a DOUBLE.
const foldColumns = `sku_id, pool, bucket, epoch, seq, CAST(kind AS UNSIGNED), reservation_id, user_id, quantity, fingerprint, available_stock,
	reserved_stock, sold_stock, deadline_ms, redis_ms, settings, extend_ms`

// values is a row as the driver gives it. Package database/sql converts rows by reflection, which takes longer than
// reading them.
type values struct {
	row   []driver.Value
	next  int
	wrong error
}

// number takes the next value. NULL is 0.
func (v *values) number() int64 {
	at := v.next
	v.next++
	switch n := v.row[at].(type) {
	case int64:
		return n
	case uint64:
		return int64(n) // positions and amounts are far below 2^63
	case nil:
	default:
		v.wrong = errors.Join(v.wrong, fmt.Errorf("value %d is a %T, not a number", at, n))
	}
	return 0
}

// bytes takes the next value. It is good until the next row.
func (v *values) bytes() []byte {
	at := v.next
	v.next++
	switch b := v.row[at].(type) {
	case []byte:
		return b
	case nil:
	default:
		v.wrong = errors.Join(v.wrong, fmt.Errorf("value %d is a %T, not a string", at, b))
	}
	return nil
}

func (v *values) cell() stock.Cell {
	return stock.Cell{SKU: v.number(), Pool: uint32(v.number()), Bucket: uint16(v.number())}
}

func (v *values) position() stock.Position {
	return stock.Position{Epoch: uint32(v.number()), Seq: uint64(v.number())}
}

// event reads a row of foldColumns.
func (v *values) event(e *Recorded) error {
	*e = Recorded{}
	e.Cell, e.Position = v.cell(), v.position()
	e.Kind = event.Kind(v.number())
	id := v.bytes()
	e.User, e.Quantity, e.Fingerprint = v.number(), v.number(), uint32(v.number())
	e.Avail, e.Held, e.Sold = v.number(), v.number(), v.number()
	e.DeadlineMS, e.TimeMS = v.number(), v.number()
	settings, extendMS := v.bytes(), v.number()
	if v.wrong != nil || len(id) != stock.ReservationBytes || e.Kind.Adjusts() && len(settings) != event.SettingsBytes {
		return errors.Join(v.wrong, fmt.Errorf("malformed row of the ledger at %d.%d of %v", e.Epoch, e.Seq, e.Cell))
	}
	e.Reservation = stock.ReservationID(id)
	if settings != nil {
		e.Change.Settings, _ = event.SettingsFrom(settings)
		e.Change.Settings.ExtendMax = time.Duration(extendMS) * time.Millisecond
	}
	if e.Kind == event.KindRebase {
		e.Change.From = stock.Position{Epoch: e.Epoch - 1, Seq: e.Seq - 1}
	}
	return nil
}

// values runs a query and yields its rows. If yield fails, values stops, and returns that error unchanged. Until values returns,
// the snapshot serves nobody else.
func (s *Snapshot) values(ctx context.Context, what string, query []byte, yield func(*values) error) error {
	if s.conn != nil {
		return valuesFrom(ctx, s.conn, what, string(query), yield)
	}
	conn, err := s.pool.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect to read mysql: %w: %w", stock.ErrNotApplied, err)
	}
	defer func() { _ = conn.Close() }() // back to the pool
	return valuesFrom(ctx, conn, what, string(query), yield)
}

func valuesFrom(ctx context.Context, conn *sql.Conn, what, query string, yield func(*values) error) error {
	var stopped error
	err := conn.Raw(func(conn any) (err error) {
		from, ok := conn.(driver.QueryerContext)
		if !ok {
			return fmt.Errorf("the driver's %T cannot be asked", conn)
		}
		rows, err := from.QueryContext(ctx, query, nil)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		v := values{row: make([]driver.Value, len(rows.Columns()))}
		for stopped == nil {
			if err := rows.Next(v.row); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return err
			}
			v.next = 0
			stopped = yield(&v)
		}
		return nil
	})
	if stopped != nil {
		return stopped
	}
	if err != nil {
		return fmt.Errorf("read %s: %w: %w", what, stock.ErrNotApplied, err)
	}
	return nil
}
