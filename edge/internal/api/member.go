package api

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/core/ids"
	"sluice/core/moment"
	"sluice/core/registry"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/core/text"
)

// The members of bodies. Each accepts what it may be, and nothing else.
type (
	sku        int64
	pool       uint32 // of a sale
	units      int64
	firstUnits struct { // may be 0
		units int64
		sent  bool
	}
	userID         int64
	quantity       int64
	delta          int64
	perUser        int64
	holdMS         int64
	extendMS       int64
	level          stock.Ack
	reason         string
	name           string
	bound          struct{ time.Time } // sale.Never takes the bound away
	opening        struct{ time.Time }
	items          []item
	reservationIDs []stock.ReservationID
	basketItems    []basketItem
	userIDs        []int64
)

func (m *sku) UnmarshalJSON(value []byte) error    { return readID(m, value, math.MaxInt64) }
func (m *pool) UnmarshalJSON(value []byte) error   { return readID(m, value, math.MaxUint32) }
func (m *userID) UnmarshalJSON(value []byte) error { return readID(m, value, math.MaxInt64) }
func (m *units) UnmarshalJSON(value []byte) error  { return readInteger(m, value, 1, stock.UnitsMax) }

func (m *quantity) UnmarshalJSON(value []byte) error {
	return readInteger(m, value, 1, stock.QuantityMax)
}

func (m *perUser) UnmarshalJSON(value []byte) error {
	return readInteger(m, value, 0, stock.QuantityMax)
}

func (m *holdMS) UnmarshalJSON(value []byte) error {
	return readInteger(m, value, 1, stock.HoldMax.Milliseconds())
}

func (m *extendMS) UnmarshalJSON(value []byte) error {
	return readInteger(m, value, 0, stock.HoldMax.Milliseconds())
}
func (m *reason) UnmarshalJSON(value []byte) error { return readLine(m, value, stock.ReasonMax) }
func (m *name) UnmarshalJSON(value []byte) error   { return readLine(m, value, sale.NameMax) }

func (m *firstUnits) UnmarshalJSON(value []byte) error {
	m.sent = true
	return readInteger(&m.units, value, 0, stock.UnitsMax)
}

func (m *delta) UnmarshalJSON(value []byte) error {
	err := readInteger(m, value, -stock.UnitsMax, stock.UnitsMax)
	if err == nil && *m == 0 {
		return wantError("want a change")
	}
	return err
}

func (m *level) UnmarshalJSON(value []byte) error {
	word, _ := textOf(value)
	ack, err := stock.ParseAck(word)
	if err != nil {
		return wantError("want default, redis, replica or log")
	}
	*m = level(ack)
	return nil
}

// errMoment is a time in another form than the one that is read.
const errMoment = wantError("want a time in RFC 3339, such as 2026-11-11T20:00:00Z")

// momentYearMin is the first year, as it is written, wherever the place: it keeps the time 0, which stands for no
// bound, from being one.
const momentYearMin = "1971"

// UnmarshalJSON reads a time to the millisecond, or the empty string.
func (m *bound) UnmarshalJSON(value []byte) error {
	written, ok := textOf(value)
	if !ok {
		return wantError("want a time as a string")
	}
	if written == "" {
		m.Time = sale.Never
		return nil
	}
	at, err := moment.Parse(written)
	switch {
	case errors.Is(err, moment.ErrRange), err == nil && written[:4] < momentYearMin:
		return wantError("want a time of the years " + momentYearMin + " to 9999")
	case err != nil:
		return errMoment
	}
	m.Time = at
	return nil
}

// ms is the time as a setting has it: 0 is no bound.
func (m bound) ms() int64 {
	if m.IsZero() {
		return 0
	}
	return m.UnixMilli()
}

// UnmarshalJSON reads a time: a sale always has an opening, and there is none to take away.
func (m *opening) UnmarshalJSON(value []byte) error {
	var b bound
	err := b.UnmarshalJSON(value)
	if err == nil && b.Equal(sale.Never) {
		return errMoment
	}
	m.Time = b.Time
	return err
}

func (m *items) UnmarshalJSONFrom(from *jsontext.Decoder) error {
	want := wantError("want a list of at least one item")
	if from.PeekKind() != jsontext.KindBeginArray {
		return want
	}
	err := json.UnmarshalDecode(from, (*[]item)(m))
	switch {
	case err != nil:
		return err
	case len(*m) == 0:
		return want
	case len(*m) > sale.ItemsMax:
		return wantError(fmt.Sprintf("want at most %d items", sale.ItemsMax))
	}
	return nil
}

func (m *item) UnmarshalJSONFrom(from *jsontext.Decoder) error {
	type plain item
	if err := json.UnmarshalDecode(from, (*plain)(m)); err != nil {
		return err
	}
	return complete(m)
}

func (m *basketItems) UnmarshalJSONFrom(from *jsontext.Decoder) error {
	want := wantError(fmt.Sprintf("want a list of 1 to %d items", stock.BasketLinesMax))
	if from.PeekKind() != jsontext.KindBeginArray {
		return want
	}
	err := json.UnmarshalDecode(from, (*[]basketItem)(m))
	if err == nil && (len(*m) == 0 || len(*m) > stock.BasketLinesMax) {
		return want
	}
	return err
}

func (m *basketItem) UnmarshalJSONFrom(from *jsontext.Decoder) error {
	type plain basketItem
	if err := json.UnmarshalDecode(from, (*plain)(m)); err != nil {
		return err
	}
	return complete(m)
}

func (m *basketItem) cell() stock.Cell {
	return stock.Cell{SKU: int64(m.SKU), Pool: uint32(of(m.Sale))}
}

// lines returns the items as lines of a basket.
func (m basketItems) lines() []stock.Line {
	lines := make([]stock.Line, len(m))
	for i := range m {
		lines[i] = stock.Line{Cell: m[i].cell(), Quantity: int64(m[i].Quantity)}
	}
	return lines
}

// first returns the index of the first item of a cell.
func (m basketItems) first(cell stock.Cell) int {
	return slices.IndexFunc(m, func(i basketItem) bool { return i.cell() == cell })
}

// pointer names the first item of a cell.
func (m basketItems) pointer(cell stock.Cell) string { return fmt.Sprintf("/items/%d", m.first(cell)) }

// UnmarshalJSON reads a list of user ids. One that is there twice counts once.
func (m *userIDs) UnmarshalJSON(value []byte) error {
	written, err := textsOf(value, registry.UsersMax, "users")
	if err != nil {
		return err
	}
	for i, text := range written {
		id, ok := ids.Parse(text)
		if !ok {
			return itemError{i, "want the id of a user: a string of digits without leading zeros"}
		}
		*m = append(*m, id)
	}
	return nil
}

// listMax is the most reservations of a list.
const listMax = 50

// UnmarshalJSON reads a list of reservation ids, each once.
func (m *reservationIDs) UnmarshalJSON(value []byte) error {
	written, err := textsOf(value, listMax, "reservations")
	if err != nil {
		return err
	}
	for i, text := range written {
		id, err := stock.ParseReservationID(text)
		if err != nil {
			return itemError{i, err.Error()}
		}
		if slices.Contains(*m, id) {
			return itemError{i, fmt.Sprintf("want each reservation once: %v is there twice", id)}
		}
		*m = append(*m, id)
	}
	return nil
}

// readID reads a string of digits between 1 and high.
func readID[T ~int64 | ~uint32](to *T, value jsontext.Value, high int64) error {
	written, ok := textOf(value)
	if !ok {
		return wantError("want a string of digits")
	}
	id, ok := ids.Parse(written)
	if !ok || id > high {
		return wantError(fmt.Sprintf("want a string of digits, 1 to %d, without leading zeros", high))
	}
	*to = T(id)
	return nil
}

// readInteger reads an integer literal between low and high.
func readInteger[T ~int64](to *T, value jsontext.Value, low, high int64) error {
	if value.Kind() != jsontext.KindNumber {
		return wantError("want an integer")
	}
	v, ok := parseInteger(value)
	if !ok || v < low || v > high {
		return wantError(fmt.Sprintf("want an integer from %d to %d, without fraction or exponent", low, high))
	}
	*to = T(v)
	return nil
}

// readLine reads a string of 1 to most bytes in plain characters.
func readLine[T ~string](to *T, value jsontext.Value, most int) error {
	written, ok := textOf(value)
	if !ok {
		return wantError("want a string")
	}
	if err := text.Check(written, most); err != nil {
		return wantError(err.Error())
	}
	*to = T(written)
	return nil
}

// textsOf reads a list of 1 to most ids, as they are written.
func textsOf(value jsontext.Value, most int, of string) ([]string, error) {
	var items []jsontext.Value
	if err := json.Unmarshal(value, &items); err != nil || len(items) < 1 || len(items) > most {
		return nil, wantError(fmt.Sprintf("want a list of 1 to %d ids of %s", most, of))
	}
	written := make([]string, len(items))
	for i, item := range items {
		text, ok := textOf(item)
		if !ok {
			return nil, itemError{i, "want a string"}
		}
		written[i] = text
	}
	return written, nil
}

// textOf is a string's text, false for any other value.
func textOf(value jsontext.Value) (string, bool) {
	if value.Kind() != jsontext.KindString {
		return "", false
	}
	written, err := jsontext.AppendUnquote(nil, value)
	return string(written), err == nil
}
