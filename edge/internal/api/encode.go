package api

import (
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"

	"sluice/core/sale"
	"sluice/core/stock"
)

// appendReservation appends a reservation as of a Redis time, as a JSON object. Its user is told to
// services only: a shopper knows.
func appendReservation(dst []byte, r *stock.Reservation, nowMS int64, withUser bool) []byte {
	dst = append(dst, `{"reservation_id":"`...)
	dst = hex.AppendEncode(dst, r.ID[:])
	dst = append(dst, `","sku_id":"`...)
	dst = strconv.AppendInt(dst, r.Cell.SKU, 10)
	dst = append(dst, `","quantity":`...)
	dst = strconv.AppendInt(dst, r.Quantity, 10)
	if r.Cell.Pool != 0 {
		dst = append(dst, `,"sale_id":"`...)
		dst = strconv.AppendUint(dst, uint64(r.Cell.Pool), 10)
		dst = append(dst, '"')
	}
	if withUser {
		dst = append(dst, `,"user_id":"`...)
		dst = strconv.AppendInt(dst, r.User, 10)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"state":"`...)
	dst = append(dst, r.StateAt(nowMS).String()...)
	dst = append(dst, '"')
	if r.DeadlineMS != 0 { // a deduction never was held
		dst = append(dst, `,"expires_at":"`...)
		dst = appendTime(dst, r.DeadlineMS)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// appendTime appends a moment in RFC 3339, UTC, with milliseconds.
func appendTime(dst []byte, ms int64) []byte {
	t := time.UnixMilli(ms).UTC()
	dst = t.AppendFormat(dst, time.RFC3339) // has a fast path; a layout with milliseconds has not
	frac := ms % 1000
	return append(dst[:len(dst)-1], '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10), 'Z')
}

// appendStock appends what anybody may see of a cell.
func appendStock(dst []byte, c *stock.CellState, asOf time.Time) []byte {
	dst = append(dst, `{"sku_id":"`...)
	dst = strconv.AppendInt(dst, c.Cell.SKU, 10)
	dst = append(dst, `","avail":`...)
	avail := c.Avail
	if c.Frozen || c.Fenced || c.Breached {
		avail = 0 // nobody can have them now
	}
	dst = strconv.AppendInt(dst, avail, 10)
	if c.Cell.Pool != 0 {
		dst = append(dst, `,"sale_id":"`...)
		dst = strconv.AppendUint(dst, uint64(c.Cell.Pool), 10)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"as_of":"`...)
	dst = appendTime(dst, asOf.UnixMilli())
	return append(dst, '"', '}')
}

// appendCell appends all that an admin may see of a cell.
func appendCell(dst []byte, c *stock.CellState) []byte {
	number := func(name string, v int64) {
		dst = append(dst, `,"`...)
		dst = append(dst, name...)
		dst = append(dst, `":`...)
		dst = strconv.AppendInt(dst, v, 10)
	}
	flag := func(name string, v bool) {
		dst = append(dst, `,"`...)
		dst = append(dst, name...)
		dst = append(dst, `":`...)
		dst = strconv.AppendBool(dst, v)
	}
	moment := func(name string, ms int64) {
		if ms != 0 {
			dst = append(dst, `,"`...)
			dst = append(dst, name...)
			dst = append(dst, `":"`...)
			dst = appendTime(dst, ms)
			dst = append(dst, '"')
		}
	}
	dst = append(dst, `{"sku_id":"`...)
	dst = strconv.AppendInt(dst, c.Cell.SKU, 10)
	dst = append(dst, '"')
	if c.Cell.Pool != 0 {
		dst = append(dst, `,"sale_id":"`...)
		dst = strconv.AppendUint(dst, uint64(c.Cell.Pool), 10)
		dst = append(dst, '"')
	}
	number("total", c.Total)
	number("avail", c.Avail)
	number("held", c.Held)
	number("sold", c.Sold)
	number("limit", c.Limit)
	number("hold_ms", c.Hold.Milliseconds())
	if c.OpensAtMS != sale.NotScheduled {
		moment("opens_at", c.OpensAtMS)
	}
	moment("closes_at", c.ClosesAtMS)
	dst = append(dst, `,"ack":"`...)
	dst = append(dst, c.Ack.String()...)
	dst = append(dst, '"')
	flag("shopper_deducts", c.ShopperDeducts)
	flag("frozen", c.Frozen)
	flag("fenced", c.Fenced)
	flag("breached", c.Breached)
	number("epoch", int64(c.Epoch))
	number("seq", int64(c.Seq)) // at most 2^48-1
	return append(dst, '}')
}

// appendText appends text as a JSON string. What is not UTF-8 becomes the replacement character.
func appendText(dst []byte, text string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ' || r == 0x7F:
			dst = append(dst, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
