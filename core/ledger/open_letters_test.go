package ledger_test

import (
	"database/sql"
	"testing"

	"sluice/core/db"
	"sluice/core/ledger"
	"sluice/core/stock"
)

// Resolved letters stay in the table. A reading of the open ones reads none of them.
func TestOpenLettersAreReadWithoutTheResolved(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.db.SetMaxOpenConns(1) // whose session counts
	b.exec(`INSERT INTO dead_letters (letter_id, reason, detail, sku_id, pool, bucket, epoch, seq, data, resolved_at)
		SELECT LPAD(seq, 32, '0'), 'fork', 'why', IF(seq % 10 = 0, NULL, seq), 0, 0, 1, seq, 'x', IF(seq <= 20, NULL, NOW(3)) FROM seq_1_to_20000`)
	b.exec("ANALYZE TABLE dead_letters")
	rows := func() (n int64) {
		t.Helper()
		err := db.Rows(t.Context(), b.db, func(rows *sql.Rows) error {
			var name string
			var read int64
			err := rows.Scan(&name, &read)
			n += read
			return err
		}, "SHOW SESSION STATUS LIKE 'Handler_read_%next'")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	some := []stock.Cell{{SKU: 1}, {SKU: 2}, {SKU: 10_001}, {SKU: 10_002}}
	for name, ask := range map[string]struct {
		read func(found func()) error
		want int
	}{
		"cells": {func(found func()) error {
			return b.Moments().LetterCells(t.Context(), 1000, func(stock.Cell) { found() })
		}, 18},
		"messages": {func(found func()) error {
			return b.Moments().OpenMessages(t.Context(), 1000, func(*ledger.OpenLetter) { found() })
		}, 2},
		"of cells": {func(found func()) error {
			return b.Moments().OpenLetters(t.Context(), some, 1000, func(*ledger.OpenLetter) { found() })
		}, 2},
		"held back": {func(found func()) error {
			cells, err := b.HeldBack(t.Context(), some)
			for range cells {
				found()
			}
			return err
		}, 2},
		"unresolved": {func(found func()) error {
			counts, err := b.Unresolved(t.Context())
			for range counts[ledger.ReasonFork] {
				found()
			}
			return err
		}, 20},
	} {
		n, before := 0, rows()
		if err := ask.read(func() { n++ }); err != nil || n != ask.want {
			t.Errorf("%s: %d, want %d: %v", name, n, ask.want, err)
		}
		if read := rows() - before; read > 500 {
			t.Errorf("%s: %d rows read", name, read)
		}
	}
}
