package stock

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"

	"sluice/core/db"
	"sluice/core/ids"
)

const (
	// Whoever changes something of SKUs has the locks of their rows, in the order of the ids.
	beginSKUs   = "INSERT INTO stock_skus__ (sku_id, seller_id) VALUES "
	begunSKUs   = " ON DUPLICATE KEY UPDATE sku_id = VALUES(sku_id)"
	selectMoved = "SELECT COUNT(*) FROM stock_moves__ WHERE " + documentKey + " AND sku_id IN "
	// These read what was committed before the locks were had: each statement sees what is committed when it begins.
	selectUnits = "SELECT sku_id, on_hand, shipped, returned, cut, counted FROM stock_units__ WHERE warehouse_id = ? AND sku_id IN "
	selectAfter = "SELECT sku_id, SUM(delta) FROM stock_moves__ WHERE warehouse_id = ? AND position > ? AND sku_id IN "
	insertMoves = "INSERT INTO stock_moves__ (seller_id, source, document_id, sku_id, kind, warehouse_id, position, quantity, delta, known, since) VALUES "
	putUnits    = "INSERT INTO stock_units__ (sku_id, warehouse_id, on_hand, shipped, returned, cut, counted) VALUES "
	putsUnits   = " ON DUPLICATE KEY UPDATE on_hand = VALUES(on_hand), shipped = VALUES(shipped), returned = VALUES(returned), cut = VALUES(cut), counted = VALUES(counted)"
	// A delta that comes after the count that has it explains what the count differed by, unless an earlier count had it too.
	addLate  = "UPDATE stock_moves__ AS m JOIN ("
	addsLate = ") AS l ON m.sku_id = l.sku_id AND m.document_id = l.document_id SET m.late = m.late + l.delta " +
		"WHERE m.seller_id = ? AND m.source = ? AND m.kind = 'counted' AND m.since < ?"
)

// enter enters the lines of a document in a place, unless they are there.
func (c *change) enter(ctx context.Context, of ids.Seller, d Document) error {
	var skus []int64
	for _, line := range d.Lines { // which are in the order of their SKUs
		if len(skus) == 0 || skus[len(skus)-1] != line.SKU {
			skus = append(skus, line.SKU)
		}
	}
	if err := c.lock(ctx, of, skus); err != nil {
		return err
	}
	var there int
	in := marks(len(skus))
	if err := c.in.QueryRowContext(ctx, selectMoved+in, values([]any{of, d.Source, d.ID}, skus)...).Scan(&there); err != nil {
		return db.WriteError("look for a document", err)
	}
	if there > 0 {
		return nil
	}
	is, err := c.units(ctx, d.Warehouse, skus)
	if err != nil {
		return err
	}
	after, err := c.after(ctx, d, skus)
	if err != nil {
		return err
	}
	var rows []any
	late := map[int64]int64{}
	for _, line := range d.Lines {
		was, e := is[line.SKU], entry{d.ID, d.Position, line.Kind, line.Quantity}
		now, known := was.apply(e, after[line.SKU])
		is[line.SKU] = now
		row := []any{of, d.Source, d.ID, line.SKU, line.Kind, d.Warehouse, d.Position, line.Quantity, int64(0), nil, int64(0)}
		switch {
		case line.Kind != KindCounted:
			row[8] = line.Kind.move(line.Quantity)
			if was.in(e) {
				late[line.SKU] += line.Kind.move(line.Quantity)
			}
		case !was.outdated(e):
			row[9], row[10] = known, was.Cut
		}
		rows = append(rows, row...)
	}
	if _, err := c.put(ctx, "write moves", insertMoves+rowsOf(len(d.Lines), 11), rows...); err != nil {
		return err
	}
	if err := c.explain(ctx, of, d, is, late); err != nil {
		return err
	}
	rows = rows[:0]
	for _, sku := range skus {
		u := is[sku]
		rows = append(rows, sku, d.Warehouse, u.OnHand, u.Shipped, u.Returned, u.Cut, u.Counted)
	}
	if _, err := c.put(ctx, "write units", putUnits+rowsOf(len(skus), 7)+putsUnits, rows...); err != nil {
		return err
	}
	return c.supply(ctx, skus)
}

// explain notes of the counts in force what came after them and was in them already.
func (c *change) explain(ctx context.Context, of ids.Seller, d Document, is map[int64]units, late map[int64]int64) error {
	if len(late) == 0 {
		return nil
	}
	var rows []any
	for _, sku := range slices.Sorted(maps.Keys(late)) {
		rows = append(rows, sku, is[sku].Counted, late[sku])
	}
	lines := strings.TrimSuffix(strings.Repeat("SELECT ? AS sku_id, ? AS document_id, ? AS delta UNION ALL ", len(late)), " UNION ALL ")
	_, err := c.put(ctx, "explain a count", addLate+lines+addsLate, append(rows, of, d.Source, d.Position)...)
	return err
}

// lock locks SKUs of a seller, in the order of their ids.
func (c *change) lock(ctx context.Context, of ids.Seller, skus []int64) error {
	var rows []any
	for _, sku := range skus {
		rows = append(rows, sku, of)
	}
	_, err := c.put(ctx, "lock SKUs", beginSKUs+rowsOf(len(skus), 2)+begunSKUs, rows...)
	return err
}

// units reads the sums of locked SKUs in a warehouse.
func (c *change) units(ctx context.Context, id ids.Warehouse, skus []int64) (map[int64]units, error) {
	all := map[int64]units{}
	err := db.Rows(ctx, c.in, func(row *sql.Rows) error {
		var sku int64
		var u units
		err := row.Scan(&sku, &u.OnHand, &u.Shipped, &u.Returned, &u.Cut, &u.Counted)
		all[sku] = u
		return err
	}, selectUnits+marks(len(skus)), values([]any{id}, skus)...)
	if err != nil {
		return nil, db.WriteError("read units", err)
	}
	return all, nil
}

// after is what deltas behind the position of a document add up to, by SKU, if the document counts anything.
func (c *change) after(ctx context.Context, d Document, skus []int64) (map[int64]int64, error) {
	if !slices.ContainsFunc(d.Lines, func(line DocumentLine) bool { return line.Kind == KindCounted }) {
		return nil, nil
	}
	sums := map[int64]int64{}
	err := db.Rows(ctx, c.in, func(row *sql.Rows) error {
		var sku, sum int64
		err := row.Scan(&sku, &sum)
		sums[sku] = sum
		return err
	}, selectAfter+marks(len(skus))+" GROUP BY sku_id", values([]any{d.Warehouse, d.Position}, skus)...)
	if err != nil {
		return nil, db.WriteError("sum moves", err)
	}
	return sums, nil
}

// values are values of a statement, and ids of SKUs behind them.
func values(first []any, skus []int64) []any {
	for _, sku := range skus {
		first = append(first, sku)
	}
	return first
}

// rowsOf are the marks of so many rows of values in a statement, each of so many columns.
func rowsOf(rows, columns int) string {
	return strings.TrimSuffix(strings.Repeat(marks(columns)+", ", rows), ", ")
}
