package ids_test

import (
	"database/sql"
	"encoding"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"sluice/core/ids"
)

var numbers = rapid.Int64Range(1, math.MaxInt64)

func TestKindsHaveTheirPrefixes(t *testing.T) {
	t.Parallel()
	f := func(id fmt.Stringer, prefix string) {
		t.Helper()
		if got, want := id.String(), prefix+"_0000000000011"; got != want {
			t.Errorf("33 is %q, want %q", got, want)
		}
	}
	f(ids.Product(33), "prd")
	f(ids.Category(33), "cat")
	f(ids.Brand(33), "brd")
	f(ids.Cart(33), "crt")
	f(ids.Checkout(33), "chk")
	f(ids.Order(33), "ord")
	f(ids.Payment(33), "pay")
	f(ids.Refund(33), "ref")
	f(ids.Shipment(33), "shp")
	f(ids.Case(33), "cas")
	f(ids.Offer(33), "ofr")
	f(ids.Address(33), "adr")
	f(ids.Seller(33), "sel")
	f(ids.Session(33), "ses")
	f(ids.Event(33), "evt")
	f(ids.Invitation(33), "inv")
	f(ids.Webhook(33), "whk")
	f(ids.Warehouse(33), "whs")
	f(ids.Price(33), "prc")
	f(ids.Promotion(33), "prm")
	f(ids.Coupon(33), "cpn")
	f(ids.Media(33), "med")
}

func TestReadOneFormOnly(t *testing.T) {
	t.Parallel()
	f := func(text string, want ids.Order) {
		t.Helper()
		if got, err := ids.Read[ids.Order](text); (err == nil) != (want != 0) || got != want {
			t.Errorf("Read(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	f("ord_0000000000001", 1)
	f("ord_000000000000z", 31)
	f("ord_7zzzzzzzzzzzz", math.MaxInt64)
	for _, text := range []string{
		"", "ord_", "ord_0000000000000", "ord_1", "ord_000000000001", "ord_00000000000001", // 0, and other lengths
		"ord_8000000000000", "ord_zzzzzzzzzzzzz", // beyond 63 bits
		"ord_000000000000Z", "ORD_0000000000001", "Ord_0000000000001", // another case
		"ord_000000000000i", "ord_000000000000l", "ord_000000000000o", "ord_000000000000u", // letters that stand for digits
		"ord-0000000000001", "ord0000000000001", "pay_0000000000001", "0000000000001", // other prefixes
		" ord_0000000000001", "ord_0000000000001 ", "ord_000000000001\n", "ord_00000000000１", "ord_-000000000001", "ord_+000000000001",
	} {
		f(text, 0)
	}
}

func TestShopIDsKeepTheirOrderAndMeaning(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := ids.Order(numbers.Draw(t, "a")), ids.Order(numbers.Draw(t, "b"))
		if back, err := ids.Read[ids.Order](a.String()); err != nil || back != a {
			t.Fatalf("%d is written %s and read %d, %v", a, a, back, err)
		}
		if a < b != (a.String() < b.String()) {
			t.Fatalf("%d and %d are ordered otherwise as %s and %s", a, b, a, b)
		}
		if other, err := ids.Read[ids.Payment](a.String()); err == nil {
			t.Fatalf("%s is read as %s", a, other)
		}
		appended, err := a.AppendText([]byte("at "))
		if err != nil || string(appended) != "at "+a.String() {
			t.Fatalf("%d is appended as %q, %v", a, appended, err)
		}
	})
}

func TestShopIDsInJSON(t *testing.T) {
	t.Parallel()
	type body struct {
		Order  ids.Order           `json:"order_id"`
		Parent ids.Checkout        `json:"checkout_id,omitzero"`
		Lines  map[ids.Product]int `json:"lines,omitempty"`
	}
	const text = `{"order_id":"ord_0000000000015","lines":{"prd_0000000000001":2}}`
	var read body
	if err := json.Unmarshal([]byte(text), &read); err != nil || read.Order != 37 || read.Lines[1] != 2 {
		t.Errorf("%s is read as %+v, %v", text, read, err)
	}
	if written, err := json.Marshal(read); err != nil || string(written) != text {
		t.Errorf("it is written as %s, %v", written, err)
	}
	for _, text := range []string{
		`{"order_id":37}`, `{"order_id":"37"}`, `{"order_id":""}`, `{"order_id":"chk_0000000000015"}`, `{"order_id":["ord_0000000000015"]}`,
	} {
		if err := json.Unmarshal([]byte(text), new(body)); err == nil {
			t.Errorf("%s is read", text)
		}
	}
	for _, order := range []ids.Order{0, -1, math.MinInt64} {
		if written, err := json.Marshal(body{Order: order}); err == nil {
			t.Errorf("the order %d is written as %s", int64(order), written)
		}
		if got := order.String(); got != "ord_none" {
			t.Errorf("the order %d is shown as %q", int64(order), got)
		}
	}
}

func TestShopIDsInSQL(t *testing.T) {
	t.Parallel()
	for _, from := range []any{int64(37), []byte("37"), "37"} {
		var id ids.Order
		if err := id.Scan(from); err != nil || id != 37 {
			t.Errorf("Scan(%T %v) = %d, %v", from, from, id, err)
		}
	}
	for _, from := range []any{nil, int64(0), int64(-1), uint64(1 << 63), 1.0, true, "", "x", "037", "ord_0000000000015", []byte{}} {
		id := ids.Order(5)
		if err := id.Scan(from); err == nil || id != 5 {
			t.Errorf("Scan(%T %v) = %d, %v", from, from, id, err)
		}
	}
	if value, err := ids.Order(math.MaxInt64).Value(); err != nil || value != int64(math.MaxInt64) {
		t.Errorf("the highest id is stored as %v, %v", value, err)
	}
	for _, id := range []ids.Order{0, -1} {
		if value, err := id.Value(); err == nil {
			t.Errorf("%d is stored as %v", int64(id), value)
		}
	}
	var none sql.Null[ids.Order]
	if err := none.Scan(nil); err != nil || none.Valid {
		t.Errorf("NULL is read as %+v, %v", none, err)
	}
	if err := none.Scan(int64(9)); err != nil || none.V != 9 {
		t.Errorf("9 is read as %+v, %v", none, err)
	}
}

func TestErrorsQuoteNoText(t *testing.T) {
	t.Parallel()
	if _, err := ids.Read[ids.Session]("a secret in the wrong place"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the error is %v", err)
	}
}

func TestShopIDsAllocateTheirTextOnly(t *testing.T) { //nolint:paralleltest // it counts allocations
	order, text := ids.Order(1<<60), ids.Order(1<<60).String()
	var buf [64]byte
	f := func(name string, want float64, do func()) {
		t.Helper()
		if got := testing.AllocsPerRun(100, do); got > want {
			t.Errorf("%s allocates %v times, want %v", name, got, want)
		}
	}
	f("String", 1, func() { _ = order.String() })
	f("AppendText", 0, func() { _, _ = order.AppendText(buf[:0]) })
	f("Read", 0, func() { _, _ = ids.Read[ids.Order](text) })
	f("GeneOf", 0, func() { _ = ids.GeneOf(42) })
}

var (
	_ encoding.TextAppender = ids.Order(0)
	_ sql.Scanner           = new(ids.Order)
)

func FuzzRead(f *testing.F) {
	for _, text := range []string{"", "ord_0000000000001", "ord_7zzzzzzzzzzzz", "ord_8000000000000", "ord_000000000000l"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ids.Read[ids.Order](text)
		if err == nil && (id < 1 || id.String() != text) {
			t.Errorf("%q is read as %d, which is written %q", text, int64(id), id)
		}
	})
}

func FuzzScan(f *testing.F) {
	f.Add([]byte("37"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var id ids.Order
		if err := id.Scan(text); err == nil && fmt.Sprint(int64(id)) != string(text) {
			t.Errorf("%q is scanned as %d", text, int64(id))
		}
	})
}
