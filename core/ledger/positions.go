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

// StockPositions yields the position of each cell in the stock table: the last event that is in the cell's row. If
// yield fails, StockPositions stops and returns that error unchanged.
func (r *Reader) StockPositions(ctx context.Context, yield func(stock.Cell, stock.Position) error) error {
	return r.positions(ctx, "stock table", yield, selectStockPositions)
}

// foreignSample is how many reservations, and how many events, ForeignID looks at.
const foreignSample = 1000

// ForeignID looks at some reservations and adjustments, and returns an id with another partition than its cell has
// among so many partitions. It returns nil if there is none. It looks at ids of the highest partition, because only
// these show that there are more partitions.
func (r *Reader) ForeignID(ctx context.Context, partitions int) (foreign *stock.ReservationID, err error) {
	for _, query := range []string{
		"SELECT sku_id, pool, bucket, reservation_id FROM reservations ORDER BY reservation_id DESC LIMIT ?",
		"SELECT sku_id, pool, bucket, reservation_id FROM ledger LIMIT ?",
	} {
		err := r.read(ctx, "ids of reservations", func(rows *sql.Rows) error {
			var c stock.Cell
			var text sql.RawBytes
			if err := rows.Scan(&c.SKU, &c.Pool, &c.Bucket, &text); err != nil {
				return err
			}
			if len(text) != stock.ReservationBytes {
				return fmt.Errorf("id %x: want %d bytes", text, stock.ReservationBytes)
			}
			if id := stock.ReservationID(text); id != (stock.ReservationID{}) && id.Partition() != c.Partition(partitions) {
				foreign = &id
			}
			return nil
		}, query, foreignSample)
		if err != nil || foreign != nil {
			return foreign, err
		}
	}
	return nil, nil
}

// CountCells counts the cells of the stock table.
func (r *Reader) CountCells(ctx context.Context) (n int64, err error) {
	err = r.read(ctx, "stock table", func(rows *sql.Rows) error { return rows.Scan(&n) }, "SELECT COUNT(*) FROM product_inventories")
	return n, err
}

// NextEpochs returns, for each mark, the position at which the ledger begins the next epoch of the cell. It leaves
// out cells that the stock table has in no later epoch.
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

// LetterPositions yields the positions of all events that are unresolved dead letters, except forks. These events
// happened in Redis, and no other table has them. If yield fails, LetterPositions stops and returns that error
// unchanged.
func (r *Reader) LetterPositions(ctx context.Context, yield func(stock.Cell, stock.Position) error) error {
	return r.positions(ctx, "dead letters", yield, selectLetterPositions)
}

// ForkPositions yields the positions of all unresolved forks. The ledger has another event at each of them. If yield
// fails, ForkPositions stops and returns that error unchanged.
func (r *Reader) ForkPositions(ctx context.Context, yield func(stock.Cell, stock.Position) error) error {
	return r.positions(ctx, "forks", yield, selectForkPositions)
}

// AppliedMarks returns, for each cell, the position up to which every event is in the ledger, or has left it for a
// file. It leaves out cells without a mark.
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

// positionsOf returns the positions that a table has of cells.
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

// HeldBack returns the cells that have an unresolved dead letter. Somebody must resolve it before the applied mark of
// the cell may move.
func (r *Reader) HeldBack(ctx context.Context, cells []stock.Cell) ([]stock.Cell, error) {
	if len(cells) == 0 {
		return nil, nil
	}
	return r.cells(ctx, "dead letters", string(append(AppendCells([]byte(selectHeldBack), cells), ')')))
}

// Behind returns cells whose applied mark differs from their position in the stock table: at most so many, in order,
// beginning after one cell.
func (r *Reader) Behind(ctx context.Context, after stock.Cell, most int) ([]stock.Cell, error) {
	return r.cells(ctx, "applied marks", selectBehind, after.SKU, after.SKU, after.Pool, after.Pool, after.Bucket, most)
}

// positions yields the cells and positions that a query finds.
func (r *Reader) positions(ctx context.Context, what string, yield func(stock.Cell, stock.Position) error, query string) error {
	return r.Moments().eachPosition(ctx, what, []byte(query), yield)
}

// cells returns the cells that a query finds.
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

// AppendCells appends the condition that a row belongs to one of the cells. For each pool and bucket it names the
// SKUs in one list. Servers look up each SKU of a list, but read the whole table if the condition lists cells one by
// one.
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
