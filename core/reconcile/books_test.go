package reconcile_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
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

// books are servers into which a test writes cells, record by record and row by row.
type books struct {
	*servers

	t *testing.T
}

func newBooks(t *testing.T) books {
	t.Helper()
	return books{newServers(t), t}
}

func (b books) exec(statement string, values ...any) {
	b.t.Helper()
	if _, err := b.mysql.ExecContext(b.t.Context(), statement, values...); err != nil {
		b.t.Fatal(err)
	}
}

// do runs commands of Redis.
func (b books) do(commands ...[]string) {
	b.t.Helper()
	built := make(rueidis.Commands, len(commands))
	for i, c := range commands {
		built[i] = b.client.B().Arbitrary(c...).Build()
	}
	for _, answer := range b.client.DoMulti(b.t.Context(), built...) {
		if err := answer.Error(); err != nil {
			b.t.Fatal(err)
		}
	}
}

func keyOf(cell stock.Cell, name string) string {
	return fmt.Sprintf("{p%d}:%s", cell.Partition(partitions), name)
}

func bigEndian(dst []byte, v uint64, bytes int) []byte {
	for i := bytes - 1; i >= 0; i-- {
		dst = append(dst, byte(v>>(8*i)))
	}
	return dst
}

// inRedis returns the command that writes a cell's counters.
func inRedis(cell stock.Cell, at stock.Position, avail, held, sold int64, s stock.Settings) []string {
	value := []byte{1}
	for _, n := range []int64{avail, held, sold} {
		value = bigEndian(value, uint64(n), 5)
	}
	value = bigEndian(bigEndian(bigEndian(value, at.Seq, 6), uint64(avail+held+sold), 5), uint64(at.Epoch), 4)
	return []string{"HSET", keyOf(cell, "cells"), string(cell.Append(nil)), string(event.AppendSettings(value, s, 0))}
}

// record returns the command that writes the record of a reservation.
func record(cell stock.Cell, id stock.ReservationID, state stock.State, seq uint64, user, quantity, deadlineMS int64) []string {
	value := bigEndian(bigEndian([]byte{1, byte(state)}, seq, 6), uint64(deadlineMS), 6)
	value = bigEndian(bigEndian(bigEndian(value, uint64(user), 8), uint64(quantity), 3), 0, 4)
	return []string{"HSET", keyOf(cell, "res"), string(id[:]), string(cell.Append(value))}
}

// count returns the command that writes a user's count.
func count(cell stock.Cell, user, units int64) []string {
	field := binary.BigEndian.AppendUint64(cell.Append(nil), uint64(user))
	return []string{"HSET", keyOf(cell, fmt.Sprintf("buyers:%d", cell.Pool)), string(field), string(bigEndian(nil, uint64(units), 3))}
}

// entry returns the command that appends events to the outbox.
func entry(cell stock.Cell, timeMS int64, events ...event.Event) []string {
	return []string{"XADD", keyOf(cell, "outbox"), "*", "e", string(event.Append(nil, event.Batch{TimeMS: timeMS, Events: events}))}
}

// projections fill the stock table and the applied marks from the ledger, as persisters do.
func (b books) projections() {
	b.t.Helper()
	b.exec(`INSERT INTO product_inventories (sku_id, pool, bucket, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated)
		SELECT sku_id, pool, bucket, available_stock + reserved_stock + sold_stock, available_stock, reserved_stock, sold_stock, epoch, seq, NOW(3)
		FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sku_id, pool, bucket ORDER BY epoch DESC, seq DESC) AS back FROM ledger) AS events WHERE back = 1`)
	b.exec("INSERT INTO applied_marks SELECT sku_id, pool, bucket, epoch, seq FROM product_inventories")
}

// purchases makes so many cells with a limit. In each a user has bought 2 of 10 units, and Redis has forgotten the
// record.
func purchases(t *testing.T, n int) books {
	t.Helper()
	b := newBooks(t)
	b.exec(fmt.Sprintf(`INSERT INTO ledger SELECT seq, 0, 0, 1, 1, 'adjust', REPEAT('x', 16), 0, 0, 0, 10, 0, 0, 0, 1700000000000, 10, 127, REPEAT('x', 20), 'load',
		NULL, NULL, NULL FROM seq_1_to_%d`, n))
	b.exec(fmt.Sprintf(`INSERT INTO ledger SELECT seq, 0, 0, 1, 2, 'deduct', UNHEX(CONCAT(REPEAT('0', 16), LPAD(HEX(seq), 16, '0'))), 1000 + seq, 2, 0, 8, 0, 2, 0,
		1700000001000, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM seq_1_to_%d`, n))
	b.exec(fmt.Sprintf(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
		SELECT UNHEX(CONCAT(REPEAT('0', 16), LPAD(HEX(seq), 16, '0'))), seq, 0, 0, 1000 + seq, 2, 'confirmed', 0, 1700000001000, 1, 2, 1700000001000
		FROM seq_1_to_%d`, n))
	b.projections()
	var commands [][]string
	for sku := int64(1); sku <= int64(n); sku++ {
		cell := stock.Cell{SKU: sku}
		commands = append(commands, inRedis(cell, stock.Position{Epoch: 1, Seq: 2}, 8, 0, 2, stock.Settings{Limit: 5}), count(cell, 1000+sku, 2))
	}
	b.do(commands...)
	return b
}

// watched counts the commands of Redis whose text contains a word, and may run something after each.
type watched struct {
	rueidis.Client

	word  string
	calls atomic.Int64
	after func(rueidis.RedisResult)
}

func (w *watched) saw(c rueidis.Completed, r rueidis.RedisResult) {
	if strings.Contains(strings.Join(c.Commands(), " "), w.word) {
		if w.calls.Add(1); w.after != nil {
			w.after(r)
		}
	}
}

func (w *watched) Do(ctx context.Context, c rueidis.Completed) rueidis.RedisResult {
	c = c.Pin()
	r := w.Client.Do(ctx, c)
	w.saw(c, r)
	return r
}

func (w *watched) DoMulti(ctx context.Context, all ...rueidis.Completed) []rueidis.RedisResult {
	for i := range all {
		all[i] = all[i].Pin()
	}
	results := w.Client.DoMulti(ctx, all...)
	for i := range all {
		w.saw(all[i], results[i])
	}
	return results
}

// watch returns a sweeper of a store whose commands with a word are counted.
func (b books) watch(word string) (*reconcile.Sweeper, *watched) {
	b.t.Helper()
	w := &watched{Client: b.client, word: word}
	redis, err := redisstock.New(w, redisstock.Config{Partitions: partitions, CallTimeout: 10 * time.Second, Retention: 24 * time.Hour})
	if err != nil {
		b.t.Fatal(err)
	}
	s := b.sweeper(func(func(*event.Batch) error) error { return nil })
	s.Redis = redis
	return &s, w
}

// statements counts what a function selects in MySQL.
func (b books) statements(s *reconcile.Sweeper, do func()) int {
	b.t.Helper()
	b.mysql.SetMaxOpenConns(1) // the count is that of a connection
	s.Books = ledger.New(b.mysql, nil)
	read := func() (n int) {
		b.t.Helper()
		var name string
		if err := b.mysql.QueryRowContext(b.t.Context(), "SHOW SESSION STATUS LIKE 'Com_select'").Scan(&name, &n); err != nil {
			b.t.Fatal(err)
		}
		return n
	}
	before := read()
	do()
	return read() - before
}

// sweep sweeps, and returns the findings in short.
func (b books) sweep(s *reconcile.Sweeper, scope reconcile.Scope) (*reconcile.Report, []string) {
	b.t.Helper()
	report, err := s.Sweep(b.t.Context(), scope)
	if err != nil {
		b.t.Fatal(err)
	}
	return report, inShort(report)
}

func inShort(report *reconcile.Report) (found []string) {
	for i := range report.Findings {
		f := &report.Findings[i]
		found = append(found, fmt.Sprintf("%d: %s, %d, %s", f.SKU, f.Type, f.Units, f.Direction))
	}
	for _, u := range report.Summary.Unread {
		found = append(found, fmt.Sprintf("%s: %s", u.Store, u.Error))
	}
	return found
}
