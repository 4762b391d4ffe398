package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"sluice/core/stock"
)

const (
	selectStockPositions  = "SELECT sku_id, pool, bucket, epoch, seq FROM product_inventories"
	selectLetterPositions = "SELECT sku_id, pool, bucket, epoch, seq FROM dead_letters " +
		"WHERE resolved_at IS NULL AND sku_id IS NOT NULL AND reason <> '" + ReasonFork + "'"
	selectForkPositions = "SELECT sku_id, pool, bucket, epoch, seq FROM dead_letters " +
		"WHERE resolved_at IS NULL AND sku_id IS NOT NULL AND reason = '" + ReasonFork + "'"

	selectAppliedMarks = "SELECT sku_id, pool, bucket, epoch, seq FROM applied_marks WHERE "
	selectHeldBack     = "SELECT DISTINCT sku_id, pool, bucket FROM dead_letters WHERE resolved_at IS NULL AND ("
	selectBehind       = "SELECT i.sku_id, i.pool, i.bucket FROM product_inventories i LEFT JOIN applied_marks m " +
		"ON m.sku_id = i.sku_id AND m.pool = i.pool AND m.bucket = i.bucket " +
		"WHERE (i.sku_id > ? OR (i.sku_id = ? AND (i.pool > ? OR (i.pool = ? AND i.bucket > ?)))) " +
		"AND (m.seq IS NULL OR m.seq <> i.seq OR m.epoch <> i.epoch) ORDER BY i.sku_id, i.pool, i.bucket LIMIT ?"
)

// StockPositions yields the position of each cell in the stock table: the last event that its row has. It stops at the first
// error of yield and returns that as it is.
func (r *Reader) StockPositions(ctx context.Context, yield func(stock.Cell, stock.Position) error) error {
	return r.positions(ctx, "stock table", yield, selectStockPositions)
}

// NextEpochs are the positions at which the ledger begins the epoch after that of a mark. Cells of which the stock table tells no
// later epoch are left out.
func (r *Reader) NextEpochs(ctx context.Context, cells []stock.Cell, marks map[stock.Cell]stock.Position) (map[stock.Cell]stock.Position, error) {
	at, err := r.positionsOf(ctx, "stock table", selectStockPositions+" WHERE ", cells)
	if err != nil {
		return nil, err
	}
	begins := map[stock.Cell]stock.Position{}
	for _, c := range cells {
		if at[c].Epoch <= marks[c].Epoch {
			continue
		}
		query := fmt.Appendf(nil, " AND epoch = %d ORDER BY seq LIMIT 1", uint64(marks[c].Epoch)+1)
		query = append(appendAmong([]byte("SELECT sku_id, pool, bucket, epoch, seq FROM ledger WHERE "), c), query...)
		err := r.positions(ctx, "ledger", func(c stock.Cell, m stock.Position) error {
			begins[c] = m
			return nil
		}, string(query))
		if err != nil {
			return nil, err
		}
	}
	return begins, nil
}

// LetterPositions yields the positions of all events that are unresolved dead letters, except forks: they happened in Redis and
// are in no other table. It stops at the first error of yield and returns that as it is.
func (r *Reader) LetterPositions(ctx context.Context, yield func(stock.Cell, stock.Position) error) error {
	return r.positions(ctx, "dead letters", yield, selectLetterPositions)
}

// ForkPositions yields the positions of all unresolved forks. The ledger has another event at each of them. It stops at the first
// error of yield and returns that as it is.
func (r *Reader) ForkPositions(ctx context.Context, yield func(stock.Cell, stock.Position) error) error {
	return r.positions(ctx, "forks", yield, selectForkPositions)
}

// AppliedMarks are the positions up to which every event of the cells is in the ledger, or was in it and is in a file now. A cell
// without one is left out.
func (r *Reader) AppliedMarks(ctx context.Context, cells []stock.Cell) (map[stock.Cell]stock.Position, error) {
	marks, err := r.positionsOf(ctx, "applied marks", selectAppliedMarks, cells)
	if err != nil {
		return nil, err
	}
	archived, err := r.Checkpoints(ctx, cells)
	for c, at := range archived {
		if marks[c].Less(at.Position) {
			marks[c] = at.Position
		}
	}
	return marks, err
}

// positionsOf are the positions that a table has of cells.
func (r *Reader) positionsOf(ctx context.Context, what, query string, cells []stock.Cell) (map[stock.Cell]stock.Position, error) {
	found := make(map[stock.Cell]stock.Position, len(cells))
	if len(cells) == 0 {
		return found, nil
	}
	return found, r.positions(ctx, what, func(c stock.Cell, m stock.Position) error {
		found[c] = m
		return nil
	}, string(AppendCells([]byte(query), cells)))
}

// HeldBack are those of the cells of which somebody must resolve a dead letter before their applied mark may move.
func (r *Reader) HeldBack(ctx context.Context, cells []stock.Cell) ([]stock.Cell, error) {
	if len(cells) == 0 {
		return nil, nil
	}
	return r.cells(ctx, "dead letters", string(append(AppendCells([]byte(selectHeldBack), cells), ')')))
}

// Behind are the first cells after one, in order, whose applied mark is not the position that the stock table has; at most so
// many.
func (r *Reader) Behind(ctx context.Context, after stock.Cell, most int) ([]stock.Cell, error) {
	return r.cells(ctx, "applied marks", selectBehind, after.SKU, after.SKU, after.Pool, after.Pool, after.Bucket, most)
}

// positions yields the cells and positions that a query finds.
func (r *Reader) positions(ctx context.Context, what string, yield func(stock.Cell, stock.Position) error, query string) error {
	var stopped error
	err := r.query(ctx, func(rows *sql.Rows) error {
		var c stock.Cell
		var m stock.Position
		if err := rows.Scan(&c.SKU, &c.Pool, &c.Bucket, &m.Epoch, &m.Seq); err != nil {
			return err
		}
		stopped = yield(c, m)
		return stopped
	}, query)
	if stopped != nil {
		return stopped
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}

// cells are those that a query finds.
func (r *Reader) cells(ctx context.Context, what, query string, values ...any) (cells []stock.Cell, _ error) {
	err := r.query(ctx, func(rows *sql.Rows) error {
		var c stock.Cell
		err := rows.Scan(&c.SKU, &c.Pool, &c.Bucket)
		cells = append(cells, c)
		return err
	}, query, values...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return cells, nil
}

// AppendCells appends the condition that a row is of one of the cells. It names the SKUs of each pool and bucket in one list:
// servers look each of them up, and read the whole table where the cells are alternatives one by one.
func AppendCells(to []byte, cells []stock.Cell) []byte {
	type place struct {
		pool   uint32
		bucket uint16
	}
	var places []place
	skus := map[place][]byte{}
	for _, c := range cells {
		at := place{c.Pool, c.Bucket}
		if skus[at] == nil {
			places = append(places, at)
		}
		skus[at] = append(strconv.AppendInt(skus[at], c.SKU, 10), ',')
	}
	for i, at := range places {
		if i > 0 {
			to = append(to, " OR "...)
		}
		list := skus[at]
		to = fmt.Appendf(to, "(pool = %d AND bucket = %d AND sku_id IN (%s))", at.pool, at.bucket, list[:len(list)-1])
	}
	return to
}
