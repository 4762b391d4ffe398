package reconcile_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/reconcile"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// counting is a client that counts its calls.
type counting struct {
	rueidis.Client

	calls atomic.Int64
}

func (c *counting) Do(ctx context.Context, command rueidis.Completed) rueidis.RedisResult {
	c.calls.Add(1)
	return c.Client.Do(ctx, command)
}

func (c *counting) DoMulti(ctx context.Context, commands ...rueidis.Completed) []rueidis.RedisResult {
	c.calls.Add(1)
	return c.Client.DoMulti(ctx, commands...)
}

// sold puts a cell into the stores as it is during a sale: seq 1 made it, seq 2 holds a unit, and seq 3 holds another
// one that MySQL does not have yet. One user has both, and a limit applies.
func (w *servers) sold(t *testing.T, cell stock.Cell) {
	t.Helper()
	const user, deadline = 5, 4102444800000
	id := func(seq uint64) (id stock.ReservationID) {
		binary.BigEndian.PutUint16(id[:], uint16(cell.Partition(partitions)))
		binary.BigEndian.PutUint64(id[2:], uint64(cell.SKU))
		id[15] = byte(seq)
		return id
	}
	first, last := id(2), id(3)
	for _, statement := range []string{
		fmt.Sprintf(`INSERT INTO ledger VALUES (%[1]d, 0, 0, 1, 1, 'adjust', REPEAT('x', 16), 0, 0, 0, 10, 0, 0, 0, 1700000000000, 10, 127, REPEAT('x', 20), 'load', NULL, NULL, NULL),
			(%[1]d, 0, 0, 1, 2, 'reserve', x'%[2]x', %[3]d, 1, 0, 9, 1, 0, %[4]d, 1700000001000, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`, cell.SKU, first[:], user, deadline),
		fmt.Sprintf(`INSERT INTO product_inventories (sku_id, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated)
			VALUES (%d, 10, 9, 1, 0, 1, 2, NOW(3))`, cell.SKU),
		fmt.Sprintf(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
			VALUES (x'%x', %d, 0, 0, %d, 1, 'held', %d, 1700000001000, 1, 2, 1700000001000)`, first[:], cell.SKU, user, deadline),
		fmt.Sprintf(`INSERT INTO applied_marks VALUES (%d, 0, 0, 1, 2)`, cell.SKU),
	} {
		if _, err := w.mysql.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	key := func(name string) string { return fmt.Sprintf("{p%d}:%s", cell.Partition(partitions), name) }
	do := func(command ...string) {
		t.Helper()
		if err := w.client.Do(t.Context(), w.client.B().Arbitrary(command...).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	big := func(dst []byte, v uint64, bytes int) []byte {
		for i := bytes - 1; i >= 0; i-- {
			dst = append(dst, byte(v>>(8*i)))
		}
		return dst
	}
	value := big(big(big(big(big(big([]byte{1}, 8, 5), 2, 5), 0, 5), 3, 6), 10, 5), 1, 4)
	do("HSET", key("cells"), string(cell.Append(nil)), string(event.AppendSettings(value, stock.Settings{Hold: time.Minute, Limit: 5}, 0)))
	for seq := uint64(2); seq <= 3; seq++ {
		record := big(big([]byte{1, byte(stock.StateHeld) | 0x80}, seq, 6), deadline, 6)
		at := id(seq)
		do("HSET", key("res"), string(at[:]), string(cell.Append(big(big(big(record, user, 8), 1, 3), 0, 4))))
	}
	do("HSET", key("buyers:0"), string(binary.BigEndian.AppendUint64(cell.Append(nil), user)), string(big(nil, 2, 3)))
	e := event.Event{Cell: cell, Position: stock.Position{Epoch: 1, Seq: 3}, Kind: event.KindReserve, Reservation: last, User: user, Quantity: 1, Avail: 8, Held: 2, DeadlineMS: deadline}
	do("XADD", key("outbox"), "*", "e", string(event.Append(nil, event.Batch{TimeMS: 1_700_000_002_000, Events: []event.Event{e}})))
}

// A sweep of few cells makes few calls, one after the other, however many partitions there are: also while a sale moves all of its
// cells, and if one of them differs. On a busy machine each call may take 15 ms.
func TestSweepOfFewCellsMakesFewCalls(t *testing.T) {
	t.Parallel()
	const cells, most = 14, 60
	w := newServers(t)
	w.mysql.SetMaxOpenConns(1) // whose session counts
	client := &counting{Client: w.client}
	redis, err := redisstock.New(client, redisstock.Config{Partitions: partitions, CallTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for sku := range int64(cells) {
		w.sold(t, stock.Cell{SKU: 1 + sku})
	}
	s := w.sweeper(func(func(*event.Batch) error) error { return nil })
	s.Redis, s.Books, s.Workers = redis, ledger.New(w.mysql, nil), 1
	questions := func() (n int64) {
		t.Helper()
		var name string
		if err := w.mysql.QueryRowContext(t.Context(), "SHOW SESSION STATUS LIKE 'Questions'").Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, c := range []struct {
		change         string
		flying, differ int64
	}{
		{"DO 1", cells, 0},
		{"UPDATE product_inventories SET available_stock = 8, reserved_stock = 2 WHERE sku_id = 3", cells - 1, 1},
		{"UPDATE product_inventories SET available_stock = 9, reserved_stock = 1 WHERE sku_id = 3", 0, cells},
	} {
		if _, err := w.mysql.ExecContext(t.Context(), c.change); err != nil {
			t.Fatal(err)
		}
		if c.differ == cells { // users have other counts
			for sku := range int64(cells) {
				books{servers: w, t: t}.do(count(stock.Cell{SKU: 1 + sku}, 5, 3))
			}
		}
		client.calls.Store(0)
		before := questions()
		report, err := s.Sweep(t.Context(), reconcile.Scope{})
		if err != nil {
			t.Fatal(err)
		}
		mysql := questions() - before - 1
		got := report.Summary
		if got.InFlight != c.flying || got.Drift != c.differ || got.Cells != cells || got.Reservations != 2*cells {
			t.Errorf("after %s: %+v, %+v", c.change, got, report.Findings)
		}
		t.Logf("after %s: %d calls of Redis, %d of MySQL", c.change, client.calls.Load(), mysql)
		if all := client.calls.Load() + mysql; all > most || all != got.Calls {
			t.Errorf("after %s: %d calls of Redis and %d of MySQL, the report says %d: want at most %d", c.change, client.calls.Load(), mysql, got.Calls, most)
		}
	}
}
