package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"

	"sluice/core/stock"
)

// HistoryCells is the number of cells whose events one statement reads.
const HistoryCells = 1000

// Histories yields all events of cells. The events of a cell come together and in order. Histories reads pages of a
// bounded number of rows and keeps none of them: an event is good until yield returns. It has no delta, fields and reason, which
// no fold needs. An event at the border of two pages comes twice. If yield fails, Histories stops and returns that error
// unchanged.
func (s *Snapshot) Histories(ctx context.Context, cells []stock.Cell, page int, yield func(*Recorded) error) error {
	h := histories{s, page, yield}
	for some := range slices.Chunk(cells, HistoryCells) {
		if err := h.of(ctx, slices.SortedFunc(slices.Values(some), stock.Cell.Compare)); err != nil {
			return err
		}
	}
	return nil
}

// histories is one run of Histories.
type histories struct {
	*Snapshot

	rows  int // of a page
	yield func(*Recorded) error
}

func (h *histories) of(ctx context.Context, cells []stock.Cell) error {
	for len(cells) > 0 {
		query := appendAmong([]byte(selectFromKey), cells...)
		last, full, err := h.page(ctx, query)
		if err != nil || !full {
			return err
		}
		for full { // the rest of the cell at which the page ended
			query := appendAmong([]byte(selectFromKey), last.Cell)
			query = fmt.Appendf(query, " AND (epoch = %[1]d AND seq >= %[2]d OR epoch > %[1]d)", last.Epoch, last.Seq)
			if last, full, err = h.page(ctx, query); err != nil {
				return err
			}
		}
		at, _ := slices.BinarySearchFunc(cells, last.Cell, stock.Cell.Compare)
		cells = cells[at+1:]
	}
	return nil
}

const (
	selectFromKey = `SELECT ` + foldColumns + ` FROM ledger FORCE INDEX (PRIMARY) WHERE `
	inKeyOrder    = " ORDER BY sku_id, pool, bucket, epoch, seq LIMIT "
)

// page yields the rows of a query. It returns the last event, and whether there may be more.
func (h *histories) page(ctx context.Context, query []byte) (last Recorded, full bool, err error) {
	rows := 0
	err = h.values(ctx, "ledger", strconv.AppendInt(append(query, inKeyOrder...), int64(h.rows), 10), func(v *values) error {
		rows++
		if err := v.event(&last); err != nil {
			return err
		}
		return h.yield(&last)
	})
	return last, rows == h.rows, err
}

// BuyersOf yields, for cells with a limit, the units that each user has bought by reservations whose rows have left
// for files: at most so many users, or all of them if most is 0.
func (s *Snapshot) BuyersOf(ctx context.Context, cells []stock.Cell, most int, yield func(c stock.Cell, user, units int64)) error {
	if len(cells) == 0 {
		return nil
	}
	query := appendAmong([]byte("SELECT sku_id, pool, bucket, user_id, units FROM archived_buyers WHERE "), cells...)
	if most > 0 {
		query = fmt.Appendf(query, " LIMIT %d", most)
	}
	return s.read(ctx, "archived buyers", func(rows *sql.Rows) error {
		var c stock.Cell
		var user, units int64
		err := rows.Scan(&c.SKU, &c.Pool, &c.Bucket, &user, &units)
		if err == nil {
			yield(c, user, units)
		}
		return err
	}, query)
}

// EventsAfter yields the events of cells after a position of each, at most limit of each cell. It yields the events of
// one cell together and in order, without delta, fields and reason.
func (s *Snapshot) EventsAfter(ctx context.Context, after map[stock.Cell]stock.Position, limit int, yield func(*Recorded)) error {
	parts := make([][]byte, 0, len(after))
	for cell, at := range after {
		part := appendAmong([]byte("(SELECT "+foldColumns+" FROM ledger WHERE "), cell)
		parts = append(parts, fmt.Appendf(part, " AND (epoch = %[1]d AND seq > %[2]d OR epoch > %[1]d) ORDER BY epoch, seq LIMIT %[3]d)", at.Epoch, at.Seq, limit))
	}
	for some := range slices.Chunk(parts, partsAtOnce) {
		err := s.values(ctx, "ledger", joinUnion(some), func(v *values) error {
			var e Recorded
			err := v.event(&e)
			if err == nil {
				yield(&e)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// EpochEnds yields the position at which an epoch of a cell ended, for every epoch that a rebase has ended. at has
// the cells, and the highest position of each.
func (s *Snapshot) EpochEnds(ctx context.Context, at map[stock.Cell]stock.Position, yield func(stock.Cell, stock.Position)) error {
	var parts [][]byte
	for cell, highest := range at {
		for epoch := uint32(2); epoch <= highest.Epoch; epoch++ {
			part := appendAmong([]byte("(SELECT sku_id, pool, bucket, from_epoch, from_seq FROM ledger WHERE "), cell)
			parts = append(parts, fmt.Appendf(part, " AND epoch = %d ORDER BY seq LIMIT 1)", epoch))
		}
	}
	for some := range slices.Chunk(parts, partsAtOnce) {
		err := s.read(ctx, "rebases", func(rows *sql.Rows) error {
			var c stock.Cell
			var epoch, seq sql.NullInt64
			err := rows.Scan(&c.SKU, &c.Pool, &c.Bucket, &epoch, &seq)
			if err == nil && epoch.Valid {
				yield(c, stock.Position{Epoch: uint32(epoch.Int64), Seq: uint64(seq.Int64)})
			}
			return err
		}, joinUnion(some))
		if err != nil {
			return err
		}
	}
	return nil
}

func joinUnion(parts [][]byte) (query []byte) {
	for i, part := range parts {
		if i > 0 {
			query = append(query, " UNION ALL "...)
		}
		query = append(query, part...)
	}
	return query
}
