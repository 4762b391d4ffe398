package reconcile_test

import (
	"context"
	"encoding/binary"
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

// soldAt returns the id of the reservation that sold makes at a seq.
func soldAt(cell stock.Cell, seq byte) (id stock.ReservationID) {
	binary.BigEndian.PutUint16(id[:], uint16(cell.Partition(partitions)))
	binary.BigEndian.PutUint64(id[2:], uint64(cell.SKU))
	id[15] = seq
	return id
}

// sold puts a cell into the stores as it is during a sale: seq 1 made it, seq 2 holds a unit, and seq 3 holds another
// one that MySQL does not have yet. One user has both, and a limit applies.
func (b books) sold(cell stock.Cell) {
	b.t.Helper()
	const user, deadline = 5, 4102444800000
	first, last := soldAt(cell, 2), soldAt(cell, 3)
	b.exec(`INSERT INTO ledger VALUES (?, 0, 0, 1, 1, 'adjust', REPEAT('x', 16), 0, 0, 0, 10, 0, 0, 0, 1700000000000, 10, 127, REPEAT('x', 20), 'load', NULL, NULL, NULL),
		(?, 0, 0, 1, 2, 'reserve', ?, ?, 1, 0, 9, 1, 0, ?, 1700000001000, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`, cell.SKU, cell.SKU, first[:], user, deadline)
	b.exec(`INSERT INTO product_inventories (sku_id, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated)
		VALUES (?, 10, 9, 1, 0, 1, 2, NOW(3))`, cell.SKU)
	b.exec(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
		VALUES (?, ?, 0, 0, ?, 1, 'held', ?, 1700000001000, 1, 2, 1700000001000)`, first[:], cell.SKU, user, deadline)
	b.exec("INSERT INTO applied_marks VALUES (?, 0, 0, 1, 2)", cell.SKU)
	const counted = stock.StateHeld | 0x80
	e := event.Event{Cell: cell, Position: stock.Position{Epoch: 1, Seq: 3}, Kind: event.KindReserve, Reservation: last, User: user, Quantity: 1, Avail: 8, Held: 2, DeadlineMS: deadline}
	b.do(inRedis(cell, e.Position, 8, 2, 0, stock.Settings{Hold: time.Minute, Limit: 5}),
		record(cell, first, counted, 2, user, 1, deadline), record(cell, last, counted, 3, user, 1, deadline), count(cell, user, 2),
		entry(cell, 1_700_000_002_000, e))
}

// A sweep of few cells makes few calls, one after the other, however many partitions there are: also while a sale moves all of its
// cells, and if one of them differs. On a busy machine each call may take 15 ms.
func TestSweepOfFewCellsMakesFewCalls(t *testing.T) {
	t.Parallel()
	const cells, most = 14, 60
	b := newBooks(t)
	b.mysql.SetMaxOpenConns(1) // whose session counts
	client := &counting{Client: b.client}
	redis, err := redisstock.New(client, redisstock.Config{Partitions: partitions, CallTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for sku := range int64(cells) {
		b.sold(stock.Cell{SKU: 1 + sku})
	}
	s := b.sweeper(func(func(*event.Batch) error) error { return nil })
	s.Redis, s.Books, s.Workers = redis, ledger.New(b.mysql, nil), 1
	questions := func() (n int64) {
		t.Helper()
		var name string
		if err := b.mysql.QueryRowContext(t.Context(), "SHOW SESSION STATUS LIKE 'Questions'").Scan(&name, &n); err != nil {
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
		b.exec(c.change)
		if c.differ == cells { // users have other counts
			for sku := range int64(cells) {
				b.do(count(stock.Cell{SKU: 1 + sku}, 5, 3))
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

// A look at cells that are in sync asks MySQL once, and Redis for its counters and its time.
func TestLookOfCellsInSyncMakesThreeCalls(t *testing.T) {
	t.Parallel()
	const cells, want = 5, 3
	b := purchases(t, cells)
	s := b.sweeper(func(func(*event.Batch) error) error { return nil })
	var all []stock.Cell
	for sku := range int64(cells) {
		all = append(all, stock.Cell{SKU: 1 + sku})
	}
	report, err := s.Look(t.Context(), all)
	if err != nil || report.Summary.InSync != cells || report.Summary.Calls != want {
		t.Errorf("%+v, %v: want %d calls", report.Summary, err, want)
	}
}
