package api

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/core/problem"
	"sluice/core/stock"
)

// The bodies of requests off the hot path. A member that is a pointer may be absent, and null means the same; any other has to be
// there, and no value that it accepts is the zero value.
type (
	loadBody struct {
		Quantity firstUnits `json:"quantity"`
		Reason   reason     `json:"reason"`
		cellSettings
	}
	changeBody struct {
		Reason reason `json:"reason"`
		Sale   *pool  `json:"sale_id"`
		cellSettings
	}
	adjustBody struct {
		Delta  delta  `json:"delta"`
		Reason reason `json:"reason"`
		Sale   *pool  `json:"sale_id"`
	}
	transferBody struct {
		SKU      sku    `json:"sku_id"`
		From     *pool  `json:"from_sale_id"`
		To       *pool  `json:"to_sale_id"`
		Quantity units  `json:"quantity"`
		Reason   reason `json:"reason"`
	}
	saleBody struct {
		Name  name  `json:"name"`
		Items items `json:"items"`
		settings
		RegisteredOnly *bool     `json:"registered_only"`
		ExtendMax      *extendMS `json:"extend_max_ms"`
	}
	item struct {
		SKU      sku   `json:"sku_id"`
		Quantity units `json:"quantity"`
	}
	openBody struct {
		Opens  *opening `json:"opens_at"`
		Closes *bound   `json:"closes_at"`
	}
	closeBody struct {
		Closes *bound `json:"closes_at"`
	}
	letterBody struct {
		Reason reason `json:"reason"`
	}
	registerBody struct {
		Users userIDs `json:"user_ids"`
	}
	extendBody struct {
		Expires opening `json:"expires_at"`
	}
	returnBody struct {
		SKU      sku      `json:"sku_id"`
		Quantity quantity `json:"quantity"`
		User     userID   `json:"user_id"`
		Reason   reason   `json:"reason"`
		Sale     *pool    `json:"sale_id"`
		Asked    *opening `json:"asked_at"` // when it was sent first
	}
	basketBody struct {
		Items basketItems `json:"items"`
		User  *userID     `json:"user_id"`
	}
	basketItem struct {
		SKU      sku      `json:"sku_id"`
		Quantity quantity `json:"quantity"`
		Sale     *pool    `json:"sale_id"`
	}
	settleListBody struct {
		IDs reservationIDs `json:"reservation_ids"`
	}
	extendListBody struct {
		IDs     reservationIDs `json:"reservation_ids"`
		Expires opening        `json:"expires_at"`
	}
)

// settings are those that a sale has too.
type settings struct {
	Limit          *perUser `json:"limit"`
	Hold           *holdMS  `json:"hold_ms"`
	Ack            *level   `json:"ack"`
	ShopperDeducts *bool    `json:"shopper_deducts"`
}

func (b *settings) values() (stock.Settings, stock.Fields) {
	s := stock.Settings{
		Limit: int64(of(b.Limit)), Hold: time.Duration(of(b.Hold)) * time.Millisecond, Ack: stock.Ack(of(b.Ack)),
		ShopperDeducts: of(b.ShopperDeducts),
	}
	return s, has(b.Limit, stock.FieldLimit) | has(b.Hold, stock.FieldHold) | has(b.Ack, stock.FieldAck) |
		has(b.ShopperDeducts, stock.FieldShopperDeducts)
}

// cellSettings are all that a cell has.
type cellSettings struct {
	settings
	ExtendMax *extendMS `json:"extend_max_ms"`
	Opens     *bound    `json:"opens_at"`
	Closes    *bound    `json:"closes_at"`
	Frozen    *bool     `json:"frozen"`
}

func (b *cellSettings) values() (stock.Settings, stock.Fields) {
	s, fields := b.settings.values()
	s.OpensAtMS, s.ClosesAtMS, s.Frozen = of(b.Opens).ms(), of(b.Closes).ms(), of(b.Frozen)
	s.ExtendMax = time.Duration(of(b.ExtendMax)) * time.Millisecond
	return s, fields | has(b.ExtendMax, stock.FieldExtendMax) |
		has(b.Opens, stock.FieldOpensAt) | has(b.Closes, stock.FieldClosesAt) | has(b.Frozen, stock.FieldFrozen)
}

// of is a member's value, the zero value of one that is absent.
func of[T any](member *T) (value T) {
	if member != nil {
		value = *member
	}
	return value
}

func has[T any](member *T, field stock.Fields) stock.Fields {
	if member == nil {
		return 0
	}
	return field
}

// decodeBody reads a body as strictly as the API promises: UTF-8 without a byte order mark, each member known, at
// most once and in its own case, nothing after the end.
func decodeBody[B any](text []byte) (b B, err error) {
	if err := checkEncoding(text); err != nil {
		return b, err
	}
	if jsontext.Value(text).Kind() != jsontext.KindBeginObject {
		return b, errSyntax
	}
	err = json.Unmarshal(text, &b, json.RejectUnknownMembers(true))
	if err == nil {
		err = complete(&b)
	}
	if err != nil {
		return b, faultOf(err)
	}
	return b, nil
}

// mayBeMissing reports whether a body without members is one.
func mayBeMissing[B any]() bool { return complete(new(B)) == nil }

// complete reports the first member of a body that has to be there and is not.
func complete(body any) error {
	v := reflect.ValueOf(body).Elem()
	for _, f := range reflect.VisibleFields(v.Type()) {
		if !f.Anonymous && f.Type.Kind() != reflect.Pointer && v.FieldByIndex(f.Index).IsZero() {
			return missingError(f.Tag.Get("json"))
		}
	}
	return nil
}

// membersOf are the names of a body's members.
func membersOf(body any) (names []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeOf(body)) {
		if !f.Anonymous {
			names = append(names, f.Tag.Get("json"))
		}
	}
	return names
}

// missingError is a member that has to be there and is not.
type missingError string

func (e missingError) Error() string { return string(e) + " is missing" }

// wantError says which values a member may have.
type wantError string

func (e wantError) Error() string { return string(e) }

// itemError says that an item of a list is wrong, and which values it may have.
type itemError struct {
	item int
	want string
}

func (e itemError) Error() string { return e.want }

// faultOf tells what is wrong with a body in words of the API.
func faultOf(err error) *problem.Problem {
	grammar, meaning := new(jsontext.SyntacticError), new(json.SemanticError)
	if errors.As(err, &grammar) {
		detail := errSyntax.Detail
		if errors.Is(err, jsontext.ErrDuplicateName) {
			detail = detailTwice
		}
		return malformed(string(grammar.JSONPointer), "%s", detail)
	}
	errors.As(err, &meaning) // the whole body is incomplete where it is none
	pointer := string(meaning.JSONPointer)
	if errors.Is(err, json.ErrUnknownName) {
		p := unknownMember(meaning.JSONPointer.LastToken())
		if p.Pointer != "" {
			p.Pointer = pointer
		}
		return p
	}
	var missing missingError
	var want wantError
	var item itemError
	switch {
	case errors.As(err, &missing):
		return malformed(pointer+"/"+string(missing), "%s", detailMissing)
	case errors.As(err, &want):
		return malformed(pointer, "%s", want)
	case errors.As(err, &item):
		return malformed(fmt.Sprintf("%s/%d", pointer, item.item), "%s", item)
	case meaning.GoType == reflect.TypeFor[bool]():
		return malformed(pointer, "want true or false")
	}
	return errSyntax // an item that is no object
}
