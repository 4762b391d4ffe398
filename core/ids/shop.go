package ids

import (
	"database/sql/driver"
	"fmt"
)

// ID is the id of a thing of the shop: 1 to 2^63-1 in the program and in SQL, and a string in JSON, paths and logs. Each
// kind has a type of its own, so the compiler tells them apart. 0 is no id: it has no text and is never stored.
type ID[K kind] int64

type (
	// Product is the id of a product.
	Product = ID[product]
	// Category is the id of a category.
	Category = ID[category]
	// Brand is the id of a brand.
	Brand = ID[brand]
	// Cart is the id of a cart.
	Cart = ID[cart]
	// Checkout is the id of a checkout, which is what is paid.
	Checkout = ID[checkout]
	// Order is the id of an order, the part of a checkout that one seller has.
	Order = ID[order]
	// Payment is the id of a payment.
	Payment = ID[payment]
	// Refund is the id of a refund.
	Refund = ID[refund]
	// Shipment is the id of a shipment.
	Shipment = ID[shipment]
	// Case is the id of a case of a refund, return or exchange.
	Case = ID[aftersale]
	// Offer is the id of an offer, which is what a sale is to a shopper.
	Offer = ID[offer]
	// Address is the id of an address.
	Address = ID[address]
	// Seller is the id of a seller.
	Seller = ID[seller]
	// Session is the id of a session of a user.
	Session = ID[session]
	// Event is the id of an event.
	Event = ID[event]
	// Identity is the id of a way in which a user signs in.
	Identity = ID[identity]
	// Invitation is the id of an invitation to become one of the people of a seller.
	Invitation = ID[invitation]
	// Webhook is the id of an address to which events of a seller go.
	Webhook = ID[webhook]
	// Warehouse is the id of a warehouse of a seller.
	Warehouse = ID[warehouse]
	// Price is the id of a price of a SKU, in a market and a range of time.
	Price = ID[price]
	// Promotion is the id of a promotion.
	Promotion = ID[promotion]
	// Coupon is the id of a coupon that somebody has.
	Coupon = ID[coupon]
	// Media is the id of a picture of a product.
	Media = ID[media]
)

type kind interface{ prefix() string }

type (
	product    struct{}
	category   struct{}
	brand      struct{}
	cart       struct{}
	checkout   struct{}
	order      struct{}
	payment    struct{}
	refund     struct{}
	shipment   struct{}
	aftersale  struct{}
	offer      struct{}
	address    struct{}
	seller     struct{}
	session    struct{}
	event      struct{}
	identity   struct{}
	invitation struct{}
	webhook    struct{}
	warehouse  struct{}
	price      struct{}
	promotion  struct{}
	coupon     struct{}
	media      struct{}
)

func (product) prefix() string    { return "prd_" }
func (category) prefix() string   { return "cat_" }
func (brand) prefix() string      { return "brd_" }
func (cart) prefix() string       { return "crt_" }
func (checkout) prefix() string   { return "chk_" }
func (order) prefix() string      { return "ord_" }
func (payment) prefix() string    { return "pay_" }
func (refund) prefix() string     { return "ref_" }
func (shipment) prefix() string   { return "shp_" }
func (aftersale) prefix() string  { return "cas_" }
func (offer) prefix() string      { return "ofr_" }
func (address) prefix() string    { return "adr_" }
func (seller) prefix() string     { return "sel_" }
func (session) prefix() string    { return "ses_" }
func (event) prefix() string      { return "evt_" }
func (identity) prefix() string   { return "idn_" }
func (invitation) prefix() string { return "inv_" }
func (webhook) prefix() string    { return "whk_" }
func (warehouse) prefix() string  { return "whs_" }
func (price) prefix() string      { return "prc_" }
func (promotion) prefix() string  { return "prm_" }
func (coupon) prefix() string     { return "cpn_" }
func (media) prefix() string      { return "med_" }

// The digits are Crockford's base32 in lower case: it has no i, l, o and u. 13 of them have 65 bits, so the first is 0 to 7.
// All ids of a kind have one length, and are ordered as texts as they are as numbers.
const (
	digits      = "0123456789abcdefghjkmnpqrstvwxyz"
	digitsCount = 13
	prefixBytes = 4
)

var values = func() (of [256]int8) {
	for i := range of {
		of[i] = -1
	}
	for i := range len(digits) {
		of[digits[i]] = int8(i)
	}
	return of
}()

// Any is an id of any kind.
type Any interface {
	~int64
	prefix() string
}

// Read reads the text of an id of a kind: its prefix, and 13 digits in lower case. It takes no other form, and not the
// letters that Crockford lets stand for digits, so that nobody can write one id in two ways.
func Read[T Any](text string) (T, error) {
	var id T
	n, ok := read(text, id.prefix())
	if !ok {
		// The text may be anybody's secret in the wrong place: it is not quoted.
		return 0, fmt.Errorf("want an id: %s and %d of the characters %s, the first of them 0 to 7", id.prefix(), digitsCount, digits)
	}
	return T(n), nil
}

func read(text, prefix string) (id int64, ok bool) {
	if len(text) != prefixBytes+digitsCount || text[:prefixBytes] != prefix || text[prefixBytes] > '7' {
		return 0, false
	}
	for i := prefixBytes; i < len(text); i++ {
		v := values[text[i]]
		if v < 0 {
			return 0, false
		}
		id = id<<5 | int64(v)
	}
	return id, id != 0
}

func (ID[K]) prefix() string {
	var k K
	return k.prefix()
}

func (id ID[K]) check() error {
	if id < 1 {
		return fmt.Errorf("%d is no id of %s: want 1 to 2^63-1", int64(id), id.prefix())
	}
	return nil
}

func (id ID[K]) text() (text [prefixBytes + digitsCount]byte) {
	copy(text[:], id.prefix())
	rest := uint64(id)
	for i := len(text) - 1; i >= prefixBytes; i-- {
		text[i] = digits[rest&31]
		rest >>= 5
	}
	return text
}

// String is the text of the id, for people and paths. What is no id is its prefix and "none".
func (id ID[K]) String() string {
	if id < 1 {
		return id.prefix() + "none"
	}
	text := id.text()
	return string(text[:])
}

// AppendText implements encoding.TextAppender, and with it JSON. What is no id is an error.
func (id ID[K]) AppendText(dst []byte) ([]byte, error) {
	if err := id.check(); err != nil {
		return dst, err
	}
	text := id.text()
	return append(dst, text[:]...), nil
}

// MarshalText implements encoding.TextMarshaler, as AppendText.
func (id ID[K]) MarshalText() ([]byte, error) { return id.AppendText(nil) }

// UnmarshalText implements encoding.TextUnmarshaler, as Read.
func (id *ID[K]) UnmarshalText(text []byte) (err error) {
	read, err := Read[ID[K]](string(text))
	if err == nil {
		*id = read
	}
	return err
}

// Value implements driver.Valuer: SQL has the number. What is no id is an error.
func (id ID[K]) Value() (driver.Value, error) { return int64(id), id.check() }

// Scan implements sql.Scanner for a column of numbers. NULL is an error: sql.Null has it.
func (id *ID[K]) Scan(from any) error {
	var n int64
	switch from := from.(type) {
	case int64:
		n = from
	case []byte:
		n, _ = Parse(from)
	case string:
		n, _ = Parse(from)
	default:
		return fmt.Errorf("%T is no id of %s: want a number", from, id.prefix())
	}
	read := ID[K](n)
	if err := read.check(); err != nil {
		return err
	}
	*id = read
	return nil
}
