package sale

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/core/db"
	"sluice/core/stock"
)

// itemsPerStatement keeps statements well below what a server accepts.
const itemsPerStatement = 100

// entry is a sale as its rows have it, with the items in the order of their SKUs.
type entry struct {
	plan Plan
	Window
	windows int64 // number of changes of the window
	items   []itemRow
	progress
}

// itemRow is a row of sale_items.
type itemRow struct {
	Allotment
	moved         int64
	moves         int64
	moving        int64 // units of the transfer under way; negative: back to normal stock; 0: none
	movingSinceMS int64
}

// given reports whether the item got its stock, whatever became of that stock later.
func (r itemRow) given() bool { return r.moves > 0 }

// filled reports whether the item has all its stock: none was taken back, and none is under way.
func (r itemRow) filled() bool { return r.moving == 0 && r.moved >= r.Quantity }

// filled reports whether a sale has all its stock.
func (e *entry) filled() bool {
	return !slices.ContainsFunc(e.items, func(r itemRow) bool { return !r.filled() })
}

// register writes a new sale into MySQL. If its id exists already, it does nothing.
func (d *Desk) register(ctx context.Context, p Plan) error {
	return db.Write(ctx, d.db, "sale", func(tx *sql.Tx) error { return insertSale(ctx, tx, p) })
}

func insertSale(ctx context.Context, tx *sql.Tx, p Plan) error {
	created, err := tx.ExecContext(ctx, `INSERT INTO sales
		(sale_id, name, opens_at_ms, closes_at_ms, limit_per_user, hold_ms, acknowledge, shopper_deducts, registered_only, extend_ms)
		VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE sale_id = sale_id`,
		p.ID, p.Name, NotScheduled, p.Limit, p.Hold.Milliseconds(), p.Ack.String(), p.ShopperDeducts,
		p.RegisteredOnly, p.ExtendMax.Milliseconds())
	if err != nil {
		return db.WriteError("insert sale", err)
	}
	if n, err := created.RowsAffected(); err != nil {
		return fmt.Errorf("insert sale: %w: %w", stock.ErrUnknown, err)
	} else if n == 0 {
		return nil
	}
	if err := insertPool(ctx, tx, p.ID); err != nil {
		return err
	}
	for items := range slices.Chunk(p.Items, itemsPerStatement) {
		values := make([]any, 0, 3*len(items))
		for _, item := range items {
			values = append(values, p.ID, item.SKU, item.Quantity)
		}
		rows := strings.Repeat(", (?, ?, ?)", len(items)-1)
		statement := "INSERT INTO sale_items (sale_id, sku_id, quantity) VALUES (?, ?, ?)" + rows //nolint:gosec // G202: placeholders only
		if _, err := tx.ExecContext(ctx, statement, values...); err != nil {
			return db.WriteError("insert items", err)
		}
	}
	return nil
}

// insertPool writes the pool of a sale, unless it is there. An edge that is older than the table writes none.
func insertPool(ctx context.Context, tx *sql.Tx, id uint32) error {
	if _, err := tx.ExecContext(ctx, "INSERT INTO pools (pool, sale_id) VALUES (?, ?) ON DUPLICATE KEY UPDATE pool = pool", id, id); err != nil {
		return db.WriteError("insert pool", err)
	}
	return nil
}

// newEntry makes an entry of a sale that has nothing yet.
func newEntry(p Plan) *entry {
	e := &entry{plan: p, Window: Window{OpensAtMS: NotScheduled}}
	for _, item := range p.Items {
		e.items = append(e.items, itemRow{Allotment: item})
	}
	return e
}

// load reads a sale, or returns ErrNotFound.
func (d *Desk) load(ctx context.Context, id uint32) (*entry, error) {
	e := &entry{plan: Plan{ID: id}}
	var holdMS, extendMS int64
	var ack string
	err := d.db.QueryRowContext(ctx, `SELECT name, opens_at_ms, closes_at_ms, limit_per_user, hold_ms, acknowledge,
		shopper_deducts, registered_only, extend_ms, windows FROM sales WHERE sale_id = ?`, id).
		Scan(&e.plan.Name, &e.OpensAtMS, &e.ClosesAtMS, &e.plan.Limit, &holdMS, &ack, &e.plan.ShopperDeducts,
			&e.plan.RegisteredOnly, &extendMS, &e.windows)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("sale %d: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read sale: %w: %w", stock.ErrNotApplied, err)
	}
	e.plan.Hold, e.plan.ExtendMax = time.Duration(holdMS)*time.Millisecond, time.Duration(extendMS)*time.Millisecond
	if e.plan.Ack, err = stock.ParseAck(ack); err != nil {
		return nil, fmt.Errorf("read sale: %w", err)
	}
	if e.items, err = d.loadItems(ctx, id); err != nil {
		return nil, err
	}
	for _, item := range e.items {
		e.plan.Items = append(e.plan.Items, item.Allotment)
	}
	return e, nil
}

// Planned reads the plan of a sale from MySQL alone, or returns ErrNotFound.
func Planned(ctx context.Context, books *sql.DB, id uint32) (Plan, error) {
	e, err := (&Desk{db: books}).load(ctx, id)
	if err != nil {
		return Plan{}, err
	}
	return e.plan, nil
}

// reload reads a sale again.
func (d *Desk) reload(ctx context.Context, e *entry) error {
	after, err := d.load(ctx, e.plan.ID)
	if err != nil {
		return err
	}
	after.progress = e.progress
	*e = *after
	return nil
}

func (d *Desk) loadItems(ctx context.Context, id uint32) (items []itemRow, err error) {
	err = d.readItems(ctx, func(rows *sql.Rows) error {
		var r itemRow
		err := rows.Scan(&r.SKU, &r.Quantity, &r.moved, &r.moves, &r.moving, &r.movingSinceMS)
		items = append(items, r)
		return err
	}, `SELECT sku_id, quantity, moved_units, moves, moving_units, moving_since_ms
		FROM sale_items WHERE sale_id = ? ORDER BY sku_id`, id)
	return items, err
}

// readItems runs a query about items of sales and calls scan for each row.
func (d *Desk) readItems(ctx context.Context, scan func(*sql.Rows) error, query string, values ...any) error {
	if err := db.Rows(ctx, d.db, scan, query, values...); err != nil {
		return fmt.Errorf("read items: %w: %w", stock.ErrNotApplied, err)
	}
	return nil
}

// beginMoves writes that units are about to move, if nobody has changed the window meanwhile.
func (d *Desk) beginMoves(ctx context.Context, e *entry, rows []itemRow) error {
	if len(rows) == 0 {
		return nil
	}
	return db.Write(ctx, d.db, "sale", func(tx *sql.Tx) error {
		var windows int64
		err := tx.QueryRowContext(ctx, "SELECT windows FROM sales WHERE sale_id = ? FOR UPDATE", e.plan.ID).Scan(&windows)
		if err != nil {
			return fmt.Errorf("lock sale: %w: %w", stock.ErrNotApplied, err)
		}
		if windows != e.windows {
			return ErrOverlap
		}
		var values []any
		for _, r := range rows {
			values = append(values, r.SKU, r.moving)
		}
		values = append(values, rows[0].movingSinceMS)
		still := func(itemRow) int64 { return 0 }
		return changeItems(ctx, tx, e.plan.ID, rows, still,
			"moving_units = CASE sku_id"+strings.Repeat(" WHEN ? THEN ?", len(rows))+" END, moving_since_ms = ?", values...)
	})
}

// endMoves writes that the units have moved.
func (d *Desk) endMoves(ctx context.Context, id uint32, rows []itemRow) error {
	return d.closeMoves(ctx, id, rows, "moved_units = moved_units + moving_units, moves = moves + 1, moving_units = 0")
}

// dropMoves writes that the units have not moved.
func (d *Desk) dropMoves(ctx context.Context, id uint32, rows []itemRow) error {
	return d.closeMoves(ctx, id, rows, "moving_units = 0")
}

func (d *Desk) closeMoves(ctx context.Context, id uint32, rows []itemRow, set string) error {
	if len(rows) == 0 {
		return nil
	}
	return db.Write(ctx, d.db, "sale", func(tx *sql.Tx) error {
		return changeItems(ctx, tx, id, rows, func(r itemRow) int64 { return r.moving }, set)
	})
}

// changeItems changes rows, which are in order of their SKUs. It returns ErrOverlap unless all of them are as they were
// read, with the same units moving.
func changeItems(
	ctx context.Context, tx *sql.Tx, id uint32, rows []itemRow, moving func(itemRow) int64, set string, values ...any,
) error {
	values = append(values, id, rows[0].SKU, rows[len(rows)-1].SKU)
	for _, r := range rows {
		values = append(values, r.SKU, r.moves, moving(r))
	}
	return change(ctx, tx, len(rows), "UPDATE sale_items SET "+set+` WHERE sale_id = ? AND sku_id BETWEEN ? AND ?
		AND (sku_id, moves, moving_units) IN ((?, ?, ?)`+strings.Repeat(", (?, ?, ?)", len(rows)-1)+")", values...)
}

// done reports whether a call was made before, under its key. It returns ErrOtherCall if another call used the key.
func (d *Desk) done(ctx context.Context, id uint32, c keyedCall) (bool, error) {
	if c.Key == "" {
		return false, nil
	}
	var fingerprint uint32
	err := d.db.QueryRowContext(ctx, `SELECT fingerprint FROM sale_keys
		WHERE sale_id = ? AND operation = ? AND user_id = ? AND idempotency_key = ?`, id, c.operation, c.User, c.Key).Scan(&fingerprint)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read key: %w: %w", stock.ErrNotApplied, err)
	case fingerprint != c.fingerprint:
		return false, fmt.Errorf("sale %d: %w", id, ErrOtherCall)
	}
	return true, nil
}

// setWindow writes a new window into MySQL and into the entry, and the key of the call that asked for it. If the sale must
// be filled for it and is not any more, setWindow returns ErrOverlap.
func (d *Desk) setWindow(ctx context.Context, e *entry, w Window, filled bool, c keyedCall) error {
	err := db.Write(ctx, d.db, "sale", func(tx *sql.Tx) error {
		err := change(ctx, tx, 1, `UPDATE sales SET opens_at_ms = ?, closes_at_ms = ?, windows = windows + 1, registered_kept = TRUE
			WHERE sale_id = ? AND windows = ?`, w.OpensAtMS, w.ClosesAtMS, e.plan.ID, e.windows)
		if err == nil {
			err = insertPool(ctx, tx, e.plan.ID)
		}
		if err != nil {
			return err
		}
		if filled {
			if err := checkFilled(ctx, tx, e.plan.ID); err != nil {
				return err
			}
		}
		return c.keep(ctx, tx, e.plan.ID)
	})
	if err == nil {
		e.Window, e.windows = w, e.windows+1
	}
	return err
}

// checkFilled returns ErrOverlap if a sale does not have all its stock. It locks the sale's row, so that nobody begins to
// move units until the transaction ends.
func checkFilled(ctx context.Context, tx *sql.Tx, id uint32) error {
	var lacking int
	err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM sale_items
		WHERE sale_id = ? AND (moving_units <> 0 OR moved_units < quantity) LOCK IN SHARE MODE`, id).Scan(&lacking)
	if err != nil {
		return fmt.Errorf("read items: %w: %w", stock.ErrNotApplied, err)
	}
	if lacking > 0 {
		return ErrOverlap
	}
	return nil
}

// keep writes down the key of a call.
func (c keyedCall) keep(ctx context.Context, db execer, id uint32) error {
	if c.Key == "" {
		return nil
	}
	return change(ctx, db, 1, `INSERT INTO sale_keys (sale_id, operation, user_id, idempotency_key, fingerprint)
		VALUES (?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE sale_id = sale_id`, id, c.operation, c.User, c.Key, c.fingerprint)
}

// execer is a database, or a transaction in it.
type execer interface {
	ExecContext(ctx context.Context, statement string, values ...any) (sql.Result, error)
}

// change runs a statement that demands values which were read before. It returns ErrOverlap unless the statement
// changes the expected number of rows.
func change(ctx context.Context, to execer, rows int, statement string, values ...any) error {
	result, err := to.ExecContext(ctx, statement, values...)
	if err != nil {
		return db.WriteError("update sale", err)
	}
	if n, err := result.RowsAffected(); err != nil || n != int64(rows) {
		return errors.Join(err, ErrOverlap)
	}
	return nil
}
