package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"sluice/core/stock"
)

const selectArchivable = "SELECT m.sku_id, m.pool, m.bucket, m.epoch, m.seq FROM applied_marks m LEFT JOIN checkpoints c " +
	"ON c.sku_id = m.sku_id AND c.pool = m.pool AND c.bucket = m.bucket WHERE m.seq > 0 AND (c.seq IS NULL OR c.seq <> m.seq OR c.epoch <> m.epoch) " +
	"AND (m.sku_id > %[1]d OR m.sku_id = %[1]d AND (m.pool > %[2]d OR m.pool = %[2]d AND m.bucket > %[3]d)) " +
	"ORDER BY m.sku_id, m.pool, m.bucket LIMIT %[4]d"

// Archivable reads cells that have events between their checkpoint and their applied mark, each with its mark. It
// begins after one cell, in order.
func (s *Snapshot) Archivable(ctx context.Context, after stock.Cell, most int, yield func(stock.Cell, stock.Position)) error {
	return s.positions(ctx, "applied marks", yield, fmt.Appendf(nil, selectArchivable, after.SKU, after.Pool, after.Bucket, most))
}

// MarksAfter reads the applied marks of at most so many cells, in order, beginning after one cell. SKU 0 means any
// SKU, a nil pool any pool.
func (s *Snapshot) MarksAfter(ctx context.Context, after stock.Cell, sku int64, pool *uint32, most int, yield func(stock.Cell, stock.Position)) error {
	query := fmt.Appendf([]byte(selectAppliedMarks), "seq > 0 AND (sku_id > %[1]d OR sku_id = %[1]d AND (pool > %[2]d OR pool = %[2]d AND bucket > %[3]d))",
		after.SKU, after.Pool, after.Bucket)
	if sku != 0 {
		query = fmt.Appendf(query, " AND sku_id = %d", sku)
	}
	if pool != nil {
		query = fmt.Appendf(query, " AND pool = %d", *pool)
	}
	return s.positions(ctx, "applied marks", yield, fmt.Appendf(query, " ORDER BY sku_id, pool, bucket LIMIT %d", most))
}

// FirstTimes reads, for each cell, the Redis time of its first event after a position. It leaves out cells without
// such an event.
func (s *Snapshot) FirstTimes(ctx context.Context, after map[stock.Cell]stock.Position, yield func(stock.Cell, int64)) error {
	query := []byte(nil)
	for c, m := range after {
		if len(query) > 0 {
			query = append(query, " UNION ALL "...)
		}
		query = append(query, "(SELECT sku_id, pool, bucket, redis_ms FROM ledger WHERE "...)
		query = fmt.Appendf(appendAmong(query, c), " AND (epoch = %[1]d AND seq > %[2]d OR epoch > %[1]d) ORDER BY epoch, seq LIMIT 1)", m.Epoch, m.Seq)
	}
	if len(query) == 0 {
		return nil
	}
	return s.read(ctx, "ledger", func(rows *sql.Rows) error {
		var c stock.Cell
		var ms int64
		err := rows.Scan(&c.SKU, &c.Pool, &c.Bucket, &ms)
		if err == nil {
			yield(c, ms)
		}
		return err
	}, query)
}

// Between reads the events of a cell after one position up to another, in order, at most limit of them.
func (s *Snapshot) Between(ctx context.Context, cell stock.Cell, after, to stock.Position, limit int, yield func(*Recorded)) error {
	query := appendAmong([]byte(selectEvents), cell)
	return s.events(ctx, fmt.Appendf(query, " AND (epoch = %[1]d AND seq > %[2]d OR epoch > %[1]d) AND (epoch < %[3]d OR epoch = %[3]d AND seq <= %[4]d) "+
		"ORDER BY epoch, seq LIMIT %[5]d", after.Epoch, after.Seq, to.Epoch, to.Seq, limit), yield)
}
