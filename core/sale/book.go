package sale

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/core/stock"
)

// itemsPerStatement keeps statements well below what a server accepts.
const itemsPerStatement = 500

// entry is a sale as its rows have it, items in order of their SKUs.
type entry struct {
	plan Plan
	Window
	windows int64 // how often the window was changed
	items   []itemRow
}

// itemRow is a row of sale_items.
type itemRow struct {
	Allotment
	moved         int64
	moves         int64
	moving        int64 // units of the transfer under way; negative: back to normal stock; 0: none
	movingSinceMS int64
}

// given reports whether the item was given its stock.
func (r itemRow) given() bool { return r.moves > 0 }

// write runs a transaction. Trouble with the database has package stock's words: what read, or could not
// begin, was not executed, and from the first write to the commit the outcome is unknown.
func (d *Desk) write(ctx context.Context, do func(tx *sql.Tx) error) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w: %w", stock.ErrNotApplied, err)
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit sale: %w: %w", stock.ErrUnknown, err)
	}
	return nil
}

// register writes a new sale down. If there is one with its id already, it does nothing.
func (d *Desk) register(ctx context.Context, p Plan) error {
	return d.write(ctx, func(tx *sql.Tx) error { return insertSale(ctx, tx, p) })
}

func insertSale(ctx context.Context, tx *sql.Tx, p Plan) error {
	created, err := tx.ExecContext(ctx, `INSERT INTO sales
		(sale_id, name, opens_at_ms, closes_at_ms, limit_per_user, hold_ms, acknowledge, shopper_deducts)
		VALUES (?, ?, ?, 0, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE sale_id = sale_id`,
		p.ID, p.Name, NotScheduled, p.Limit, p.Hold.Milliseconds(), p.Ack.String(), p.ShopperDeducts)
	if err != nil {
		return fmt.Errorf("insert sale: %w: %w", stock.ErrUnknown, err)
	}
	if n, err := created.RowsAffected(); err != nil {
		return fmt.Errorf("insert sale: %w: %w", stock.ErrUnknown, err)
	} else if n == 0 {
		return nil
	}
	for items := range slices.Chunk(p.Items, itemsPerStatement) {
		values := make([]any, 0, 3*len(items))
		for _, item := range items {
			values = append(values, p.ID, item.SKU, item.Quantity)
		}
		rows := strings.Repeat(", (?, ?, ?)", len(items)-1)
		statement := "INSERT INTO sale_items (sale_id, sku_id, quantity) VALUES (?, ?, ?)" + rows //nolint:gosec // G202: placeholders only
		if _, err := tx.ExecContext(ctx, statement, values...); err != nil {
			return fmt.Errorf("insert items: %w: %w", stock.ErrUnknown, err)
		}
	}
	return nil
}

// load reads a sale, or gives ErrNotFound.
func (d *Desk) load(ctx context.Context, id uint32) (*entry, error) {
	e := &entry{plan: Plan{ID: id}}
	var holdMS int64
	var ack string
	err := d.db.QueryRowContext(ctx, `SELECT name, opens_at_ms, closes_at_ms, limit_per_user, hold_ms, acknowledge,
		shopper_deducts, windows FROM sales WHERE sale_id = ?`, id).
		Scan(&e.plan.Name, &e.OpensAtMS, &e.ClosesAtMS, &e.plan.Limit, &holdMS, &ack, &e.plan.ShopperDeducts, &e.windows)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("sale %d: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read sale: %w: %w", stock.ErrNotApplied, err)
	}
	e.plan.Hold = time.Duration(holdMS) * time.Millisecond
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

func (d *Desk) loadItems(ctx context.Context, id uint32) ([]itemRow, error) {
	rows, err := d.db.QueryContext(ctx, `SELECT sku_id, quantity, moved_units, moves, moving_units, moving_since_ms
		FROM sale_items WHERE sale_id = ? ORDER BY sku_id`, id)
	if err != nil {
		return nil, fmt.Errorf("read items: %w: %w", stock.ErrNotApplied, err)
	}
	defer rows.Close()
	var items []itemRow
	for rows.Next() {
		var r itemRow
		if err := rows.Scan(&r.SKU, &r.Quantity, &r.moved, &r.moves, &r.moving, &r.movingSinceMS); err != nil {
			return nil, fmt.Errorf("read items: %w: %w", stock.ErrNotApplied, err)
		}
		items = append(items, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read items: %w: %w", stock.ErrNotApplied, err)
	}
	return items, nil
}

// beginMove writes down that units are about to move.
func (d *Desk) beginMove(ctx context.Context, id uint32, r itemRow, units, nowMS int64) (itemRow, error) {
	err := changeOne(ctx, d.db, `UPDATE sale_items SET moving_units = ?, moving_since_ms = ?
		WHERE sale_id = ? AND sku_id = ? AND moves = ? AND moving_units = 0`, units, nowMS, id, r.SKU, r.moves)
	r.moving, r.movingSinceMS = units, nowMS
	return r, err
}

// endMove writes down that the units which were to move have moved.
func (d *Desk) endMove(ctx context.Context, id uint32, r itemRow) error {
	return changeOne(ctx, d.db, `UPDATE sale_items SET moved_units = moved_units + moving_units, moves = moves + 1, moving_units = 0
		WHERE sale_id = ? AND sku_id = ? AND moves = ? AND moving_units = ?`, id, r.SKU, r.moves, r.moving)
}

// dropMove writes down that the units which were to move have not.
func (d *Desk) dropMove(ctx context.Context, id uint32, r itemRow) error {
	return changeOne(ctx, d.db, `UPDATE sale_items SET moving_units = 0
		WHERE sale_id = ? AND sku_id = ? AND moves = ? AND moving_units = ?`, id, r.SKU, r.moves, r.moving)
}

// done reports whether a call was made before, under its key. It is ErrOtherCall if another one was.
func (d *Desk) done(ctx context.Context, id uint32, c windowCall) (bool, error) {
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

// setWindow writes a new window down, and into the entry, and the key of the call that asked for it.
func (d *Desk) setWindow(ctx context.Context, e *entry, w Window, c windowCall) error {
	err := d.write(ctx, func(tx *sql.Tx) error {
		err := changeOne(ctx, tx, `UPDATE sales SET opens_at_ms = ?, closes_at_ms = ?, windows = windows + 1
			WHERE sale_id = ? AND windows = ?`, w.OpensAtMS, w.ClosesAtMS, e.plan.ID, e.windows)
		if err != nil || c.Key == "" {
			return err
		}
		return changeOne(ctx, tx, `INSERT INTO sale_keys (sale_id, operation, user_id, idempotency_key, fingerprint)
			VALUES (?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE sale_id = sale_id`, e.plan.ID, c.operation, c.User, c.Key, c.fingerprint)
	})
	e.Window, e.windows = w, e.windows+1
	return err
}

// execer is a database, or a transaction in it.
type execer interface {
	ExecContext(ctx context.Context, statement string, values ...any) (sql.Result, error)
}

// changeOne is ErrOverlap unless the statement changes one row: its condition is what was read before.
func changeOne(ctx context.Context, db execer, statement string, values ...any) error {
	result, err := db.ExecContext(ctx, statement, values...)
	if err != nil {
		return fmt.Errorf("update sale: %w: %w", stock.ErrUnknown, err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, ErrOverlap)
	}
	return nil
}
