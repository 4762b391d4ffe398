package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"sluice/core/event"
	"sluice/core/stock"
)

// OpenLetter is an unresolved dead letter with its event.
type OpenLetter struct {
	ID     LetterID
	Reason string
	Cell   stock.Cell // SKU 0: it is about a whole message
	stock.Position
	TimeMS int64 // at which it was put down
	Units  int64 // that its event moved; 0: not known
	Detail string
}

// OpenLetters reads dead letters about events of cells, at most limit.
func (s *Snapshot) OpenLetters(ctx context.Context, cells []stock.Cell, limit int, yield func(*OpenLetter)) error {
	for len(cells) > 0 && limit > 0 {
		some := cells[:min(len(cells), keysAtOnce)]
		cells = cells[len(some):]
		err := s.letters(ctx, string(appendAmong(nil, some...)), limit, func(l *OpenLetter) {
			limit--
			yield(l)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// OpenMessages reads dead letters about whole messages, at most limit.
func (s *Snapshot) OpenMessages(ctx context.Context, limit int, yield func(*OpenLetter)) error {
	return s.letters(ctx, "sku_id IS NULL", limit, yield)
}

func (s *Snapshot) letters(ctx context.Context, where string, limit int, yield func(*OpenLetter)) error {
	query := fmt.Appendf(nil, `SELECT letter_id, reason, detail, COALESCE(sku_id, 0), COALESCE(pool, 0), COALESCE(bucket, 0), COALESCE(epoch, 0),
		COALESCE(seq, 0), created_at, IF(sku_id IS NULL, NULL, data) FROM dead_letters WHERE %s AND resolved_at IS NULL LIMIT %d`, where, limit)
	return s.read(ctx, "dead letters", func(rows *sql.Rows) error {
		var l OpenLetter
		var id, data sql.RawBytes
		var created sql.NullTime
		err := rows.Scan(&id, &l.Reason, &l.Detail, &l.Cell.SKU, &l.Cell.Pool, &l.Cell.Bucket, &l.Epoch, &l.Seq, &created, &data)
		if err == nil && len(id) != len(l.ID) {
			err = fmt.Errorf("id %x: want %d bytes", id, len(l.ID))
		}
		if err != nil {
			return err
		}
		l.ID, l.TimeMS = LetterID(id), int64(momentOf(created))
		if b, err := event.Decode(data); err == nil && len(b.Events) == 1 {
			e := &b.Events[0]
			l.Units = max(e.Quantity, e.Change.Delta, -e.Change.Delta)
		}
		yield(&l)
		return nil
	}, query)
}

// LetterCells reads the cells that have dead letters which nobody has resolved, at most limit.
func (s *Snapshot) LetterCells(ctx context.Context, limit int, yield func(stock.Cell)) error {
	return s.cells(ctx, fmt.Appendf(nil, "SELECT DISTINCT sku_id, pool, bucket FROM dead_letters WHERE sku_id IS NOT NULL AND resolved_at IS NULL LIMIT %d", limit), yield)
}
