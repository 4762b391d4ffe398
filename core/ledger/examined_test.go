package ledger_test

import (
	"testing"

	"sluice/core/ledger"
	"sluice/core/sale"
	"sluice/core/stock"
)

// reads is how many rows of tables and indexes the server reads while do runs.
func (b *books) reads(do func() error) int {
	b.t.Helper()
	b.db.SetMaxOpenConns(1) // whose reads are counted
	count := func() (n int) {
		rows, err := b.db.QueryContext(b.t.Context(), "SHOW SESSION STATUS LIKE 'Handler_read%'")
		if err != nil {
			b.t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			var reads int
			if err := rows.Scan(&name, &reads); err != nil {
				b.t.Fatal(err)
			}
			n += reads
		}
		if err := rows.Err(); err != nil {
			b.t.Fatal(err)
		}
		return n
	}
	asking := -count()
	asking += count()
	before := count()
	if err := do(); err != nil {
		b.t.Fatal(err)
	}
	return count() - before - asking
}

// few reads all pages of a list whose filter leaves few rows, and holds each page to a number of rows read.
func few[T any](b *books, what string, readsMax int, read func(ledger.Page) (ledger.List[T], error)) (found []T) {
	b.t.Helper()
	for page := (ledger.Page{Limit: 5}); ; {
		var list ledger.List[T]
		n := b.reads(func() (err error) {
			list, err = read(page)
			return err
		})
		if n > readsMax {
			b.t.Errorf("%s after %q: %d rows were read, want %d at most", what, page.Cursor, n, readsMax)
		}
		found = append(found, list.Data...)
		if page.Cursor = list.Next; page.Cursor == "" {
			return found
		}
	}
}

// TestStockByAvailReadsABoundedNumberOfRows looks for three SKUs of 200,000.
func TestStockByAvailReadsABoundedNumberOfRows(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.exec(`INSERT INTO product_inventories (sku_id, pool, bucket, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq,
		last_updated) SELECT seq DIV 2, 0, seq MOD 2, 9, IF(seq IN (2, 100001, 200001), 0, 9), IF(seq IN (2, 100001, 200001), 9, 0), 0, 1, 7, NOW(3)
		FROM seq_2_to_200001`)
	none := int64(0)
	found := few(b, "stock", 10_100, func(p ledger.Page) (ledger.List[ledger.Stock], error) {
		return b.Stock(t.Context(), ledger.StockFilter{AvailMax: &none}, p)
	})
	if len(found) != 3 || found[0].SKU != 1 || found[1].SKU != 50_000 || found[1].Bucket != 1 || found[2].SKU != 100_000 {
		t.Errorf("%+v", found)
	}
}

// TestFilteredPagesReadABoundedNumberOfRows does it with the other lists that have a filter without an index.
func TestFilteredPagesReadABoundedNumberOfRows(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	const readsMax = 10_500
	const salesReadsMax = 7 * 5_100 // SKUs and each state of them
	b.exec(`INSERT INTO dead_letters (letter_id, reason, detail, data, created_at, resolved_at)
		SELECT CONCAT(REPEAT('x', 28), LPAD(HEX(seq), 4, '0')), 'fork', 'why', 'x', FROM_UNIXTIME(1700000000 + seq DIV 3000), IF(seq IN (10, 21000), NULL, NOW(3))
		FROM seq_1_to_22000`)
	b.exec(`INSERT INTO sales (sale_id, name, opens_at_ms, closes_at_ms, limit_per_user, hold_ms, acknowledge, shopper_deducts)
		SELECT seq, 'sale', IF(seq IN (10, 21000), ?, 1), 0, 0, 1000, 'default', FALSE FROM seq_1_to_22000`, sale.NotScheduled)
	// Held ones whose deadline has passed, and two others: of one user and SKU.
	b.exec(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
		SELECT CONCAT(REPEAT('x', 12), LPAD(HEX(seq), 4, '0')), 5, 7, 0, 3, 1, 'held', IF(seq IN (10, 21000), ?, 6), 5, 1, seq, 6 FROM seq_1_to_22000`, untilMS+1000)
	// A sale with many SKUs. Two of them have reservations.
	b.exec(`INSERT INTO product_inventories (sku_id, pool, bucket, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq,
		last_updated) SELECT seq, 8, 0, 1, 1, 0, 0, 1, 7, NOW(3) FROM seq_1_to_22000`)
	b.cell(5, 7, 0, 1)
	b.cell(6, 7, 0, 1)
	for _, sku := range []int{10, 21_000} {
		id := stock.ReservationID{0: 1, 14: byte(sku >> 8), 15: byte(sku)}
		b.exec(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
			VALUES (?, ?, 8, 0, 4, 1, 'held', ?, 5, 1, 1, 6)`, id[:], sku, untilMS+1000)
	}

	letters := few(b, "letters", readsMax, func(p ledger.Page) (ledger.List[ledger.Letter], error) {
		return b.Letters(t.Context(), ledger.LetterFilter{Reason: ledger.ReasonFork}, p)
	})
	if len(letters) != 2 || letters[0].CreatedAt <= letters[1].CreatedAt {
		t.Errorf("letters: %+v", letters)
	}
	sales := few(b, "sales", readsMax, func(p ledger.Page) (ledger.List[ledger.Sale], error) {
		return b.Sales(t.Context(), ledger.SaleFilter{Phase: sale.PhasePlanned}, p)
	})
	if len(sales) != 2 || sales[0].ID != 10 || sales[1].ID != 21_000 {
		t.Errorf("sales: %+v", sales)
	}
	for _, f := range []ledger.ReservationFilter{
		{User: 3, State: stock.StateHeld},
		{SKU: 5, Sale: 7, State: stock.StateHeld},
		{Sale: 7, State: stock.StateHeld},
		{Sale: 8},
		{Sale: 8, State: stock.StateHeld},
	} {
		found := few(b, "reservations", salesReadsMax, func(p ledger.Page) (ledger.List[ledger.Reservation], error) {
			return b.Reservations(t.Context(), f, p)
		})
		if len(found) != 2 || found[0].State != "held" || found[1].State != "held" {
			t.Errorf("reservations of %+v: %+v", f, found)
		}
	}
	if found := few(b, "reservations", readsMax, func(p ledger.Page) (ledger.List[ledger.Reservation], error) {
		return b.Reservations(t.Context(), ledger.ReservationFilter{User: 3, State: stock.StateConfirmed}, p)
	}); len(found) != 0 {
		t.Errorf("confirmed: %+v", found)
	}
}
