package persister

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/stock"
)

// The writer builds statements as bytes. They have only numbers and hexadecimal literals, so nothing needs escaping, and a
// value costs no reflection and no argument of the driver.

const (
	insertLedger = "INSERT INTO ledger (sku_id, pool, bucket, epoch, seq, kind, reservation_id, user_id, quantity, " +
		"fingerprint, available_stock, reserved_stock, sold_stock, deadline_ms, redis_ms) VALUES "
	insertLedgerChange = "INSERT INTO ledger (sku_id, pool, bucket, epoch, seq, kind, reservation_id, user_id, quantity, " +
		"fingerprint, available_stock, reserved_stock, sold_stock, deadline_ms, redis_ms, delta, fields, settings, reason, " +
		"extend_ms, from_epoch, from_seq) VALUES "
	// A row that exists stays as it is and does not count as affected. Unlike INSERT IGNORE this still reports every other
	// error.
	keepLedger = " ON DUPLICATE KEY UPDATE seq = ledger.seq"

	// The persister compares whole rows, in its own form, with those that it writes and with those before them.
	selectLedger = "SELECT " + ledger.EventColumns + " FROM ledger WHERE "

	// MySQL makes assignments from left to right. The position comes last, so that each condition sees the old one. If the
	// new position is higher, its epoch is not lower, so the greater epoch is the right one.
	isNewer = "IF(VALUES(epoch) > epoch OR (VALUES(epoch) = epoch AND VALUES(seq) > seq), "

	insertInventories = "INSERT INTO product_inventories (sku_id, pool, bucket, total_stock, available_stock, " +
		"reserved_stock, sold_stock, epoch, seq, last_updated) VALUES "
	moveInventories = " ON DUPLICATE KEY UPDATE " +
		"total_stock = " + isNewer + "VALUES(total_stock), total_stock), " +
		"available_stock = " + isNewer + "VALUES(available_stock), available_stock), " +
		"reserved_stock = " + isNewer + "VALUES(reserved_stock), reserved_stock), " +
		"sold_stock = " + isNewer + "VALUES(sold_stock), sold_stock), " +
		"last_updated = " + isNewer + "VALUES(last_updated), last_updated), " +
		"seq = " + isNewer + "VALUES(seq), seq), " +
		"epoch = GREATEST(epoch, VALUES(epoch))"

	insertReservations = "INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, " +
		"deadline_ms, reserved_ms, epoch, seq, updated_ms) VALUES "
	// An id can be used again after its retention, so everything moves, not only the state. Only one event has the time at
	// which the reservation was made, and it may arrive after those that follow it.
	moveReservations = " ON DUPLICATE KEY UPDATE " +
		"sku_id = " + isNewer + "VALUES(sku_id), sku_id), " +
		"pool = " + isNewer + "VALUES(pool), pool), " +
		"bucket = " + isNewer + "VALUES(bucket), bucket), " +
		"user_id = " + isNewer + "VALUES(user_id), user_id), " +
		"quantity = " + isNewer + "VALUES(quantity), quantity), " +
		"deadline_ms = " + isNewer + "VALUES(deadline_ms), deadline_ms), " +
		"state = " + isNewer + "VALUES(state), state), " +
		"reserved_ms = GREATEST(reserved_ms, VALUES(reserved_ms)), " +
		"updated_ms = " + isNewer + "VALUES(updated_ms), updated_ms), " +
		"seq = " + isNewer + "VALUES(seq), seq), " +
		"epoch = GREATEST(epoch, VALUES(epoch))"
)

// values builds rows of literals.
type values struct{ sql []byte }

func (v *values) begin(statement string) { v.sql = append(v.sql[:0], statement...) }

// open starts a row.
func (v *values) open() { v.sql = append(v.sql, '(') }

// shut ends a row.
func (v *values) shut() {
	v.sql[len(v.sql)-1] = ')' // in place of its last comma
	v.sql = append(v.sql, ',')
}

// end ends the list of rows.
func (v *values) end(rest string) { v.sql = append(v.sql[:len(v.sql)-1], rest...) }

func (v *values) int(n int64)   { v.sql = append(strconv.AppendInt(v.sql, n, 10), ',') }
func (v *values) nulls(n int)   { v.sql = append(v.sql, strings.Repeat("NULL,", n)...) }
func (v *values) uint(n uint64) { v.sql = append(strconv.AppendUint(v.sql, n, 10), ',') }

func (v *values) bytes(b []byte) {
	v.sql = append(v.sql, "x'"...)
	v.sql = hex.AppendEncode(v.sql, b)
	v.sql = append(v.sql, "',"...)
}

func (v *values) time(ms int64) {
	v.sql = append(v.sql, '\'')
	v.sql = time.UnixMilli(ms).UTC().AppendFormat(v.sql, "2006-01-02 15:04:05.000")
	v.sql = append(v.sql, "',"...)
}

func (v *values) cell(c stock.Cell) {
	v.int(c.SKU)
	v.uint(uint64(c.Pool))
	v.uint(uint64(c.Bucket))
}

func (v *values) position(m stock.Position) {
	v.uint(uint64(m.Epoch))
	v.uint(m.Seq)
}

func (v *values) ledger(r *row) {
	v.open()
	v.cell(r.Cell)
	v.position(r.Position)
	v.uint(uint64(r.Kind))
	v.bytes(r.Reservation[:])
	v.int(r.User)
	v.int(r.Quantity)
	v.uint(uint64(r.Fingerprint))
	v.int(r.Avail)
	v.int(r.Held)
	v.int(r.Sold)
	v.int(r.DeadlineMS)
	v.int(r.timeMS)
	if r.Kind.HasReason() {
		v.change(r)
	}
	v.shut()
}

// change has the columns of a change: all of an adjustment's, and of a return the reason alone.
func (v *values) change(r *row) {
	c := &r.Change
	if !r.Kind.Adjusts() {
		v.nulls(3)
		v.bytes([]byte(c.Reason))
		v.nulls(3)
		return
	}
	v.int(c.Delta)
	v.uint(uint64(c.Fields))
	v.bytes(event.AppendSettings(nil, c.Settings, 0)[:event.SettingsBytes])
	v.bytes([]byte(c.Reason))
	v.int(c.Settings.ExtendMax.Milliseconds())
	if r.Kind != event.KindRebase {
		v.nulls(2)
		return
	}
	v.position(c.From)
}

func (v *values) inventory(r *row) {
	v.open()
	v.cell(r.Cell)
	v.int(r.Total())
	v.int(r.Avail)
	v.int(r.Held)
	v.int(r.Sold)
	v.position(r.Position)
	v.time(r.timeMS)
	v.shut()
}

func (v *values) reservation(r *reservationRow) {
	v.open()
	v.bytes(r.Reservation[:])
	v.cell(r.Cell)
	v.int(r.User)
	v.int(r.Quantity)
	v.uint(uint64(r.Kind.State()))
	v.int(r.DeadlineMS)
	v.int(r.reservedMS)
	v.position(r.Position)
	v.int(r.timeMS)
	v.shut()
}
