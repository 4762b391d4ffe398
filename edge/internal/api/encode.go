package api

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"sluice/core/stock"
	"sluice/core/text"
)

// appendReservation appends a reservation as of a Redis time, as a JSON object. Only services see its user, because a
// shopper knows who it is.
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

// appendView appends what an admin sees of a cell or of a sale. Nothing in a view can fail to be encoded.
func appendView(dst []byte, v any) []byte {
	view, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return append(dst, text.EscapeJSON(view)...)
}

// appendNumber appends a number behind the text that leads to it.
func appendNumber(dst []byte, lead string, v int64) []byte {
	return strconv.AppendInt(append(dst, lead...), v, 10)
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
