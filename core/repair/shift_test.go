package repair

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"sluice/core/ledger"
	"sluice/core/stock"
	"sluice/persister/persistertest"
)

// A rebase puts right what came before it. It resolves the letters about that, and no later ones, no forks and none of other cells.
func TestRebaseResolvesWhatItPutsRight(t *testing.T) {
	t.Parallel()
	db := persistertest.Database(t)
	for i, l := range []string{"7, 0, 0, 1, 5, 'broken_chain'", "7, 0, 0, 2, 9, 'broken_chain'", "7, 0, 0, 1, 4, 'fork'", "8, 0, 0, 1, 5, 'broken_chain'", "7, 1, 0, 1, 5, 'broken_chain'"} {
		_, err := db.ExecContext(t.Context(), fmt.Sprintf(`INSERT INTO dead_letters (sku_id, pool, bucket, epoch, seq, reason, letter_id, detail, data)
			VALUES (%s, LPAD(%d, 32, '0'), 'why', 'x')`, l, i))
		if err != nil {
			t.Fatal(err)
		}
	}
	d := Desk{Books: ledger.New(db, nil), Decision: ledger.Decision{By: "me", Reason: "counted"}}
	if err := d.resolveCorrected(t.Context(), stock.Cell{SKU: 7}, stock.Position{Epoch: 2, Seq: 8}); err != nil {
		t.Fatal(err)
	}
	var resolved sql.NullString
	if err := db.QueryRowContext(t.Context(), "SELECT GROUP_CONCAT(letter_id) FROM dead_letters WHERE resolved_at IS NOT NULL").Scan(&resolved); err != nil {
		t.Fatal(err)
	}
	if resolved.String != strings.Repeat("0", 32) {
		t.Errorf("resolved %q, want the first letter", resolved.String)
	}
}
