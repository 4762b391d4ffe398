package ledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/ledger"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/persister/persistertest"
)

// TestHeldRowsAreReadInParts has SKUs with many held reservations, one of them with more than one statement may read. The
// server's log says how many rows each statement read.
func TestHeldRowsAreReadInParts(t *testing.T) {
	t.Parallel()
	server, dsn := servicetest.PrivateDatabase(t)
	db := persistertest.Migrated(t, dsn)
	b := &books{t: t, db: db, Reader: ledger.New(db, nil)}
	rows := map[stock.Cell]int64{
		{SKU: 1}: 6_000, {SKU: 2}: 6_000, {SKU: 3}: 6_000, {SKU: 3, Pool: 1}: 4_000,
		{SKU: 4}: 25_000, {SKU: 4, Bucket: 1}: 5_000, {SKU: 5}: 0, {SKU: 6}: 10, {SKU: 7}: 11,
	}
	for c, n := range rows {
		b.cell(c.SKU, c.Pool, c.Bucket, 0)
		b.exec("UPDATE product_inventories SET total_stock = ?, reserved_stock = ?, seq = ? WHERE sku_id = ? AND pool = ? AND bucket = ?", 2*n, 2*n, max(1, n), c.SKU, c.Pool, c.Bucket)
		b.exec("INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, epoch, seq, updated_ms) "+
			"SELECT UNHEX(MD5(CONCAT(seq, ' ', ?, ' ', ?, ' ', ?))), ?, ?, ?, seq, 2, 'held', 0, 1, seq, 0 FROM seq_1_to_100000 WHERE seq <= ?",
			c.SKU, c.Pool, c.Bucket, c.SKU, c.Pool, c.Bucket, n)
	}
	b.exec("DELETE FROM reservations WHERE sku_id = 6 AND seq = 7")
	b.exec("UPDATE reservations SET state = 'confirmed' WHERE sku_id = 7 AND seq = 7")
	if err := server.SetGlobal(t.Context(), "log_output = 'TABLE'", "slow_query_log = 1", "long_query_time = 0"); err != nil {
		t.Fatal(err)
	}
	reader := ledger.New(persistertest.Open(t, dsn), nil)
	pool := uint32(1)
	for _, of := range []*uint32{nil, &pool} {
		s, err := reader.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		differ := map[stock.Cell]bool{}
		err = s.BriefsAfter(t.Context(), stock.Cell{}, of, 4000, func(b *ledger.Brief) error {
			differ[b.Cell] = b.RowsDiffer
			return nil
		})
		s.Close()
		want := map[stock.Cell]bool{}
		for c := range rows {
			if of == nil || c.Pool == *of {
				want[c] = c.SKU >= 6
			}
		}
		if diff := cmp.Diff(want, differ); err != nil || diff != "" {
			t.Errorf("cells whose rows differ: %v, %s", err, diff)
		}
	}
	b.exec("SET GLOBAL slow_query_log = 0")
	var statements, most int
	err := db.QueryRowContext(t.Context(), "SELECT COUNT(*), MAX(rows_examined) FROM mysql.slow_log WHERE sql_text LIKE '%FORCE INDEX (reservations_cell)%'").Scan(&statements, &most)
	if err != nil || statements < 5 || most > 45_000 {
		t.Errorf("%d statements, the largest of which reads %d rows, %v", statements, most, err)
	}
}
