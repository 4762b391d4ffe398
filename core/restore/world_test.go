package restore

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/config"
	"sluice/core/event"
	"sluice/core/kafka"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/vetting"
	"sluice/persister/persistertest"
)

// world is a deployment of one partition, whose Redis is empty. Tests write the ledger.
type world struct {
	*testing.T
	Restore

	db     *sql.DB
	client rueidis.Client
	nowMS  int64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, db: persistertest.Database(t), nowMS: time.Now().UnixMilli()}
	var err error
	if w.client, err = rueidis.NewClient(redis.Options([]string{servicetest.Redis(t).Addr}, "", "")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	store, err := redisstock.New(w.client, redisstock.Config{Partitions: 1, CallTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	brokers := servicetest.Broker(t)
	if err := outbox.CreateTopic(t.Context(), brokers, "events", 1, 1); err != nil {
		t.Fatal(err)
	}
	w.Restore = Restore{Store: store, Vetting: vetting.Vetter{
		Client: w.client, DB: w.db, Kafka: kafka.Config{Brokers: brokers, Topic: "events", Group: "g"},
		Stock: config.Agreed{Partitions: 1, Deployment: "test", Retention: 24 * time.Hour},
	}}
	w.Open = func(ctx context.Context) error {
		_, err := w.Vetting.Open(ctx, store)
		return err
	}
	return w
}

// run is a run of the restore, with cells as somebody has read them.
func (w *world) run(cells ...cellAt) *run {
	w.Helper()
	r, err := w.newRun(w.Context(), Plan{})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(r.topic.Close)
	r.cells = map[int][]cellAt{0: cells}
	return r
}

// other begins to restore the partition, and falls silent.
func (w *world) other() *redisstock.Restorer {
	w.Helper()
	other, err := redisstock.NewRestorer(w.client, 1, "test", "", 0)
	if err == nil {
		_, err = other.Clear(w.Context(), 0, nil, nil)
	}
	if err != nil {
		w.Fatal(err)
	}
	w.must("DEL", "{p0}:restorer")
	return other
}

func (w *world) must(command ...string) rueidis.RedisResult {
	w.Helper()
	answer := w.client.Do(w.Context(), w.client.B().Arbitrary(command...).Build())
	if err := answer.Error(); err != nil {
		w.Fatal(err)
	}
	return answer
}

// state is the cell as Redis has it.
func (w *world) state(cell stock.Cell) stock.CellState {
	w.Helper()
	found, _, err := w.Store.ViewCells(w.Context(), 0, 0)
	if err != nil {
		w.Fatal(err)
	}
	for i := range found {
		if found[i].Cell == cell {
			return found[i].CellState
		}
	}
	return stock.CellState{}
}

// exec changes MySQL.
func (w *world) exec(statement string, values ...any) {
	w.Helper()
	if _, err := w.db.ExecContext(w.Context(), statement, values...); err != nil {
		w.Fatal(err)
	}
}

// made writes the event that makes a cell with 10 units and a limit of 5.
func (w *world) made(cell stock.Cell) {
	w.Helper()
	w.settings(cell, stock.Position{Epoch: 1, Seq: 1}, "adjust", id(cell, "made"), 10)
}

// rebased writes the event that begins the next epoch with 10 units.
func (w *world) rebased(cell stock.Cell, from stock.Position) {
	w.Helper()
	w.settings(cell, stock.Position{Epoch: from.Epoch + 1, Seq: from.Seq + 1}, "rebase", stock.ReservationID{}, 0)
	w.exec("UPDATE ledger SET from_epoch = ?, from_seq = ? WHERE sku_id = ? AND epoch = ?", from.Epoch, from.Seq, cell.SKU, from.Epoch+1)
}

func (w *world) settings(cell stock.Cell, at stock.Position, kind string, of stock.ReservationID, delta int) {
	w.Helper()
	w.exec(`INSERT INTO ledger (sku_id, pool, bucket, epoch, seq, kind, reservation_id, user_id, quantity, fingerprint, available_stock, reserved_stock,
		sold_stock, deadline_ms, redis_ms, delta, fields, settings, reason) VALUES (?, ?, ?, ?, ?, ?, ?, 1, 0, 0, 10, 0, 0, 0, ?, ?, 127, ?, 'why')`,
		cell.SKU, cell.Pool, cell.Bucket, at.Epoch, at.Seq, kind, of[:], w.nowMS, delta, event.AppendSettings(nil, stock.Settings{Limit: 5, Hold: time.Hour}, 0))
}

// held writes the event by which a user holds a unit, as the only one.
func (w *world) held(cell stock.Cell, at stock.Position, user int64) stock.ReservationID {
	w.Helper()
	of := id(cell, fmt.Sprint(at, user))
	w.exec(`INSERT INTO ledger (sku_id, pool, bucket, epoch, seq, kind, reservation_id, user_id, quantity, fingerprint, available_stock, reserved_stock,
		sold_stock, deadline_ms, redis_ms) VALUES (?, ?, ?, ?, ?, 'reserve', ?, ?, 1, 0, 9, 1, 0, ?, ?)`,
		cell.SKU, cell.Pool, cell.Bucket, at.Epoch, at.Seq, of[:], user, w.nowMS+3_600_000, w.nowMS)
	return of
}

// stocked writes the cell's row of the stock table.
func (w *world) stocked(cell stock.Cell, at stock.Position) cellAt {
	w.Helper()
	w.exec(`REPLACE INTO product_inventories (sku_id, pool, bucket, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated)
		VALUES (?, ?, ?, 10, 9, 1, 0, ?, ?, NOW(3))`, cell.SKU, cell.Pool, cell.Bucket, at.Epoch, at.Seq)
	return cellAt{cell, at}
}

func id(cell stock.Cell, key string) stock.ReservationID {
	return stock.Identity{User: 1, Route: stock.OpReserve, Cell: cell, Key: key}.ID(1)
}
