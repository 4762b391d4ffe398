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
	dst = appendNumber(dst, `","sku_id":"`, r.Cell.SKU)
	dst = appendNumber(dst, `","quantity":`, r.Quantity)
	dst = appendSaleID(dst, r.Cell.Pool)
	if withUser {
		dst = appendNumber(dst, `,"user_id":"`, r.User)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"state":"`...)
	dst = append(dst, r.StateAt(nowMS).String()...)
	dst = append(dst, '"')
	dst = appendMoment(dst, `,"expires_at":"`, r.DeadlineMS) // a deduction never was held
	return append(dst, '}')
}

// appendStock appends what anybody may see of a cell.
func appendStock(dst []byte, c *stock.CellState, asOf time.Time) []byte {
	avail := c.Avail
	if c.Frozen || c.Fenced || c.Breached {
		avail = 0 // nobody can have them now
	}
	dst = appendNumber(dst, `{"sku_id":"`, c.Cell.SKU)
	dst = appendNumber(dst, `","avail":`, avail)
	dst = appendSaleID(dst, c.Cell.Pool)
	dst = appendMoment(dst, `,"as_of":"`, asOf.UnixMilli())
	return append(dst, '}')
}

// appendCell appends all that an admin may see of a cell.
func appendCell(dst []byte, c *stock.CellState) []byte {
	dst = appendNumber(dst, `{"sku_id":"`, c.Cell.SKU)
	dst = append(dst, '"')
	dst = appendSaleID(dst, c.Cell.Pool)
	dst = appendNumber(dst, `,"total":`, c.Total)
	dst = appendNumber(dst, `,"avail":`, c.Avail)
	dst = appendNumber(dst, `,"held":`, c.Held)
	dst = appendNumber(dst, `,"sold":`, c.Sold)
	dst = appendNumber(dst, `,"limit":`, c.Limit)
	dst = appendNumber(dst, `,"hold_ms":`, c.Hold.Milliseconds())
	if c.OpensAtMS != sale.NotScheduled {
		dst = appendMoment(dst, `,"opens_at":"`, c.OpensAtMS)
	}
	dst = appendMoment(dst, `,"closes_at":"`, c.ClosesAtMS)
	dst = append(dst, `,"ack":"`...)
	dst = append(dst, c.Ack.String()...)
	dst = appendFlag(dst, `","shopper_deducts":`, c.ShopperDeducts)
	dst = appendFlag(dst, `,"frozen":`, c.Frozen)
	dst = appendFlag(dst, `,"fenced":`, c.Fenced)
	dst = appendFlag(dst, `,"breached":`, c.Breached)
	dst = appendNumber(dst, `,"epoch":`, int64(c.Epoch))
	dst = appendNumber(dst, `,"seq":`, int64(c.Seq)) // at most 2^48-1
	return append(dst, '}')
}

// appendNumber appends a number behind the text that leads to it.
func appendNumber(dst []byte, lead string, v int64) []byte {
	return strconv.AppendInt(append(dst, lead...), v, 10)
}

// appendFlag appends true or false behind the text that leads to it.
func appendFlag(dst []byte, lead string, v bool) []byte {
	return strconv.AppendBool(append(dst, lead...), v)
}

// appendMoment appends a moment behind the text that leads to it, its opening quote included; nothing if it is 0.
func appendMoment(dst []byte, lead string, ms int64) []byte {
	if ms == 0 {
		return dst
	}
	return append(appendTime(append(dst, lead...), ms), '"')
}

// appendSaleID appends the member sale_id; nothing for normal stock.
func appendSaleID(dst []byte, pool uint32) []byte {
	if pool == 0 {
		return dst
	}
	return append(appendNumber(dst, `,"sale_id":"`, int64(pool)), '"')
}

// appendTime appends a moment in RFC 3339, UTC, with milliseconds.
func appendTime(dst []byte, ms int64) []byte {
	t := time.UnixMilli(ms).UTC()
	dst = t.AppendFormat(dst, time.RFC3339) // has a fast path; a layout with milliseconds has not
	frac := ms % 1000
	return append(dst[:len(dst)-1], '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10), 'Z')
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
