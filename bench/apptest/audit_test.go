package apptest

import (
	"encoding/hex"
	"fmt"
	"testing"

	"sluice/bench/stack"
	"sluice/core/evidence"
	"sluice/core/stock"
)

// count is the one number that a query answers.
func count(t *testing.T, s *stack.Stack, query string, args ...any) int64 {
	t.Helper()
	var n int64
	if err := s.DB.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// expect holds the one number that a query answers to what it must be.
func expect(t *testing.T, s *stack.Stack, what string, want int64, query string, args ...any) {
	t.Helper()
	if got := count(t, s, query, args...); got != want {
		t.Errorf("%s: %d, want %d", what, got, want)
	}
}

// auditStores holds Redis and MySQL against each other and each against itself, after a drain.
func auditStores(t *testing.T, s *stack.Stack, cells []stock.Cell) {
	t.Helper()
	if err := s.Store.Adopt(t.Context(), evidence.NewNonces(s.DB)); err != nil {
		t.Fatal(err)
	}
	states, _, err := s.Store.Cells(t.Context(), cells)
	if err != nil {
		t.Fatal(err)
	}
	rows := inventories(t, s)
	for _, state := range states {
		b := state.Balances
		if b.Avail+b.Held+b.Sold != b.Total || min(b.Avail, b.Held, b.Sold) < 0 || state.Fenced || state.Breached {
			t.Errorf("%v in Redis: %+v", state.Cell, state)
		}
		if row := rows[state.Cell]; row != (inventory{b, state.Position}) {
			t.Errorf("%v: Redis has %+v at %+v, MySQL has %+v", state.Cell, b, state.Position, row)
		}
	}
	if len(rows) != len(cells) {
		t.Errorf("MySQL has %d cells, want %d", len(rows), len(cells))
	}

	expect(t, s, "cells whose seqs in the ledger have gaps", 0, `SELECT COUNT(*) FROM (
		SELECT 1 FROM ledger GROUP BY sku_id, pool, bucket, epoch
		HAVING MIN(seq) <> 1 OR MAX(seq) <> COUNT(*)) AS gaps`)
	expect(t, s, "cells whose projection is not at the end of the ledger", 0, `SELECT COUNT(*) FROM product_inventories AS i
		WHERE NOT EXISTS (SELECT 1 FROM ledger AS l
			WHERE (l.sku_id, l.pool, l.bucket, l.epoch, l.seq) = (i.sku_id, i.pool, i.bucket, i.epoch, i.seq)
			AND (l.available_stock, l.reserved_stock, l.sold_stock) = (i.available_stock, i.reserved_stock, i.sold_stock))`)
	expect(t, s, "cells whose reservations do not add up to what is held", 0, `SELECT COUNT(*) FROM product_inventories AS i
		WHERE reserved_stock <> (SELECT COALESCE(SUM(quantity), 0) FROM reservations AS r
			WHERE (r.sku_id, r.pool, r.bucket) = (i.sku_id, i.pool, i.bucket) AND state = 'held')`)
	expect(t, s, "cells whose reservations do not add up to what is sold", 0, `SELECT COUNT(*) FROM product_inventories AS i
		WHERE sold_stock <> (SELECT COALESCE(SUM(quantity), 0) FROM reservations AS r
			WHERE (r.sku_id, r.pool, r.bucket) = (i.sku_id, i.pool, i.bucket) AND state = 'confirmed')`)
	expect(t, s, "dead letters", 0, `SELECT COUNT(*) FROM dead_letters`)
}

type inventory struct {
	stock.Balances
	stock.Position
}

func inventories(t *testing.T, s *stack.Stack) map[stock.Cell]inventory {
	t.Helper()
	rows, err := s.DB.QueryContext(t.Context(), `SELECT sku_id, pool, bucket, available_stock, reserved_stock,
		sold_stock, total_stock, epoch, seq FROM product_inventories`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	all := map[stock.Cell]inventory{}
	for rows.Next() {
		var c stock.Cell
		var i inventory
		err := rows.Scan(&c.SKU, &c.Pool, &c.Bucket, &i.Avail, &i.Held, &i.Sold, &i.Total, &i.Epoch, &i.Seq)
		if err != nil {
			t.Fatal(err)
		}
		all[c] = i
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// auditPurchases finds every promise in MySQL, once and as it was given, and nothing that nobody was
// promised, but for requests that were cut off for good.
func auditPurchases(t *testing.T, s *stack.Stack, c *crowd) {
	t.Helper()
	rows, err := s.DB.QueryContext(t.Context(), `SELECT reservation_id, user_id, sku_id, quantity, state FROM reservations`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	stored := 0
	for rows.Next() {
		var id []byte
		var p purchase
		if err := rows.Scan(&id, &p.user, &p.sku, &p.quantity, &p.state); err != nil {
			t.Fatal(err)
		}
		stored++
		if promised, ok := c.purchases[hex.EncodeToString(id)]; !ok {
			t.Errorf("MySQL has reservation %x of user %d that nobody was told of", id, p.user)
		} else if promised != p {
			t.Errorf("reservation %x: promised %+v, MySQL has %+v", id, promised, p)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if stored != len(c.purchases) {
		t.Errorf("%d reservations were promised, MySQL has %d of them", len(c.purchases), stored)
	}
}

func (c *crowd) String() string {
	return fmt.Sprintf("answers %v; %d purchases; %d requests were cut off, %d of them settled by repeating",
		c.counts, len(c.purchases), c.cutOff, c.settled)
}
